"""The stream as bytes on real sockets, through the real server.

What app/outlet.py asks of gunicorn, and what viewers do that are no browsers.
"""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import psutil
import pytest

from app.fanout import RING, applied
from app.outlet import outlet_of
from bench.rack import wait_until
from tests.stream_program import PERIOD

pytestmark = pytest.mark.slow

SMALL, LARGE = 1_000, 400_000
CAP = 60
UNREAD = 1.0
SO_ATTACH_FILTER = 26
"""asm-generic/socket.h; Python has no name for it."""
ASK = b"GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Server:
    """tests/stream_program.py on a socket that this process bound."""

    def __init__(self, size: int) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.stream_program", *map(str, (listener.fileno(), CAP, UNREAD, size))],
            pass_fds=[listener.fileno()],
        )
        listener.close()

    def connect(self, asking: bytes = ASK) -> socket.socket:
        """A connection on which something was asked."""
        connection = socket.create_connection(self.address, timeout=30)  # it may just be starting
        connection.sendall(asking)
        return connection

    def ask(self, path: str) -> bytes:
        """The whole answer, after which the connection is closed."""
        with self.connect(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        ) as one:
            return b"".join(iter(lambda: one.recv(65_536), b""))

    def viewers(self) -> int:
        """How many watch."""
        return int(self.ask("/viewers").rpartition(b"\r\n")[2])

    def memory(self) -> int:
        """Bytes that the worker has for itself."""
        return int(psutil.Process(self.process.pid).children()[0].memory_full_info().uss)


@contextmanager
def running(size: int) -> Iterator[Server]:
    """One that answers, for the length of a block."""
    server = Server(size)
    try:
        server.ask("/livez")
        yield server
    finally:
        server.process.terminate()
        try:
            server.process.wait(5)
        finally:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Server, Server]]:
    """One with small deltas, and one whose deltas soon fill a socket."""
    with running(SMALL) as small, running(LARGE) as large:
        yield small, large


@pytest.fixture
def server(both: tuple[Server, Server]) -> Server:
    """That with small deltas, once nobody watches any more."""
    wait_until("nobody watches", lambda: both[0].viewers() == 0, 5)
    return both[0]


@pytest.fixture
def large(both: tuple[Server, Server]) -> Server:
    """The other, once nobody watches any more."""
    wait_until("nobody watches", lambda: both[1].viewers() == 0, 5)
    return both[1]


@dataclass(frozen=True)
class Event:
    """One event, and when it was heard."""

    id: bytes
    kind: str
    heard: float


class Watcher:
    """A viewer that believes nothing: chunks must be whole and framed exactly, ids must follow each other."""

    def __init__(self, connection: socket.socket, *, chunked: bool = True) -> None:
        self.connection = connection
        self._chunked = chunked
        self._raw = connection.makefile("rb")
        self._body = b""
        self.state: dict[str, object] = {}
        self.last = 0
        self.head = b"".join(iter(self._raw.readline, b"\r\n"))

    def __enter__(self) -> Self:
        chunked = self._chunked
        assert self.head.startswith(b"HTTP/1.1 200 OK\r\n" if chunked else b"HTTP/1.0 200 OK\r\n")
        assert (b"\r\nTransfer-Encoding: chunked\r\n" in self.head) is chunked
        assert self._until_blank() == b"retry: 1000"
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()
        self.connection.close()

    def event(self) -> Event:
        """The next one; the state is then what it makes of it. EOFError: the stream ended as it should."""
        lines = dict(line.split(b": ", 1) for line in self._until_blank().split(b"\n") if line[:1] != b":")
        number, kind = int(lines[b"id"].rpartition(b"-")[2]), lines[b"event"].decode()
        data = json.loads(lines[b"data"])
        if kind == "snapshot":
            self.state = data
        else:
            assert number == self.last + 1
            self.state = applied(self.state, data if kind == "delta" else {})
        self.last = number
        return Event(lines[b"id"], kind, time.monotonic())

    def _until_blank(self) -> bytes:
        while b"\n\n" not in self._body:
            piece = self._chunk() if self._chunked else self._raw.read1(65_536)
            if not piece:
                raise EOFError
            self._body += piece
        found, _, self._body = self._body.partition(b"\n\n")
        return found

    def _chunk(self) -> bytes:
        size = int(self._raw.readline(), 16)
        piece = self._raw.read(size)
        assert len(piece) == size
        assert self._raw.read(2) == b"\r\n"
        return piece


@contextmanager
def watching(server: Server, asking: bytes = ASK) -> Iterator[Watcher]:
    """A watcher that has its first picture."""
    with Watcher(server.connect(asking), chunked=b"HTTP/1.1" in asking) as watcher:
        assert watcher.event().kind == "snapshot"
        yield watcher


def longest_gap(watcher: Watcher, events: int) -> float:
    """Seconds between two events, at most."""
    heard = [watcher.event().heard for _ in range(events)]
    return max(after - before for before, after in pairwise(heard))


def with_little_room(server: Server) -> socket.socket:
    """Who asks for the stream, and has little room for what it does not read."""
    connection = socket.socket()
    connection.settimeout(30)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect(server.address)
    connection.sendall(ASK)
    return connection


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_every_byte_is_framed_as_the_server_would(server: Server, version: str):
    """Chunks for HTTP/1.1, a bare body for HTTP/1.0; each event follows the one before it."""
    with watching(server, ASK.replace(b"1.1", version.encode())) as watcher:
        first = watcher.state["n"]
        kinds = {watcher.event().kind for _ in range(20)}
        assert (kinds, watcher.state["n"]) == ({"delta"}, first + 20)  # type: ignore[operator]


def test_the_server_lays_the_socket_open(server: Server):
    """Under gunicorn viewers have outlets; a socket that would hold up the writer, or HTTP/2, has none."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        environ = {"gunicorn.socket": ours, "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http"}
        assert outlet_of(environ) is None
        ours.setblocking(False)
        assert outlet_of(environ) is not None
        for wrong in ({"SERVER_PROTOCOL": "HTTP/2"}, {"wsgi.url_scheme": "https"}, {"gunicorn.socket": None}):
            assert outlet_of({**environ, **wrong}) is None
    assert server.ask("/outlet").rpartition(b"\r\n")[2] == b"True"


def test_going_on_after_a_last_event_id(server: Server):
    """Who comes back hears only what it missed, in order, and then what is new."""
    with watching(server) as watcher:
        last = watcher.event().id
    asking = ASK[:-2] + b"Last-Event-ID: %b\r\n\r\n" % last
    with Watcher(server.connect(asking)) as back:
        back.last = int(last.rpartition(b"-")[2])
        assert {back.event().kind for _ in range(5)} == {"delta"}


def test_a_viewer_that_reads_too_slowly_stays_right(large: Server):
    """Half-sent events are finished before anything else; what it missed meanwhile comes, or the whole."""
    with Watcher(with_little_room(large)) as watcher:
        pause, kinds = threading.Event(), []
        for _ in range(15):
            pause.wait(4 * PERIOD)
            kinds.append(watcher.event().kind)
            n = watcher.state["n"]
            assert isinstance(n, int)
            assert watcher.state["blob"] == "ab"[n % 2] * LARGE
        assert kinds.count("snapshot") > 1


def test_one_that_does_not_read_delays_nobody_and_is_let_go(large: Server):
    """The others hear every event in time, the memory stays bounded, and its place is free again."""
    with watching(large) as watcher, ExitStack() as open_ones:
        alone = longest_gap(watcher, 20)
        before, ring = large.memory(), RING * LARGE
        for _ in range(20):
            open_ones.enter_context(with_little_room(large))
        wait_until("all watch", lambda: large.viewers() == 21, 5)
        assert longest_gap(watcher, 30) < alone + 0.5
        assert large.memory() - before < ring + 20 * 2 * LARGE
        assert until_heard(watcher, lambda: large.viewers() == 1), "those who do not read were not let go"


def test_fifty_that_vanish_are_let_go(server: Server):
    """Their machines are gone without a word: what is sent to them is never confirmed."""
    with ExitStack() as open_ones, watching(server) as watcher:
        for _ in range(50):
            gone = open_ones.enter_context(server.connect())
            assert gone.recv(1)
            vanish(gone)
        assert server.viewers() == 51
        assert longest_gap(watcher, 20) < 0.5
        assert until_heard(watcher, lambda: server.viewers() == 1), "the vanished were not let go"


def vanish(connection: socket.socket) -> None:
    """From now on the kernel drops what comes for this socket, unconfirmed (socket(7), SO_ATTACH_FILTER)."""
    program = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K: keep nothing
    described = struct.pack("HP", 1, ctypes.addressof(program))
    connection.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)


def until_heard(watcher: Watcher, done: Callable[[], bool], within: float = 8 * UNREAD) -> bool:
    """Go on watching until it is so."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        watcher.event()
        if done():
            return True
    return False


def test_those_who_hang_up_leave_at_the_next_event(server: Server):
    """Closed or reset: with the next event their place is free."""
    for linger in (None, struct.pack("ii", 1, 0)):
        gone = server.connect()
        assert gone.recv(1)
        if linger:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        gone.close()
    wait_until("their places are free", lambda: server.viewers() == 0, 5)


def test_a_viewer_that_talks_is_not_listened_to(server: Server):
    """Garbage after the request neither ends the stream nor reaches anybody."""
    with watching(server) as noisy, watching(server) as other:
        noisy.connection.sendall(b"\x00\xff garbage \r\n\r\n" * 1_000)
        assert longest_gap(noisy, 10) < 1.0
        assert longest_gap(other, 10) < 1.0


def test_half_closed_is_still_watching(server: Server):
    """Who has nothing more to say (FIN) may go on reading."""
    with watching(server) as watcher:
        watcher.connection.shutdown(socket.SHUT_WR)
        assert [watcher.event().kind for _ in range(10)] == ["delta"] * 10


def test_one_too_many_is_told_when_to_come_back(server: Server):
    """503 with Retry-After, and there is room again as soon as one leaves."""
    with ExitStack() as open_ones:
        last = [open_ones.enter_context(watching(server)) for _ in range(CAP)][-1]
        refused = server.ask("/api/stream")
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 5\r\n" in refused
        assert b'"stream_full"' in refused
        last.__exit__()
        wait_until("there is room", lambda: server.viewers() == CAP - 1, 5)
        assert open_ones.enter_context(watching(server)).event().kind == "delta"


def test_at_the_end_streams_end_between_two_events():
    """SIGTERM: whoever reads gets whole events and the last chunk; who does not read holds nobody up."""
    with running(LARGE) as server, ExitStack() as open_ones:
        for _ in range(5):
            open_ones.enter_context(with_little_room(server))
        with watching(server) as watcher:
            server.process.send_signal(signal.SIGTERM)
            with pytest.raises(EOFError):
                longest_gap(watcher, 1_000)
            assert watcher._body == b""
            assert server.process.wait(3) == 0
