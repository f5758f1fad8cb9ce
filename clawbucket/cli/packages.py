"""What is not Python's to install: programs from the operating system's package manager.

Standard library only: make_venv.py uses it before anything else is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from clawbucket.cli.refusal import Refusal

_BUDGET = 600.0
"""Seconds for one package manager's command; a mirror slower than that is taken for dead."""


@dataclass(frozen=True, slots=True)
class Package:
    """A program under its name in each package manager; empty where that manager has none.

    ``without`` ends the refusal: how to do without it.
    """

    program: str
    apt: str = ""
    apk: str = ""
    dnf: str = ""
    brew: str = ""
    without: str = ""


@dataclass(frozen=True, slots=True)
class Manager:
    """One package manager. ``root``: it works for root alone (brew: for everybody but root)."""

    command: str
    name: str
    root: bool
    steps: tuple[tuple[str, ...], ...]

    def package(self, package: Package) -> str:
        """The package's name here."""
        return {"apt-get": package.apt, "apk": package.apk, "dnf": package.dnf, "brew": package.brew}[
            self.command
        ]


MANAGERS = (
    Manager(
        "apt-get", "Debian, Ubuntu: sudo apt install", True,
        (("apt-get", "-qq", "update"), ("apt-get", "-qq", "install", "-y", "--no-install-recommends")),
    ),
    Manager("apk", "Alpine: sudo apk add", True, (("apk", "add", "--no-progress"),)),
    Manager("dnf", "Fedora: sudo dnf install", True, (("dnf", "install", "-y", "-q"),)),
    Manager("brew", "macOS: brew install", False, (("brew", "install", "--quiet"),)),
)  # fmt: skip

Run = Callable[[tuple[str, ...]], "subprocess.CompletedProcess[str]"]


def install(
    package: Package,
    tell: Callable[[str], None],
    *,
    is_root: bool | None = None,
    which: Callable[[str], str | None] = shutil.which,
    run: Run | None = None,
) -> None:
    """Install it with the first package manager that is here and may be used, and say so first.

    Refusal, in one sentence that tells how to get it, where none may or where it fails.
    """
    root = os.geteuid() == 0 if is_root is None else is_root
    for manager in MANAGERS:
        name = manager.package(package)
        if not name or manager.root is not root or not which(manager.command):
            continue
        tell(f"{package.program} is not installed: installing it with {manager.command} ({name})")
        _install(manager, name, package, run or _run)
        return
    raise Refusal(_sentence(package, "is not installed"))


def _install(manager: Manager, name: str, package: Package, run: Run) -> None:
    *before, last = manager.steps
    for step in before:  # an index that cannot be refreshed may still be good enough
        run(step)
    done = run((*last, name))
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        raise Refusal(
            _sentence(package, f"could not be installed: {manager.command} says {said[-1][:200]!r}")
        )


def _sentence(package: Package, what: str) -> str:
    ways = ", ".join(f"{manager.name} {name}" for manager in MANAGERS if (name := manager.package(package)))
    return f"{package.program} {what}; install it ({ways}){package.without}"


def _run(command: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    # RUNLEVEL=1 keeps Debian's package scripts from starting a daemon that nobody asked for
    # (invoke-rc.d asks runlevel(8), which believes this variable).
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1", "HOMEBREW_NO_AUTO_UPDATE": "1"}
    try:
        return subprocess.run(
            command,
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BUDGET,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no end after {_BUDGET:.0f} s")
