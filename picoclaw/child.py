"""Child processes: each leads its own session, and all of it is ended when its time is up.

What a child starts is in its process group, so that one signal reaches the grandchildren too. Output is read
without blocking, by polling: that is right between threads, and under gevent (which patches ``select`` and
``subprocess``) it lets the other greenlets run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from picoclaw.deadline import Deadline
from picoclaw.errors import RuntimeBusy
from picoclaw.orphans import bound_to

log = logging.getLogger(__name__)

MOST_STDOUT = 4 * 1024 * 1024
"""Bytes of standard output that are taken; a child that prints more is ended."""
MOST_STDERR = 16 * 1024
"""Bytes of standard error that are kept, the last ones: programs say last why they failed."""
GRACE_SECONDS = 0.5
"""What a child has between SIGTERM and SIGKILL."""
_BURIAL_SECONDS = 5.0
"""How long a killed child is waited for; only one stuck in the kernel takes that long."""
_TICK = 0.05
"""Seconds after which a silent child's end, and a cancellation, are noticed."""
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that ended by itself. ``exit_code`` is minus the signal that killed it, if one did.

    ``flooded``: it printed more than MOST_STDOUT and was ended for it; ``stdout`` is the beginning.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    flooded: bool


class Children:
    """The children of one owner. Thread- and greenlet-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[_Child] = set()
        self._closed = threading.Event()

    def run(
        self, argv: Sequence[str | bytes], env: Mapping[str, str], cwd: Path, deadline: Deadline, doing: str
    ) -> Finished:
        """Run a program to its end, its input empty.

        OSError where it cannot be started; TurnTimeout at the deadline or a cancellation, ``doing``
        completes "while …"; RuntimeBusy once closed. Whatever happens, nothing of it runs on afterwards.
        """
        deadline.check(doing)
        with self._lock:
            self._refuse_when_closed()
            child = _Child(argv, env, cwd)
            self._running.add(child)
        try:
            while child.read(min(_TICK, deadline.remaining())):
                self._refuse_when_closed()
                deadline.check(doing)
            return child.finished()
        finally:
            # Also after a normal end: what the child left behind in its group goes with it.
            child.end()
            with self._lock:
                self._running.discard(child)

    def close(self) -> None:
        """End every child, and wait until those who run them have buried them."""
        self._closed.set()
        patience = Deadline(GRACE_SECONDS + _BURIAL_SECONDS)
        while self.running() and patience.remaining() > 0.0:
            patience.sleep(_TICK)

    def running(self) -> int:
        """How many there are."""
        with self._lock:
            return len(self._running)

    def _refuse_when_closed(self) -> None:
        if self._closed.is_set():
            raise RuntimeBusy("this runtime was closed", retryable=False)


class _Child:
    """One process and its two pipes. Used by one thread."""

    def __init__(self, argv: Sequence[str | bytes], env: Mapping[str, str], cwd: Path) -> None:
        out, child_out = os.pipe()
        try:
            err, child_err = os.pipe()
        except OSError:
            os.close(out)
            os.close(child_out)
            raise
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the configured binary, no shell
                list(argv), env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=child_out,
                stderr=child_err, start_new_session=True, preexec_fn=bound_to(os.getpid()),  # noqa: PLW1509
            )  # fmt: skip
        except BaseException:
            os.close(out)
            os.close(err)
            raise
        finally:
            os.close(child_out)
            os.close(child_err)
        self._stdout, self._stderr = bytearray(), bytearray()
        self._open = {out: self._stdout, err: self._stderr}
        self._poll = select.poll()
        for fd in self._open:
            os.set_blocking(fd, False)
            self._poll.register(fd, select.POLLIN)
        self._flooded = self._buried = False

    def read(self, seconds: float) -> bool:
        """Take what it printed, waiting that long for some; False when it ended or printed too much."""
        if not self._open and not self._has_ended():
            # It closed its output and lives on, mostly for a moment: no event will tell of its end.
            Deadline(seconds).sleep(_TICK / 10)
        ready = [fd for fd, _ in self._poll.poll(seconds * 1000)] if self._open else []
        ended = not ready and self._has_ended()
        if ended:
            ready = list(self._open)  # a grandchild may hold the pipe; what is in it by now is all there is
        for fd in ready:
            self._drain(fd)
        return not (ended or self._flooded)

    def finished(self) -> Finished:
        """How it ended, once ``read`` said so."""
        self.end()
        code = self._process.returncode
        return Finished(
            -signal.SIGKILL if code is None else code,
            bytes(self._stdout),
            bytes(self._stderr),
            self._flooded,
        )

    def end(self) -> None:
        """SIGTERM to its group, SIGKILL after a moment, and take its exit code. Harmless when repeated."""
        for fd in list(self._open):
            self._close(fd)
        if self._buried:
            return
        self._buried = True
        if not self._has_ended():
            self._signal(signal.SIGTERM)
            grace = Deadline(GRACE_SECONDS)
            while grace.remaining() > 0.0 and not self._has_ended():
                grace.sleep(_TICK / 5)
        self._signal(signal.SIGKILL)
        try:
            self._process.wait(_BURIAL_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("process %d does not die of SIGKILL; it is left to itself", self._process.pid)

    def _drain(self, fd: int) -> None:
        """Take what is in the pipe now, at most as much as fits."""
        kept = self._open[fd]
        while not self._flooded:
            try:
                got = os.read(fd, _CHUNK)
            except BlockingIOError:
                return
            if not got:
                self._close(fd)
                return
            kept += got
            if kept is self._stderr:
                del kept[:-MOST_STDERR]
                return  # one piece at a time: it may print for ever, and the deadline must be looked at
            self._flooded = len(kept) > MOST_STDOUT

    def _close(self, fd: int) -> None:
        self._poll.unregister(fd)
        del self._open[fd]
        os.close(fd)

    def _has_ended(self) -> bool:
        """Whether the process itself ended. It is not reaped: until then nobody else gets its number."""
        if self._process.returncode is not None:
            return True
        try:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, options) is not None
        except ChildProcessError:  # reaped already: gevent's loop does that for every child
            return self._process.poll() is not None

    def _signal(self, number: int) -> None:
        """To the whole group; that it is gone already is as good (macOS calls a dead group forbidden)."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
