"""``python -m bench.viewers URL COUNT SECONDS [--deaf N]``: how late many viewers hear of a change.

Bare sockets on asyncio in a process of its own, which look at nothing but an event's end and its last bytes:
two thousand viewers that read each line would themselves be what is late. Each event of the board generator
carries the time at which its change was due, on the monotonic clock that processes of one machine share; the
lag is thus everything from then on: the wait for the replica's next look, the comparing and serialising, and
the sending to everyone before.
``--deaf`` has that many more ask for the stream and then never read.

Prints "counting" when it begins to, and then JSON, times in milliseconds: ``lags``, ``deliveries`` (the part
of a lag after the event was made, by the time in its comment), ``connects`` and ``firsts`` (from the request
to the head, and to the end of the first picture), ``viewers`` connected at the end, ``refused``, ``bytes``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

AT_ONCE = 50
"""Connections that are opened at one time."""
MOST = 4_000
SETTLE = 3.0
"""Seconds after the last has its first picture, before anything is counted."""
TAIL = 2_000
"""Bytes before an event's end in which its time is looked for."""
DUE = re.compile(rb'"rps":\{[^{}]*"at":"(\d+\.\d+)"')
_NOT_YET = b"\nretry: 1000"
"""The end of what a replica says before it has any picture (app/fanout.py)."""
MADE = re.compile(rb": at (\d+)\n")
NEAR = 64
"""Bytes after an event's end, its chunk's frame among them, within which the next says when it was made."""
_BUFFER = memoryview(bytearray(262_144))
"""What every connection reads into: none keeps more than an event's last bytes."""


@dataclass(slots=True)
class Counted:
    """What was heard between ``begin`` and the end; the connecting, whenever it was."""

    begin: float = float("inf")
    lags: list[float] = field(default_factory=list)
    deliveries: list[float] = field(default_factory=list)
    connects: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    bytes: int = 0
    connected: int = 0
    refused: int = 0


class Viewer(asyncio.BufferedProtocol):
    """One viewer, until it is cut off. ``greeted`` is done with its first picture, or without one."""

    def __init__(self, host: str, counted: Counted) -> None:
        self._host, self._counted = host, counted
        self._tail = b""
        self._asked = 0.0
        self._headed = False
        self._made: float | None = None
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        self.transport = cast(asyncio.Transport, transport)
        self._asked = time.monotonic()
        self.transport.write(
            f"GET /api/stream HTTP/1.1\r\nHost: {self._host}\r\nAccept: text/event-stream\r\n\r\n".encode()
        )

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's form
        """The same for all: each piece is looked at before the next is read."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Count what came, and look for ends of events in it."""
        heard, counted = time.monotonic(), self._counted
        if heard >= counted.begin:
            counted.bytes += nbytes
        came = self._tail + bytes(_BUFFER[:nbytes])
        if not self._headed:
            if b"\r\n\r\n" not in came:
                self._tail = came
                return
            self._headed = True
            counted.connects.append(1_000 * (heard - self._asked))
            if not came.startswith(b"HTTP/1.1 200 "):
                counted.refused += 1
                self._close()
                return
        at = 0
        self._look(came, at)
        while (end := came.find(b"\n\n", at)) >= 0:
            self._event(came[max(at, end - TAIL) : end], heard)
            self._made, at = None, end + 2
            self._look(came, at)
        self._tail = came[max(at, len(came) - TAIL) :]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's form
        """It was cut off, or the end is there."""
        if self.greeted.done() and self.transport is not None:
            self._counted.connected -= 1
        self._close()

    def _look(self, came: bytes, at: int) -> None:
        if self._made is None and (made := MADE.search(came, at, at + NEAR)) is not None:
            self._made = int(made[1]) / 1_000

    def _event(self, end_of_it: bytes, heard: float) -> None:
        counted, due = self._counted, DUE.search(end_of_it)
        if not self.greeted.done():
            if not end_of_it.endswith(_NOT_YET):
                self.greeted.set_result(None)
                counted.firsts.append(1_000 * (heard - self._asked))
                counted.connected += 1
        elif due is not None and float(due[1]) >= counted.begin:
            if self._made is not None:
                counted.deliveries.append(1_000 * (time.time() - self._made))
            counted.lags.append(1_000 * (heard - float(due[1])))

    def _close(self) -> None:
        if self.transport is not None:
            self.transport.close()
            self.transport = None
        if not self.greeted.done():
            self.greeted.set_result(None)


def deaf(host: str, port: int) -> socket.socket:
    """One that asks and never reads, with little room for what comes."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    line.connect((host, port))
    line.sendall(b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return line


async def run(url: str, count: int, seconds: float, more_deaf: int = 0) -> Counted:
    """Connect everyone, let it settle, and count for that long."""
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 0
    if host != "127.0.0.1" or not 0 < count <= MOST:
        raise ValueError(f"up to {MOST} viewers of this machine's loopback; {count} of {url} are not")
    counted, loop = Counted(), asyncio.get_running_loop()
    viewers: list[Viewer] = []
    while len(viewers) < count:
        lot = [Viewer(f"{host}:{port}", counted) for _ in range(min(AT_ONCE, count - len(viewers)))]
        viewers += lot
        async with asyncio.timeout(60):
            await asyncio.gather(*(loop.create_connection(lambda one=one: one, host, port) for one in lot))  # type: ignore[misc]
            await asyncio.gather(*(one.greeted for one in lot))
    unread = [deaf(host, port) for _ in range(more_deaf)]
    await asyncio.sleep(SETTLE)
    counted.begin = time.monotonic()
    print("counting", flush=True)
    await asyncio.sleep(seconds)
    counted.begin = float("inf")
    connected = counted.connected
    for one in viewers:
        if one.transport is not None:
            one.transport.abort()
    await asyncio.sleep(0)
    for line in unread:
        line.close()
    counted.connected = connected
    return counted


def main() -> int:
    """Exit code 0 with JSON on the last line."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--deaf", type=int, default=0)
    chosen = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    counted = asyncio.run(run(chosen.url, chosen.count, chosen.seconds, chosen.deaf))
    told = {
        "lags": counted.lags, "connects": counted.connects, "firsts": counted.firsts,
        "deliveries": counted.deliveries, "viewers": counted.connected, "refused": counted.refused,
        "bytes": counted.bytes,
    }  # fmt: skip
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
