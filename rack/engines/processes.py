"""Replicas as operating-system processes: start one, know it again, hear of its end, end it.

Each replica leads a session and process group of its own, whose number is its pid. A ``Replica`` is only
a pid with what proves it, so a process that this rack manager started and one that it adopted are treated
alike. On Linux its end is heard through a pidfd, elsewhere by asking.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import structlog

from clawbucket.settings import variable_of

log = structlog.get_logger(__name__)

BIND_FD, LIFELINE_FD = 3, 4
"""Where a replica finds its listening socket and its end of the lifeline."""

_OUT_OF_THE_WAY = 16
"""Descriptors to be handed down are first moved up here, so that none overwrites another at 3 or 4."""

_SAME_MOMENT = 0.05
"""Seconds by which two readings of one creation time may differ (a clock tick is 0.01 s)."""

_TASK_ID, _STATE_DIR = variable_of("task_id").name, variable_of("state_dir").name
_TO_DEFAULT = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ)


def listen(backlog: int = 2048) -> socket.socket:
    """A listening socket on a free loopback port. A connection waits in it until the replica accepts."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(backlog)
    except OSError:
        listener.close()
        raise
    return listener


def spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    log_file: Path,
    listener: socket.socket,
    lifeline: int | None,
) -> int:
    """Start the command in a session of its own; its pid. OSError when it cannot be.

    It gets nothing but /dev/null, its log file for both outputs, the listener as descriptor 3 and the
    lifeline as 4.
    """
    with contextlib.ExitStack() as opened:

        def raised(fd: int) -> int:
            copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY)
            opened.callback(os.close, copy)
            return copy

        output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        opened.callback(os.close, output)
        moves: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable()),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, raised(output), 1),
            (os.POSIX_SPAWN_DUP2, raised(output), 2),
            (os.POSIX_SPAWN_DUP2, raised(listener.fileno()), BIND_FD),
        ]
        if lifeline is not None:
            moves.append((os.POSIX_SPAWN_DUP2, raised(lifeline), LIFELINE_FD))
        return os.posix_spawnp(
            command[0],
            list(command),
            dict(environment),
            file_actions=moves,
            setsid=True,
            setsigmask=(),
            setsigdef=_TO_DEFAULT,
        )


def _inheritable() -> list[int]:
    """What this process' own parent left open to whoever comes after; Python's own are close-on-exec."""
    found = []
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # the directory's own descriptor is gone by now
            fd = int(entry.name)
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
    return found


def born(pid: int) -> float | None:
    """When the process was created (psutil's clock), None when there is no such process or it is a corpse."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def is_same(pid: int, created: float | None, task_id: str) -> bool:
    """Whether the process of that pid is still the task's.

    Its creation time proves it; when the machine's clock was set meanwhile, its own environment does.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if created is not None and abs(process.create_time() - created) < _SAME_MOMENT:
            return True
    except psutil.Error:
        return False
    return _environment(process).get(_TASK_ID) == task_id


@dataclass(frozen=True, slots=True)
class Found:
    """A process that carries a task's id. ``leads``: it is the one that was started for it."""

    pid: int
    task_id: str
    leads: bool


def of_rack(state_dir: Path) -> Iterator[Found]:
    """Every process on this machine that was started for a task of the rack kept in ``state_dir``.

    A look into every process' environment (some 10 ms for each hundred), so only done at start, at the end,
    and after a replica ended.
    """
    for process in psutil.process_iter():
        environment = _environment(process)
        task_id = environment.get(_TASK_ID, "")
        if task_id and environment.get(_STATE_DIR) == str(state_dir):
            with contextlib.suppress(OSError):
                yield Found(process.pid, task_id, leads=os.getsid(process.pid) == process.pid)


def end_strays(state_dir: Path, known: Collection[str]) -> None:
    """SIGKILL what was started for tasks of that rack which are not ``known`` any more.

    A replica's own group ends with it. What it started in a session of its own, as an agent's binary is,
    and what that started in turn, is found only by its environment.
    """
    for found in of_rack(state_dir):
        if found.task_id not in known:
            log.info("stray process ended", task_id=found.task_id, pid=found.pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(found.pid, signal.SIGKILL)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError):
        return {}


class Replica:
    """One running replica. Not thread-safe: the engine holds a lock around it."""

    def __init__(self, pid: int, created: float | None) -> None:
        self.pid = pid
        self.created = created
        self.pidfd: int | None = None
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self.pidfd = os.pidfd_open(pid)

    def gone(self) -> bool:
        """Whether the process has ended (its corpse may still wait to be collected)."""
        if self.pidfd is None:
            return born(self.pid) != self.created
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(0))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, unless its leader has ended."""
        if not self.gone():
            signal_group(self.pid, number)

    def collect(self) -> int | None:
        """Clear away a process that has ended, with what is left of its group; its exit code if known.

        128 + the signal's number for one that was killed, as a shell and Docker tell it. None for a
        process that another rack manager started: only its parent is told.
        """
        # The group goes first: as long as its leader is not collected, nobody else can have its number.
        signal_group(self.pid, signal.SIGKILL)
        self.close()
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid == 0:
            return None
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code

    def close(self) -> None:
        """Let go of it; it goes on running."""
        if self.pidfd is not None:
            os.close(self.pidfd)
            self.pidfd = None


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a process group, if there is one. A stopped process dies of SIGKILL all the same."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
