"""Does it answer? ``GET /livez`` at every replica, from one thread, without blocking.

A replica's listening socket exists before the replica does. So the first question to a new replica is
asked at once and simply waits in the socket's queue: the answer comes the moment the replica can give
it, and until then nothing runs. There is nothing to poll.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable
from dataclasses import dataclass

from clawbucket.ports import Clock
from rack.engines.timing import Timing

Verdict = Callable[[str, str | None], None]
"""Told the task's id, and None when it answered 200 or else one phrase why not."""

_AGAIN_WHILE_STARTING = 0.1
"""Seconds before a replica that starts and said no (503, or a reset) is asked again."""

_LONGEST_ANSWER = 8_192


@dataclass(slots=True)
class _Probe:
    address: tuple[str, int]
    next_at: float
    give_up_at: float | None
    connection: socket.socket | None = None
    deadline: float = 0.0
    asked: bool = False
    answer: bytes = b""


class Prober:
    """Asks every watched replica ``timing.every`` seconds. Not thread-safe: for the engine's own loop."""

    def __init__(
        self, selector: selectors.BaseSelector, clock: Clock, timing: Timing, verdict: Verdict
    ) -> None:
        self._selector = selector
        self._clock = clock
        self._timing = timing
        self._verdict = verdict
        self._probes: dict[str, _Probe] = {}

    def watch(self, task_id: str, address: str, *, starting: bool) -> None:
        """Ask from now on. ``starting``: it may say no, or nothing, for ``timing.start`` seconds."""
        host, _, port = address.rpartition(":")
        now = self._clock.monotonic()
        give_up_at = now + self._timing.start if starting else None
        self._probes[task_id] = _Probe((host, int(port)), now, give_up_at)

    def forget(self, task_id: str) -> None:
        """Ask no more."""
        probe = self._probes.pop(task_id, None)
        if probe is not None:
            self._hang_up(probe)

    def due(self) -> float | None:
        """When ``turn`` has something to do at the latest."""
        times = (p.next_at if p.connection is None else p.deadline for p in self._probes.values())
        return min(times, default=None)

    def turn(self) -> None:
        """Ask whom it is time to ask, and give up on whom it is time to give up."""
        now = self._clock.monotonic()
        for task_id, probe in list(self._probes.items()):
            if probe.connection is None and probe.next_at <= now:
                self._ask(task_id, probe, now)
            elif probe.connection is not None and probe.deadline <= now:
                self._judge(task_id, probe, "no answer in time")

    def close(self) -> None:
        """Hang up everywhere."""
        for task_id in list(self._probes):
            self.forget(task_id)

    def _ask(self, task_id: str, probe: _Probe, now: float) -> None:
        probe.deadline = probe.give_up_at or now + self._timing.answer
        probe.next_at = now + self._timing.every
        probe.asked, probe.answer = False, b""
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        probe.connection = connection
        self._selector.register(
            connection, selectors.EVENT_WRITE, lambda _mask: self._step(task_id, probe, connection)
        )
        connection.connect_ex(probe.address)  # its outcome comes through the selector

    def _step(self, task_id: str, probe: _Probe, connection: socket.socket) -> None:
        if probe.connection is not connection:
            return  # hung up by what happened earlier in this same turn
        try:
            if not probe.asked:
                self._send(probe, connection)
                return
            piece = connection.recv(_LONGEST_ANSWER)
        except BlockingIOError:
            return
        except OSError as error:
            self._judge(task_id, probe, (error.strerror or "connection failed").lower())
            return
        probe.answer += piece
        # Reading on to the end lets the replica close first, so that it never writes into a closed door.
        if not piece or len(probe.answer) > _LONGEST_ANSWER:
            self._judge(task_id, probe, _complaint(probe.answer))

    def _send(self, probe: _Probe, connection: socket.socket) -> None:
        failed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, "connection refused")
        host, port = probe.address
        request = f"GET /livez HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: clawbucket-rack\r\n\r\n"
        connection.send(request.encode("ascii"))
        probe.asked = True
        handler = self._selector.get_key(connection).data
        self._selector.modify(connection, selectors.EVENT_READ, handler)

    def _judge(self, task_id: str, probe: _Probe, complaint: str | None) -> None:
        self._hang_up(probe)
        now = self._clock.monotonic()
        if complaint is not None and probe.give_up_at is not None and now < probe.give_up_at:
            probe.next_at = now + _AGAIN_WHILE_STARTING
            return
        if complaint is None:
            probe.give_up_at = None
        probe.next_at = max(probe.next_at, now)
        self._verdict(task_id, complaint)

    def _hang_up(self, probe: _Probe) -> None:
        connection, probe.connection = probe.connection, None
        if connection is not None:
            with contextlib.suppress(KeyError):
                self._selector.unregister(connection)
            connection.close()


def _complaint(answer: bytes) -> str | None:
    status = answer.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or not status[0].startswith(b"HTTP/1."):
        return "no HTTP answer"
    return None if status[1] == b"200" else f"status {status[1][:3].decode('ascii', 'replace')}"
