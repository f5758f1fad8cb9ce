"""The three secrets of a stack. Docker keeps them and tells them to no one but the tasks that have them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from clawbucket.cli.docker_cli import Docker, DockerFailed
from clawbucket.cli.refusal import Refusal

TOKEN = "token"  # noqa: S105 - it names one
"""The operator's, which changes must show."""
KINDS = ("rack_token", "peer_key", TOKEN)
"""As docker-stack.yml names them, behind what they begin with. The token is made last: where another cannot
be made, there is none yet that nobody was told."""
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Made:
    """What was made now. ``token`` is the operator's where nobody knows it: it can be read nowhere later."""

    names: tuple[str, ...]
    token: str | None = None


def names(prefix: str) -> tuple[str, ...]:
    """The full names."""
    return tuple(f"{prefix}_{kind}" for kind in KINDS)


def there(docker: Docker) -> set[str]:
    """The names of all secrets of the swarm."""
    return {str(row.get("Name", "")) for row in docker.rows("secret", "ls")}


def missing(docker: Docker, prefix: str, *, replace: bool, make: bool) -> tuple[str, ...]:
    """The kinds that are not there. Nothing is made yet: what comes between may fail.

    ``replace``: the operator's token was given just now, so that one which is there already is a Refusal.
    Not ``make``: so is one that is missing.
    """
    known = there(docker)
    if replace and f"{prefix}_{TOKEN}" in known:
        raise Refusal(
            f"the secret {prefix}_{TOKEN} is there already and a secret cannot be changed; leave "
            "--token-file out, or begin anew with ./claw swarm down --secrets"
        )
    kinds = tuple(kind for kind in KINDS if f"{prefix}_{kind}" not in known)
    if kinds and not make:
        absent = " or ".join(f"{prefix}_{kind}" for kind in kinds)
        raise Refusal(
            f"there is no secret {absent}; leave --no-secrets out, or type for each: head -c 32 /dev/urandom "
            f"| base64 | docker secret create {prefix}_{kinds[0]} -"
        )
    return kinds


def make(docker: Docker, prefix: str, kinds: Sequence[str], token: str | None) -> Made:
    """Make these; each value goes to docker's standard input and nowhere else.

    ``token`` is the operator's; random when None, like the others.
    """
    unknown: str | None = None
    for kind in kinds:
        value = token if kind == TOKEN else None
        if value is None:
            value = secrets.token_urlsafe(_BYTES)
            unknown = value if kind == TOKEN else unknown
        docker.ask("secret", "create", f"{prefix}_{kind}", "-", given=value)
    return Made(tuple(f"{prefix}_{kind}" for kind in kinds), unknown)


def remove(docker: Docker, prefix: str) -> tuple[str, ...]:
    """Take away those that are there, and their names. Refusal when another service has one."""
    known = there(docker)
    gone = tuple(name for name in names(prefix) if name in known)
    if gone:
        try:
            docker.ask("secret", "rm", *gone)
        except DockerFailed as failed:
            raise Refusal(
                f"not all secrets could be removed: {failed}; docker service ls has who uses them", 1
            ) from None
    return gone
