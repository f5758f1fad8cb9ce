"""A closed-loop HTTP client for loopback: a few keep-alive connections, each asking again when answered.

Written on asyncio's protocols, without a library's request objects, so that on two cores the client takes as
little as it can from the server that it measures. It understands what our servers send: a status line,
headers, and a body of Content-Length.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

CONNECTIONS = 32
"""Requests under way at any moment. With fewer than there are replicas, each answers so rarely that what is
measured is mostly the cost of waking a process (16 on 20 replicas: about half the rate on two cores)."""
_DEADLINE = 60.0
"""Seconds after which a run that does not end is given up."""


@dataclass(slots=True)
class Result:
    """One run: answers in ``seconds``, their latencies in seconds, and how many were neither 200 nor 304.

    ``unchanged``: how many were 304.
    """

    seconds: float
    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    unchanged: int = 0

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency in seconds that ``share`` (0 to 1) of the answers did not exceed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class _Connection(asyncio.Protocol):
    """One keep-alive connection in a closed loop until ``until``.

    ``revalidate``: it keeps the last answer's ETag, and asks whether that still holds.
    """

    def __init__(self, request: bytes, result: Result, until: float, *, revalidate: bool) -> None:
        self._head, self._result, self._until, self._revalidate = request, result, until, revalidate
        self._request = request + b"\r\n"
        self._buffer = b""
        self._missing = -1
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask the first time."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count the answer when it is whole, and ask again."""
        if self._missing < 0:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._missing = length - (len(self._buffer) - end - 4)
            self._judge(head)
        else:
            self._missing -= len(data)
        if self._missing <= 0:
            now = time.perf_counter()
            self._result.latencies.append(now - self._sent_at)
            if now >= self._until and self._transport:
                self._transport.close()
            else:
                self._ask()

    def _judge(self, head: bytes) -> None:
        status = head[9:12]
        unchanged = self._revalidate and status == b"304"
        self._result.unchanged += unchanged
        self._result.failures += not unchanged and status != b"200"
        at = head.find(b"\r\netag:") if self._revalidate else -1
        if at >= 0:
            etag = head[at + 7 :].split(b"\r\n", 1)[0].strip()
            self._request = self._head + b"If-None-Match: " + etag + b"\r\n\r\n"

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """A connection that is cut before its time is a failure."""
        if time.perf_counter() < self._until:
            self._result.failures += 1
        if not self.done.done():
            self.done.set_result(None)

    def _ask(self) -> None:
        self._buffer, self._missing = b"", -1
        self._sent_at = time.perf_counter()
        if self._transport:
            self._transport.write(self._request)


def run(
    url: str, *, connections: int = CONNECTIONS, seconds: float = 3.0, revalidate: bool = False
) -> Result:
    """Load ``url`` (loopback only) for that long over that many connections."""
    return asyncio.run(asyncio.wait_for(_run(url, connections, seconds, revalidate), _DEADLINE))


async def _run(url: str, connections: int, seconds: float, revalidate: bool) -> Result:
    parts = urlsplit(url)
    if parts.hostname not in {"127.0.0.1", "localhost", "::1"} or parts.port is None:
        raise ValueError(f"the load goes to this machine only, by port; {url} is elsewhere")
    request = (
        f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.hostname}:{parts.port}\r\nAccept: */*\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    result = Result(seconds)
    made = [
        await loop.create_connection(
            lambda: _Connection(request, result, started + seconds, revalidate=revalidate),
            parts.hostname,
            parts.port,
        )
        for _ in range(connections)
    ]
    await asyncio.gather(*(protocol.done for _, protocol in made))
    result.seconds = time.perf_counter() - started
    return result
