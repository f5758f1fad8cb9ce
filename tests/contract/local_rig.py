"""A local engine over stand-ins for replicas, and what a test may do behind its back."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import urllib3

from clawbucket.clock import SystemClock
from clawbucket.core.model import Task
from clawbucket.settings import environment
from rack.engines import processes, state_file
from rack.engines.local import LocalEngine
from rack.engines.state import State
from rack.engines.timing import Timing
from rack.metrics import Metrics
from tests.contract.engine_suite import A, B

STAND_IN = Path(__file__).with_name("stand_in.py")
COMMAND = (sys.executable, "-I", "-S", str(STAND_IN))
QUICK = Timing(drain=0.05, grace=1.0, start=5.0, every=0.1, answer=0.3)


class LocalRig:
    """A LocalEngine over stand-ins in a directory of its own, and what a test may do behind its back."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._engine: LocalEngine | None = None

    @property
    def engine(self) -> LocalEngine:
        assert self._engine is not None
        return self._engine

    def end(self) -> None:
        """Leave no process behind."""
        if self._engine is not None:
            self._engine.shut_down(grace=0.2)
            self._engine.close()
        for process in processes.of_rack(self.directory.resolve()):
            os.kill(process.pid, signal.SIGKILL)

    def make(self, **changes) -> LocalEngine:
        """An engine that is not started."""
        told = changes.pop("told", "")
        options: dict[str, Any] = {
            "rack": "BOT 1",
            "command": COMMAND,
            "environment": environment({"STAND_IN": told, "PYTHONDONTWRITEBYTECODE": "1"}),
            "services": (A, B),
            "replicas": 2,
            "nodes": 2,
            "state_dir": self.directory,
            "clock": SystemClock(),
            "metrics": Metrics(),
            "timing": QUICK,
        }
        return LocalEngine(**(options | changes))

    def begin(self, **changes) -> LocalEngine:
        """Start an engine; ``told`` is what the stand-ins are told."""
        self._engine = self.make(**changes)
        self._engine.start()
        return self._engine

    def succeed(self) -> None:
        self.begin()

    def state(self) -> State:
        state = state_file.load(self.directory / "rack.json")
        assert state is not None
        return state

    def pid(self, task: Task) -> int:
        """The task's process, as the state file knows it."""
        record = next(r for r in self.state().tasks if r.task.id == task.id)
        assert record.pid is not None
        return record.pid

    def pids(self) -> list[int]:
        return [record.pid for record in self.state().tasks if record.pid is not None]

    def crash(self, task: Task) -> None:
        os.kill(self.pid(task), signal.SIGKILL)


def come_true(condition: Callable[[], bool], timeout: float = 20.0) -> None:
    """Return when the condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"did not come true in {timeout} s"
        time.sleep(0.01)  # the pace of a poll that has a deadline, not a wait for luck


def adopt_no_orphans() -> None:
    """Undo what a nursery made of the tests' own process (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


def alive(pid: int) -> bool:
    """Whether the process exists and is no corpse."""
    return processes.born(pid) is not None


def ask(task: Task, path: str) -> str:
    """The stand-in's answer."""
    response = urllib3.request("GET", f"http://{task.address}{path}", timeout=2.0, retries=False)
    return response.data.decode()
