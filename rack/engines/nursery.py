"""Replicas by fork from one process that has imported them already: a nursery (Android calls it a zygote).

``app/nursery.py`` is the other side and tells why. Whenever it fails, replicas are started one by one as
everywhere else; they are the same, only later.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import structlog

from rack.engines import processes

log = structlog.get_logger(__name__)

_CHANNEL = 3
READY_WITHIN = 15.0
"""Seconds for a nursery to import; it takes one or two, and over five were seen on a very busy machine."""
_FORKED_WITHIN = 5.0
"""Seconds for a fork, which takes milliseconds."""
_PR_SET_CHILD_SUBREAPER = 36
_ROOM = 4096
"""Bytes by which the nursery's environment is made larger, so that any replica's fits into its place."""


class Nursery:
    """A process to fork replicas from. Not thread-safe: the engine holds a lock around it."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log_file: Path) -> None:
        self._channel: socket.socket | None = None
        self._ready = False
        self._pid = 0
        if not sys.platform.startswith("linux") or not _adopt_orphans():
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            room = {**environment, "CLAWBUCKET_ROOM": "." * _ROOM}
            try:
                self._pid = processes.spawn([*command, str(_CHANNEL)], room, log_file, theirs, None)
            except OSError as error:
                ours.close()
                log.warning("no nursery", reason=str(error))
                return
        ours.setblocking(True)
        self._channel = ours

    def spawn(
        self, environment: Mapping[str, str], log_file: Path, listener: socket.socket, lifeline: int | None
    ) -> int | None:
        """The pid of a new replica, a child of this process; None when the nursery cannot make one."""
        channel = self._channel
        if channel is None:
            return None
        try:
            if not self._ready:
                channel.settimeout(READY_WITHIN)
                self._ready = channel.recv(16) == b"ready"
                channel.settimeout(_FORKED_WITHIN)
            message = orjson.dumps({"environment": dict(environment), "log": str(log_file)})
            descriptors = [listener.fileno()] + ([] if lifeline is None else [lifeline])
            socket.send_fds(channel, [message], descriptors)
            answer = channel.recv(512)
        except OSError as error:
            answer = str(error).encode()
        if answer.isdigit():
            return int(answer)
        reason = answer.decode(errors="replace") or "it ended"
        log.warning("nursery failed; replicas are started one by one from now on", reason=reason)
        self.close()
        return None

    def close(self) -> None:
        """Let it go: it ends when it finds the channel closed."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _adopt_orphans() -> bool:
    """Become the parent of whatever is left behind below this process (prctl(2), Linux 3.4)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        log.warning("no nursery", reason=os.strerror(ctypes.get_errno()))
        return False
    return True


def reap_strangers(known: set[int]) -> None:
    """Clear away the corpses of adopted orphans, and of nobody whose exit code somebody waits for."""
    while True:
        try:
            corpse = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if corpse is None or corpse.si_pid in known:
                return
            os.waitpid(corpse.si_pid, os.WNOHANG)
        except ChildProcessError:
            return
