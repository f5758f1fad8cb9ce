"""The image of a stack: built from this clone, or somebody's that is here or can be pulled."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from clawbucket.cli.children import ROOT
from clawbucket.cli.docker_cli import Docker, last_line, understood
from clawbucket.cli.refusal import Refusal

DEFAULT = "clawbucket:latest"
"""As docker-stack.yml has it."""
BUILD = 1_800.0
"""Seconds for a build or a pull: a first one fetches some 150 MB, perhaps over a slow line."""
_KEPT = 40
_TAG_LENGTH = 12

Tell = Callable[[str], None]


def provide(
    docker: Docker, name: str, *, ours: bool, build: bool | None, arguments: Sequence[str], tell: Tell
) -> str:
    """The name under which the stack runs the image, once this engine has it. Refusal where it cannot.

    ``ours``: the name is this clone's to build. ``build``: True builds in any case, False never, None where
    it is missing; ``arguments`` are then ``NAME=VALUE`` for the Dockerfile.

    What was built here goes by a tag of its content: Swarm compares names, so that a new build is a new
    version to it, and a rollback finds the old one. Nothing takes old ones away but
    ``docker image prune --all``.
    """
    if build or (build is None and ours and not _id_of(docker, name)):
        _build(docker, name, arguments, tell)
        ours = True
    found = _id_of(docker, name)
    if not found and not ours:
        tell(f"pulling {name}")
        _pull(docker, name)
        return name
    if not found:
        raise Refusal(
            f"there is no image {name} here; leave --no-build out, or type docker build -t {name} {ROOT}"
        )
    if not ours:
        return name
    repository = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    content = f"{repository}:{found.removeprefix('sha256:')[:_TAG_LENGTH]}"
    docker.ask("tag", name, content)
    return content


def _id_of(docker: Docker, name: str) -> str:
    """The image's id; empty when the engine has none of that name."""
    done = docker.attempt("image", "inspect", "--format", "{{json .Id}}", name)
    found = understood(done.out)
    return found if done.code == 0 and isinstance(found, str) else ""


def _build(docker: Docker, name: str, arguments: Sequence[str], tell: Tell) -> None:
    tell(f"building {name} (some minutes the first time)")
    said: deque[str] = deque(maxlen=_KEPT)

    def heard(line: str) -> None:
        said.append(line)
        tell(line)

    options = [word for argument in arguments for word in ("--build-arg", argument)]
    code = docker.stream("build", "--tag", name, *options, str(ROOT), tell=heard, within=BUILD)
    if code != 0:
        raise Refusal(
            f"the image {name} could not be built: {last_line(chr(10).join(said))}; where images cannot be "
            "pulled, name one that is here with --python-image NAME --build-arg PICOCLAW_IMAGE=",
            1,
        )


def _pull(docker: Docker, name: str) -> None:
    done = docker.attempt("pull", "--quiet", name, within=BUILD)
    if done.code != 0:
        raise Refusal(
            f"there is no image {name} here and it cannot be pulled: {last_line(done.err)}; build it under "
            f"that name with ./claw swarm up --build --image {name}",
            1,
        )
