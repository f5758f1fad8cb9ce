"""What a rack needs that pip cannot bring: a memcached; for the tests a chromium and a Docker engine too."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable

from clawbucket.cli.packages import Package, install
from clawbucket.cli.refusal import Refusal
from clawbucket.ports import ClawError

MEMCACHED = Package(
    "memcached", apt="memcached", apk="memcached", dnf="memcached", brew="memcached",
    without=", or set MEMCACHED_HOST to one that runs elsewhere",
)  # fmt: skip
CHROMIUM = Package("chromium", apt="chromium", apk="chromium", dnf="chromium")
CHROMIUM_NAMES = ("chromium", "chromium-browser")
"""How distributions call it (tests/browser/chromium.py looks for the same)."""

_WITHOUT_DOCKER = ", or leave the tests of Docker Swarm out: ./claw test --no-docker"
DOCKER = Package(
    "docker", apt="docker.io", apk="docker", dnf="moby-engine", brew="docker", without=_WITHOUT_DOCKER
)
COMPOSE = Package(
    "docker-compose", apt="docker-compose", apk="docker-cli-compose", dnf="docker-compose",
    brew="docker-compose", without=_WITHOUT_DOCKER,
)  # fmt: skip
DOCKERD = Package("dockerd", apt="docker.io", apk="docker", dnf="moby-engine", without=_WITHOUT_DOCKER)
IPTABLES = Package("iptables", apt="iptables", apk="iptables", dnf="iptables", without=_WITHOUT_DOCKER)
DEBOOTSTRAP = Package("debootstrap", apt="debootstrap", apk="debootstrap", dnf="debootstrap")
"""Makes the tests' base images where root may; elsewhere they are pulled."""
SHELLCHECK = Package("shellcheck", apt="shellcheck", apk="shellcheck", dnf="ShellCheck", brew="shellcheck")
_DOCKER_BUDGET = 60.0
"""Seconds for an engine to say that it is there."""

_MEGABYTES = 64
_PIECE = 8_192
"""Bytes of the pieces in which memcached keeps longer values. It gives each class of sizes pages of 1 MiB,
which it never takes back, and has classes up to 512 KiB where nothing is said: a list that fills up leaves a
page in each class that it grew through: 33 MiB instead of 22 after 90 s of ./claw bench mixed."""
_CONNECTIONS = 4_096
"""20 replicas of two services with a pool of 16 connections each need under 700."""
_SPARE_FILES = 64


def memcached(tell: Callable[[str], None]) -> str:
    """Where memcached's program is, installed if need be. Refusal when it cannot be had."""
    return _program(MEMCACHED, (MEMCACHED.program,), tell)


def chromium(tell: Callable[[str], None]) -> str:
    """Where chromium is, installed if need be. Refusal when it cannot be had."""
    return _program(CHROMIUM, CHROMIUM_NAMES, tell)


def shellcheck(tell: Callable[[str], None]) -> None:
    """See to what checks the shell scripts. Where it cannot be had that is said, and they are not checked."""
    try:
        _program(SHELLCHECK, (SHELLCHECK.program,), tell)
    except Refusal as refusal:
        tell(f"the shell scripts are not checked: {refusal}")


def docker(tell: Callable[[str], None]) -> None:
    """See to what tests/docker needs: docker, a compose, an engine or what root starts one by.

    The engine itself is started by the tests (tests/docker/host.py). Refusal when something cannot be had.
    """
    _program(DOCKER, ("docker",), tell)
    if not _succeeds("docker", "compose", "version"):
        _program(COMPOSE, ("docker-compose",), tell)
    answers = _succeeds("docker", "version")
    asked = os.environ.get("DOCKER_HOST")
    if not answers and (asked or os.geteuid() != 0):
        why = "DOCKER_HOST says so" if asked else "only root can start one"
        raise Refusal(
            f"no Docker engine answers at {asked or 'unix:///var/run/docker.sock'}, and {why}; "
            f"start it, or be let use it (group docker){_WITHOUT_DOCKER}"
        )
    if os.geteuid() != 0:
        return
    for package in () if answers else (DOCKERD, IPTABLES):
        _program(package, (package.program,), tell)
    if shutil.which("apt-get"):
        _program(DEBOOTSTRAP, (DEBOOTSTRAP.program,), tell)


def memcached_command(binary: str, port: int) -> tuple[str, ...]:
    """A private memcached: loopback and TCP alone, 64 MB.

    memcached ends at once when it may not open as many files as connections (memcached.c, main), so the
    connections are cut to what the hard limit lets it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _CONNECTIONS if hard == resource.RLIM_INFINITY else min(_CONNECTIONS, hard - _SPARE_FILES)
    return (
        binary, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", str(_MEGABYTES),
        "-o", f"slab_chunk_max={_PIECE}", "-c", str(most),
    )  # fmt: skip


def ask_memcached(host: str, port: int) -> None:
    """Return when the memcached that the person chose answers. Refusal when it does not."""
    from clawbucket.bus.memcached import MemcachedBus  # noqa: PLC0415 - others need not wait for it

    bus = MemcachedBus(host, port, timeout=2.0, pool=1)
    try:
        bus.ping()
    except (ClawError, OSError) as error:
        raise Refusal(
            f"MEMCACHED_HOST is set to {host!r} and it does not answer: {error}. "
            "Start it, or unset MEMCACHED_HOST to have a private one"
        ) from None
    finally:
        bus.close()


def _program(package: Package, names: tuple[str, ...], tell: Callable[[str], None]) -> str:
    found = _which(names)
    if found is None:
        install(package, tell)
        found = _which(names)
    if found is None:
        raise Refusal(
            f"{package.program} was installed and still is not on PATH; open a new shell, type it again"
        )
    return found


def _succeeds(*command: str) -> bool:
    """Whether the command is known and ends well."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_DOCKER_BUDGET, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _which(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)
