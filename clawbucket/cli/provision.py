"""What a rack needs that pip cannot bring: a memcached, and for the browser tests a chromium."""

from __future__ import annotations

import resource
import shutil
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

_MEGABYTES = 64
_CONNECTIONS = 4_096
"""20 replicas of two services with a pool of 16 connections each need under 700."""
_SPARE_FILES = 64


def memcached(tell: Callable[[str], None]) -> str:
    """Where memcached's program is, installed if need be. Refusal when it cannot be had."""
    return _program(MEMCACHED, (MEMCACHED.program,), tell)


def chromium(tell: Callable[[str], None]) -> str:
    """Where chromium is, installed if need be. Refusal when it cannot be had."""
    return _program(CHROMIUM, CHROMIUM_NAMES, tell)


def memcached_command(binary: str, port: int) -> tuple[str, ...]:
    """A private memcached: loopback and TCP alone, 64 MB.

    memcached ends at once when it may not open as many files as connections (memcached.c, main), so the
    connections are cut to what the hard limit lets it.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _CONNECTIONS if hard == resource.RLIM_INFINITY else min(_CONNECTIONS, hard - _SPARE_FILES)
    return (
        binary, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", str(_MEGABYTES), "-c", str(most),
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


def _which(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)
