"""Runs a rack from its first program to its last: supervises, tells, and leaves nothing behind.

Everything happens in the main thread, woken by signals through a pipe (the children's deaths among
them): memcached dies with the thread that forked it (guard.py), and nothing here needs a second one.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import FrameType, TracebackType
from typing import Self

from clawbucket.cli.announce import Voice
from clawbucket.cli.children import OsProcess, Program, Start
from clawbucket.cli.logtail import LEVELS, Tail, interleaved
from clawbucket.cli.readiness import Progress
from clawbucket.cli.rundir import Mark, Run, RunDir, end_all
from clawbucket.cli.supervisor import Ending, Supervisor
from rack.engines.replica_logs import trim

START_BUDGET = 120.0
"""Seconds until everything must have run once: some 5 on an idle machine with 6 replicas."""
MOST_FAILURES = 5
"""Deaths in a row after which a rack that never ran is given up."""
BAD_SETTING = 2
"""The status by which every program of ours says that it cannot run as it is set."""
_LOOK_FOR_READY = 0.05
_LOOK_AT_LOGS = 0.25
_TRIM_LOGS = 10.0

_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Signals as numbers read from a pipe, while the context lasts.

    One that is ignored from before (nohup) stays ignored.
    """

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(write, False)
        self._before: dict[int, object] = {}
        for number in (*_STOP, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN or number == signal.SIGCHLD:
                self._before[number] = signal.signal(number, _nothing)
        self._write = write
        self._wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hear no more."""
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._read)
        os.close(self._write)

    def wait(self, seconds: float) -> list[int]:
        """The signals that came, after at most so many seconds; the deaths of children among them."""
        ready, _, _ = select.select([self._read], [], [], seconds)
        return list(os.read(self._read, 256)) if ready else []


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """A handler must be there for the number to come through the pipe."""


class Launcher:
    """One rack. ``ready`` tells how far it is; ``before_stop`` closes what only matters while it runs."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        run: Run,
        directory: RunDir,
        voice: Voice,
        ready: Callable[[], Progress],
        on_ready: Callable[[Progress], None],
        before_stop: Callable[[], None],
        start: Start = OsProcess,
        start_budget: float = START_BUDGET,
        ending: Ending = Ending(),  # noqa: B008 - it is frozen
    ) -> None:
        self._run = run
        self._directory = directory
        self._voice = voice
        self._ready = ready
        self._on_ready = on_ready
        self._before_stop = before_stop
        self._start_budget = start_budget
        self._supervisor = Supervisor(programs, start, time.monotonic, self, ending)
        self._tails = [Tail(program.name, program.log_file) for program in programs]
        self._begun = self._next_look = time.monotonic()
        self._next_trim = self._begun + _TRIM_LOGS
        self._deaths: dict[str, str] = {}
        self._code = 0
        self._last_progress = ""

    def run(self) -> int:
        """Run until told to end, or until it cannot be; the exit status. Nothing runs afterwards."""
        with Signals() as signals:
            try:
                while not self._supervisor.over:
                    wait = self._supervisor.tick()
                    if self._supervisor.over:
                        break
                    if not self._supervisor.stopping:
                        wait = min(wait, self._look())
                    for number in signals.wait(wait):
                        self._heard(number)
            finally:
                self._end(signals)
        return self._code

    # What the supervisor tells -------------------------------------------------------------------------

    def died(self, program: Program, how: str, delay: float) -> None:
        """Say it, or, where it is started again at once, say it then. Give up what never ran."""
        ward = self._supervisor.wards[program.name]
        if not self._run.ready and (ward.status == BAD_SETTING or ward.failures >= MOST_FAILURES):
            code = BAD_SETTING if ward.status == BAD_SETTING else 1
            self._give_up(f"{program.name} cannot run: it {how}{self._last_words(program.name)}", code)
        elif delay:
            self._voice.say(
                f"{program.name} {how}; the next try is in {delay:g} s", "warning",
                name=program.name, how=how, delay=delay,
            )  # fmt: skip
        else:
            self._deaths[program.name] = how

    def started(self, program: Program, pid: int, again: bool) -> None:
        """Write it down; say so of one that died."""
        starts = self._supervisor.wards[program.name].starts
        marks = {**self._run.programs, program.name: Mark.of(pid, starts)}
        self._run = replace(self._run, programs=marks)
        self._directory.write(self._run)
        if again:
            how = self._deaths.pop(program.name, "died")
            self._voice.say(
                f"{program.name} {how}; it was started again on {program.place} (pid {pid})", "warning",
                name=program.name, how=how, pid=pid, starts=starts,
            )  # fmt: skip

    # Inside --------------------------------------------------------------------------------------------

    def _heard(self, number: int) -> None:
        if number not in _STOP:
            return
        if not self._supervisor.stopping:
            self._stop("stopping; Ctrl-C again kills at once")
        elif number == signal.SIGINT:
            self._voice.say("killing everything", "warning")
            self._supervisor.kill()

    def _stop(self, why: str, level: str = "info") -> None:
        self._voice.say(why, level)
        self._begun = time.monotonic()
        self._before_stop()
        self._supervisor.stop()

    def _give_up(self, why: str, code: int) -> None:
        if not self._supervisor.stopping:
            self._code = code
            self._stop(why, "error")

    def _look(self) -> float:
        """Readiness until there, the programs' warnings from then on; seconds until the next look."""
        now = time.monotonic()
        if now < self._next_look:
            return self._next_look - now
        if self._run.ready:
            pace = _LOOK_AT_LOGS
            lines = [line for line in interleaved(self._tails) if line.level >= LEVELS["warning"]]
            if lines:
                self._voice.relay(lines)
            if now >= self._next_trim:
                trim(self._directory.logs)
                self._next_trim = now + _TRIM_LOGS
        else:
            pace = _LOOK_FOR_READY
            self._look_for_ready(now)
        self._next_look = time.monotonic() + pace
        return pace

    def _look_for_ready(self, now: float) -> None:
        progress = self._ready()
        if not progress.waits_for:
            for tail in self._tails:  # its birth pains are in the logs
                tail.look()
            self._run = replace(self._run, ready=True)
            self._directory.write(self._run)
            self._on_ready(progress)
        elif now - self._begun > self._start_budget:
            self._give_up(
                f"after {self._start_budget:.0f} s still waiting for {progress.waits_for}; "
                f"the logs are in {self._directory.logs}",
                1,
            )

    def _last_words(self, name: str) -> str:
        path = next(w.program.log_file for w in self._supervisor.wards.values() if w.program.name == name)
        lines = Tail(name, path).look()
        return f" and said last: {lines[-1].text}" if lines else ""

    def _end(self, signals: Signals) -> None:
        """However it came to this: nothing of this run stays."""
        self._before_stop()
        self._supervisor.kill()
        while not self._supervisor.over:
            self._supervisor.tick()
            signals.wait(_LOOK_FOR_READY)
        left = end_all(self._run.run_id)
        self._directory.clear()
        seconds = time.monotonic() - self._begun
        if left:
            self._voice.say(f"{left} processes had to be killed", "warning", count=left)
        self._voice.say(f"everything has ended, after {seconds:.1f} s", seconds=round(seconds, 3))


def new_run_id() -> str:
    """A name for one run of a launcher, never used before."""
    return secrets.token_hex(8)
