"""``claw swarm down``: takes a stack away and waits until it is gone."""

from __future__ import annotations

import time

import click

from clawbucket.cli import swarm_preflight, swarm_secrets
from clawbucket.cli.docker_cli import LABEL, Docker, last_line
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.swarm_options import docker_here, name_option, secrets_prefix

PATIENCE = 90.0
"""Seconds; the slowest program has ten to end, and a network goes when its last task is forgotten."""
_LOOK = 0.5
_AGAIN = 10.0
"""Seconds until ``docker stack rm`` is typed again for what it could not remove."""
_COLUMN = {"service": "{{.Name}}", "network": "{{.Name}}", "container": "{{.Names}}"}


@click.command(short_help="Take the stack away.", epilog="""
\b
Examples:
  ./claw swarm down
  ./claw swarm down --volumes --secrets      as if it had never been there
""")  # fmt: skip
@name_option
@click.option(
    "--volumes", is_flag=True, help="Also its volumes on this node: Ollama's models, handoffs' snapshots."
)
@click.option("--secrets", is_flag=True, help="Also its three secrets; the next up makes others.")
def down(name: str, volumes: bool, secrets: bool) -> None:
    """Take the stack away and wait until it is gone: services, their containers on this node, networks.

    Volumes and secrets stay unless told otherwise. Nothing is touched that is not the stack's.
    """
    docker = docker_here()
    manager = swarm_preflight.manager(docker)
    begun = time.monotonic()
    deadline = begun + PATIENCE
    done: list[str] = []
    if left(docker, name):
        _remove(docker, name, deadline)
        done.append(f"the stack {name} is gone, after {time.monotonic() - begun:.1f} s")
    if volumes and (gone := _remove_volumes(docker, name, deadline)):
        done.append(f"volumes removed: {', '.join(gone)}")
    if secrets and (gone := list(swarm_secrets.remove(docker, secrets_prefix(name)))):
        done.append(f"secrets removed: {', '.join(gone)}")
    if not done:
        raise Refusal(
            f"there is no stack {name} on this swarm, and nothing left of it; docker stack ls tells others"
        )
    for line in done:
        click.echo(line)
    if volumes and manager.nodes > 1:
        click.echo(
            "its volumes on other nodes are still there; type there: "
            f"docker volume rm {' '.join(_volumes(name))}"
        )


def left(docker: Docker, name: str) -> dict[str, list[str]]:
    """What is there of the stack, by kind: services, networks, and containers on this node."""
    found = {
        kind: [line for line in _list(docker, kind, name, column) if line] for kind, column in _COLUMN.items()
    }
    return {kind: names for kind, names in found.items() if names}


def _list(docker: Docker, kind: str, name: str, column: str) -> list[str]:
    every = ["--all"] if kind == "container" else []
    return docker.ask(
        kind, "ls", *every, "--filter", f"label={LABEL}={name}", "--format", column
    ).splitlines()


def _remove(docker: Docker, name: str, deadline: float) -> None:
    asked = 0.0
    while remaining := left(docker, name):
        now = time.monotonic()
        if now >= deadline:
            told = "; ".join(f"{kind} {', '.join(names[:5])}" for kind, names in remaining.items())
            raise Refusal(f"after {PATIENCE:.0f} s these are still there: {told}; type the same again", 1)
        if now >= asked + _AGAIN and remaining.keys() - {"container"}:
            docker.attempt("stack", "rm", name)  # what it leaves is seen at the next look
            asked = now
        time.sleep(_LOOK)


def _volumes(name: str) -> tuple[str, str]:
    """As docker-stack.yml has them."""
    return f"{name}_ollama_data", f"{name}_revolt_snapshots"


def _remove_volumes(docker: Docker, name: str, deadline: float) -> list[str]:
    """Take them away; one is in use for as long as its last container is being removed."""
    listed = docker.ask(
        "volume", "ls", "--filter", f"label={LABEL}={name}", "--format", "{{.Name}}"
    ).splitlines()
    names = [volume for volume in listed if volume]
    remaining = list(names)
    while remaining:
        tried = [(volume, docker.attempt("volume", "rm", volume)) for volume in remaining]
        failed = [(volume, done) for volume, done in tried if done.code != 0]
        remaining = [volume for volume, _ in failed]
        if failed and time.monotonic() >= deadline:
            volume, done = failed[0]
            raise Refusal(
                f"the volume {volume} cannot be removed: {last_line(done.err)}; type the same again", 1
            )
        if failed:
            time.sleep(_LOOK)
    return names
