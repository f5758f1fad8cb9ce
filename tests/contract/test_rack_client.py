"""The rack client against the real API, waitress and all, on loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from clawbucket.bus.memory import MemoryBus
from clawbucket.clock import SystemClock
from clawbucket.health import Health
from clawbucket.listening import listening_socket
from clawbucket.ports import (
    Conflict,
    EngineDown,
    EngineInDoubt,
    NodeUnknown,
    Orders,
    ServiceUnknown,
    TaskElsewhere,
    TaskUnknown,
)
from rack.__main__ import url_of
from rack.api import ApiServer, Wiring, create_api
from rack.client import RackClient
from rack.metrics import Metrics
from rack.observer import Observer
from tests.stub_engine import DEAD, HERE, A, StubEngine

TOKEN = "a test's secret"


class Rack:
    """A served API, and a client of it."""

    def __init__(self) -> None:
        clock, metrics = SystemClock(), Metrics()
        self.engine = StubEngine()
        self.observer = Observer(self.engine, MemoryBus(clock), clock, metrics, "BOT 1")
        listener = listening_socket("127.0.0.1:0")
        self.url = url_of(listener)
        wiring = Wiring(self.engine, self.observer, metrics, Health(), Health(), TOKEN)
        self.server = ApiServer(create_api(wiring), listener)
        self.server.start()
        self.observer.publish()
        self.client = RackClient(self.url, TOKEN)

    def close(self) -> None:
        self.client.close()
        self.observer.stop()
        self.server.close()


@pytest.fixture
def rack() -> Iterator[Rack]:
    """A fresh one for each test."""
    made = Rack()
    yield made
    made.close()


class Listener:
    """Something on loopback that is no rack manager: it does one thing with every connection."""

    def __init__(self, act: Callable[[socket.socket], None]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = url_of(self._socket)
        self._act = act
        self._kept: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            self._kept.append(connection)
            request = connection.recv(65_536)
            if request.startswith(b"QUIT"):
                return
            self._act(connection)

    def close(self) -> None:
        with socket.create_connection(self._socket.getsockname()) as last:
            last.sendall(b"QUIT")
            self._thread.join(timeout=5.0)
        for connection in (*self._kept, self._socket):
            connection.close()


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Start a Listener; its URL."""
    made: list[Listener] = []

    def start(act: Callable[[socket.socket], None]) -> str:
        made.append(Listener(act))
        return made[-1].url

    yield start
    for listener in made:
        listener.close()


def test_orders_reach_the_engine(rack: Rack):
    """Every order of the port arrives as it was given."""
    orders: Orders = rack.client
    orders.scale(A, 4)
    assert orders.resize(A, 1, "a:grow") == 5
    assert orders.resize(A, 1, "a:grow") == 5
    assert orders.resize(A, -1, "a:shrink", HERE.id) == 4
    orders.restart(A)
    orders.kill(HERE.id)
    orders.set_availability("n1", "drain")
    assert rack.engine.orders == [
        ("scale", A, 4),
        ("resize", A, 1, "a:grow", ""),
        ("resize", A, -1, "a:shrink", HERE.id),
        ("restart", A),
        ("kill", HERE.id),
        ("availability", "n1", "drain"),
    ]


def test_refusals_are_the_ports_errors(rack: Rack):
    """What the engine refuses comes out as it would of the engine itself."""
    with pytest.raises(ServiceUnknown, match="nobody"):
        rack.client.scale("nobody", 1)
    with pytest.raises(ServiceUnknown, match="nobody"):
        rack.client.resize("nobody", 1, "a")
    with pytest.raises(TaskUnknown, match="nobody"):
        rack.client.resize(A, -1, "a", "nobody")
    with pytest.raises(TaskElsewhere):
        rack.client.resize(A, -1, "a", "far")
    with pytest.raises(Conflict, match="1 to 20"):
        rack.client.resize(A, -1, "a")
    with pytest.raises(TaskUnknown):
        rack.client.kill("no/bo?dy")
    with pytest.raises(TaskUnknown):
        rack.client.kill("nobody/../ü%2f ")
    with pytest.raises(TaskElsewhere):
        rack.client.kill("far")
    with pytest.raises(NodeUnknown):
        rack.client.set_availability("nobody", "drain")
    with pytest.raises(ServiceUnknown):
        rack.client.history("nobody")
    with pytest.raises(Conflict, match="from 0 to 20"):
        rack.client.scale(A, 21)
    rack.engine.fails = EngineDown("gone")
    with pytest.raises(EngineDown, match="gone"):
        rack.client.restart(A)
    rack.engine.fails = EngineInDoubt("who knows")
    with pytest.raises(EngineInDoubt, match="who knows"):
        rack.client.restart(A)


def test_snapshot_and_history(rack: Rack):
    """They come back as the very records that went in."""
    assert rack.client.snapshot() == rack.observer.latest()
    assert rack.client.history(A) == (DEAD,)
    rack.client.ping()


def test_long_poll_answers_at_the_next_publication(rack: Rack):
    """Who waits is woken by the news, and told nothing when there is none."""
    seen = rack.client.snapshot()
    assert seen is not None
    assert rack.client.snapshot(after=seen.seq, wait=0.02) is None
    news = threading.Timer(0.05, rack.observer.publish)
    news.start()
    began = time.monotonic()
    later = rack.client.snapshot(after=seen.seq, wait=10.0)
    assert time.monotonic() - began < 5.0
    assert later is not None
    assert later.seq == seen.seq + 1
    news.join()


def test_a_scale_is_seen_by_whoever_asks_after_it(rack: Rack):
    """When scale returns, the snapshot has the new count."""
    rack.client.scale(A, 7)
    snapshot = rack.client.snapshot()
    assert snapshot is not None
    service = snapshot.service(A)
    assert service is not None
    assert service.desired == 7


def test_wrong_token_is_said_plainly(rack: Rack):
    """A program with another rack's token is told so; for it, the rack manager is not to be had."""
    stranger = RackClient(rack.url, "another secret")
    with pytest.raises(EngineDown, match="token"):
        stranger.scale(A, 1)
    with pytest.raises(EngineDown, match="token"):
        stranger.snapshot()
    stranger.close()
    assert rack.engine.orders == []


def test_refused_connection_is_definite():
    """Nothing listens: nothing was sent."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        client = RackClient(url_of(free), TOKEN)
        for call in (client.ping, client.snapshot, lambda: client.scale(A, 1)):
            with pytest.raises(EngineDown, match="cannot be reached"):
                call()
        client.close()


def test_silence_after_an_order_is_doubt(listen):
    """An order that left and was not answered may have been carried out; a question is simply unanswered."""
    client = RackClient(listen(lambda _connection: None), TOKEN, timeout=0.05)
    with pytest.raises(EngineInDoubt, match="after the order left"):
        client.scale(A, 1)
    with pytest.raises(EngineDown, match="does not answer"):
        client.snapshot()
    client.close()


def test_connection_cut_after_an_order_is_doubt(listen):
    """The same when the rack manager dies in the middle."""
    client = RackClient(listen(lambda connection: connection.close()), TOKEN)
    with pytest.raises(EngineInDoubt):
        client.kill(HERE.id)
    with pytest.raises(EngineDown):
        client.ping()
    client.close()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"replicas": null}', b'{"replicas": "3"}'])
def test_a_count_that_cannot_be_understood_is_doubt(listen, body: bytes):
    """The order was taken, and what came of it was not told."""
    head = f"HTTP/1.1 202 Accepted\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    client = RackClient(listen(lambda connection: connection.sendall(head + body)), TOKEN)
    with pytest.raises(EngineInDoubt, match="understood"):
        client.resize(A, 1, "a")
    client.close()


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 600_000, b'{"seq": "1"}'])
def test_nonsense_is_no_snapshot(listen, body: bytes):
    """What cannot be a snapshot, or is larger than one may be, is refused in a sentence."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    client = RackClient(listen(lambda connection: connection.sendall(head + body)), TOKEN)
    with pytest.raises(EngineDown, match="understood"):
        client.snapshot()
    with pytest.raises(EngineDown, match="understood"):
        client.history(A)
    client.close()
