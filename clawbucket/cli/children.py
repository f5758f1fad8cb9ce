"""The programs that the launcher starts, as operating-system processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clawbucket.cli import guard

ROOT = Path(__file__).resolve().parents[2]
"""The clone: where every program runs, so that ``python -m rack`` means this one."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is started and, when it dies, started again.

    ``environment`` is all that it gets; ``fds`` are the descriptors handed down under their own numbers;
    ``place`` is where it is reached, in words. At the end ``last`` ones are told after all others are gone.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log_file: Path
    place: str
    fds: tuple[int, ...] = ()
    last: bool = False


class Process(Protocol):
    """A program's process, alone or with others in its group."""

    @property
    def pid(self) -> int:
        """Also the number of its session and process group."""
        ...

    def ended(self) -> int | None:
        """Its status once it is over (negative: the signal), None while it runs. Takes its group along."""
        ...

    def signal(self, number: int) -> None:
        """To it alone; nothing when it is over."""
        ...

    def kill(self) -> None:
        """SIGKILL to its whole group."""
        ...


Start = Callable[[Program], Process]
"""Starts a program; OSError when it cannot be."""


class OsProcess:
    """A real one. It leads a session of its own: a terminal's Ctrl-C reaches the launcher alone."""

    def __init__(self, program: Program) -> None:
        with program.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                program.command,
                env=dict(program.environment),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=program.fds,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Also the number of its session and process group."""
        return self._process.pid

    def ended(self) -> int | None:
        """Its status once it is over.

        What is left of its group (a gunicorn worker without its master, still holding the port) is killed
        while the dead leader still keeps the group's number from being given to somebody else.
        """
        if self._process.returncode is None and self._is_corpse():
            self.kill()
        return self._process.poll()

    def signal(self, number: int) -> None:
        """To it alone."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to its whole group."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a corpse
                os.killpg(self.pid, signal.SIGKILL)

    def _is_corpse(self) -> bool:
        if not hasattr(os, "waitid"):  # macOS before Python 3.13
            return False
        with suppress(ChildProcessError):
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        return False


def guarded(command: tuple[str, ...], lifeline: int) -> tuple[str, ...]:
    """The command line that lets a foreign program end with this process (guard.py)."""
    return (sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(lifeline), *command)


def ours(module: str) -> tuple[str, ...]:
    """The command line of a program of ours."""
    return (sys.executable, "-m", module)


def how(status: int) -> str:
    """How a process ended, in words."""
    if status < 0:
        try:
            return f"was killed by {signal.Signals(-status).name}"
        except ValueError:
            return f"was killed by signal {-status}"
    return f"ended with status {status}"
