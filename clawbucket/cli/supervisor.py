"""Keeps programs running: what dies is started again, at once and then ever more patiently.

A background process is one steppable call here, as huey's are: ``tick`` does what is due, and says how
long nothing will be. It never sleeps, so tests drive it with a clock of their own.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from clawbucket.cli.children import Process, Program, Start, how
from rack.engines.restart_policy import RestartPolicy

RESTARTS = RestartPolicy(first=0.1, longest=5.0, stable=10.0)
LAST_TOLD = 2.0
"""Seconds after which the last programs are told to end, whether or not the others are gone."""
KILLED = 2.5
"""Seconds after which what remains gets SIGKILL: everything is to be over in three."""
GIVEN_UP = 4.0
"""Seconds after which a process that survives SIGKILL (it hangs in the kernel) is left to the kernel."""
IDLE = 1.0
"""The longest that a tick lets its caller wait; the death of a child wakes it earlier."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is done how many seconds after the word to end; these times are a rack's."""

    last_told: float = LAST_TOLD
    killed: float = KILLED
    given_up: float = GIVEN_UP


class Watcher(Protocol):
    """Who hears of what happens to the programs."""

    def died(self, program: Program, how: str, delay: float) -> None:
        """It did not end on our word; it is started again in ``delay`` seconds."""
        ...

    def started(self, program: Program, pid: int, again: bool) -> None:
        """It was started; ``again``: after it had died."""
        ...


@dataclass(slots=True)
class Ward:
    """A program and its process.

    ``due`` is when to start it (again), ``failures`` how often in a row it died,
    ``status`` how the last time.
    """

    program: Program
    process: Process | None = None
    begun: float = 0.0
    due: float | None = None
    failures: int = 0
    starts: int = 0
    status: int | None = None


@dataclass(slots=True)
class _Stopping:
    begun: float
    told: set[str] = field(default_factory=set)
    killed: bool = False


class Supervisor:
    """Supervises ``programs``, started in their order. Not thread-safe: everything in one thread."""

    def __init__(
        self,
        programs: Sequence[Program],
        start: Start,
        clock: Callable[[], float],
        watcher: Watcher,
        ending: Ending = Ending(),
    ) -> None:
        self._ending = ending
        self._start = start
        self._clock = clock
        self._watcher = watcher
        self._stopping: _Stopping | None = None
        self.wards = {program.name: Ward(program, due=clock()) for program in programs}

    @property
    def stopping(self) -> bool:
        """Whether everything was told to end."""
        return self._stopping is not None

    @property
    def over(self) -> bool:
        """Whether it has: nothing runs and nothing will be started."""
        if self._stopping is None:
            return False
        gone = all(ward.process is None for ward in self.wards.values())
        return gone or self._clock() - self._stopping.begun >= self._ending.given_up

    def tick(self) -> float:
        """Do what is due; seconds until something will be, if no process ends before."""
        for ward in self.wards.values():
            self._look(ward)
        if self._stopping:
            return self._step_down(self._stopping)
        now = self._clock()
        for ward in self.wards.values():
            if ward.due is not None and ward.due <= now:
                self._begin(ward)
        dues = [ward.due - now for ward in self.wards.values() if ward.due is not None]
        return max(0.0, min([IDLE, *dues]))

    def stop(self) -> None:
        """Tell everything to end; ``tick`` until ``over``."""
        if self._stopping is None:
            self._stopping = _Stopping(self._clock())
            for ward in self.wards.values():
                ward.due = None

    def kill(self) -> None:
        """SIGKILL to everything, now."""
        self.stop()
        if self._stopping:
            self._stopping.killed = True
        for ward in self.wards.values():
            if ward.process:
                ward.process.kill()

    def _look(self, ward: Ward) -> None:
        if ward.process is None:
            return
        status = ward.process.ended()
        if status is None:
            return
        ward.process, ward.status = None, status
        if not self._stopping:
            self._failed(ward, how(status))

    def _begin(self, ward: Ward) -> None:
        ward.due, ward.begun = None, self._clock()
        try:
            ward.process = self._start(ward.program)
        except OSError as error:
            self._failed(ward, f"could not be started ({error.strerror or error})")
            return
        ward.starts += 1
        self._watcher.started(ward.program, ward.process.pid, again=ward.starts > 1)

    def _failed(self, ward: Ward, how_it_ended: str) -> None:
        now = self._clock()
        ward.failures = RESTARTS.failures(ward.failures, now - ward.begun)
        delay = RESTARTS.delay(ward.failures)
        ward.due = now + delay
        self._watcher.died(ward.program, how_it_ended, delay)

    def _step_down(self, stopping: _Stopping) -> float:
        ending, since = self._ending, self._clock() - stopping.begun
        running = [ward for ward in self.wards.values() if ward.process]
        others_gone = all(ward.program.last for ward in running)
        for ward in running:
            if ward.program.name in stopping.told or not ward.process:
                continue
            if not ward.program.last or others_gone or since >= ending.last_told:
                stopping.told.add(ward.program.name)
                ward.process.signal(signal.SIGTERM)
        if since >= ending.killed and not stopping.killed:
            self.kill()
        moments = (ending.last_told, ending.killed, ending.given_up)
        later = [moment - since for moment in moments if moment > since]
        return min([IDLE, *later])
