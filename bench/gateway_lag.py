"""How late the gateway makes one request or event: both ways are taken in turn by one plain client.

Blocking sockets, one request at a time: nothing else of this process runs between sending and hearing.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_DEADLINE = 10.0
_EVENT = re.compile(rb"\nid: (\S+)\nevent: [^\n]*\ndata: [^\n]*\n\n")
"""One whole event of app/fanout.py. Each is a chunk of its own, so no chunk's length stands within."""
_LONGEST = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, and how often it is sent each way."""

    name: str
    method: str
    path: str
    fields: tuple[str, ...] = ()
    body: bytes = b""
    times: int = 300

    def to(self, host: str) -> bytes:
        """Its bytes."""
        length = (f"Content-Length: {len(self.body)}",) if self.body else ()
        lines = (f"{self.method} {self.path} HTTP/1.1", f"Host: {host}", "Accept: */*", *self.fields, *length)
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


class _Client:
    """One kept connection of this machine's loopback."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.hostname != "127.0.0.1" or parts.port is None:
            raise ValueError(f"a port of 127.0.0.1 is asked; {url} is elsewhere")
        self.host = f"127.0.0.1:{parts.port}"
        self.socket = socket.create_connection(("127.0.0.1", parts.port), _DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> tuple[float, bytes]:
        """Seconds until the whole answer was there, and its head."""
        started = time.perf_counter()
        self.socket.sendall(request)
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more()
        head = data[:end]
        length = re.search(rb"\r\ncontent-length: *(\d+)", head.lower())
        missing = 0 if head[9:12] == b"304" or length is None else int(length[1])
        missing -= len(data) - end - 4
        while missing > 0:
            missing -= len(self._more())
        return time.perf_counter() - started, head

    def _more(self) -> bytes:
        data = self.socket.recv(1 << 20)
        if not data:
            raise AssertionError(f"{self.host} closed the connection instead of an answer")
        return data


class Pair:
    """A replica, and the gateway before it."""

    def __init__(self, straight: str, through: str) -> None:
        self.straight, self.through = straight, through

    def etag_of(self, path: str) -> str:
        """What a replica says now."""
        _, head = _Client(self.straight).ask(Ask("", "GET", path).to("127.0.0.1"))
        found = re.search(rb"\r\netag: *(\S+)", head, re.IGNORECASE)
        if found is None:
            raise AssertionError(f"{path} has no ETag: {head[:200]!r}")
        return found[1].decode()


def added(pair: Pair, ask: Ask) -> tuple[list[float], list[float]]:
    """Seconds of each request straight, and of each through the gateway; taken in turn."""
    clients = (_Client(pair.straight), _Client(pair.through))
    requests = [ask.to(client.host) for client in clients]
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(ask.times + 10):
        for client, request, taken in zip(clients, requests, seconds, strict=True):
            took, head = client.ask(request)
            if head[9:10] not in b"23":
                raise AssertionError(f"{ask.method} {ask.path}: {head[:200]!r}")
            if turn >= 10:  # the first few open connections and warm caches
                taken.append(took)
    for client in clients:
        client.socket.close()
    return seconds


def stream_lags(gateway: str, addresses: Mapping[str, str], count: int) -> list[float]:
    """Milliseconds by which ``count`` events are heard later through the gateway than from the same replica.

    ``addresses``: by task name. The gateway chooses the replica, and the second viewer then goes straight to
    it: the replica writes to the gateway's viewer first, and to the straight one some microseconds later.
    """
    through = _Client(gateway)
    ask = Ask("", "GET", "/api/stream", ("Accept: text/event-stream",))
    through.socket.sendall(ask.to(through.host))
    data = b""
    while b"\r\n\r\n" not in data:
        data += through.socket.recv(1 << 16)
    served = re.search(rb"\r\nx-served-by: *(\S+)", data, re.IGNORECASE)
    if served is None:
        raise AssertionError(f"the gateway does not say who served: {data[:300]!r}")
    straight = _Client(f"http://{addresses[served[1].decode()]}")
    straight.socket.sendall(ask.to(straight.host))
    heard = _heard((straight, through), count)
    straight.socket.close()
    through.socket.close()
    return [1_000 * (later[1] - first[1]) for first, later in heard]


def _heard(clients: tuple[_Client, _Client], count: int) -> list[tuple[tuple[bytes, float], ...]]:
    """When each event was there at either viewer: pairs of the same id."""
    times: tuple[dict[bytes, float], dict[bytes, float]] = ({}, {})
    buffers = [b"", b""]
    deadline = time.monotonic() + 60.0
    with selectors.DefaultSelector() as selector:
        for index, client in enumerate(clients):
            client.socket.setblocking(False)
            selector.register(client.socket, selectors.EVENT_READ, index)
        while len(both := times[0].keys() & times[1].keys()) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(both)} events within a minute, and {count} were waited for")
            for key, _ in selector.select(1.0):
                index = key.data
                buffers[index] += clients[index].socket.recv(1 << 20)
                now = time.perf_counter()
                end = 0
                for found in _EVENT.finditer(buffers[index]):
                    times[index].setdefault(found[1], now)
                    end = found.end()
                buffers[index] = buffers[index][end:][-_LONGEST:]
    return [((one, times[0][one]), (one, times[1][one])) for one in both]
