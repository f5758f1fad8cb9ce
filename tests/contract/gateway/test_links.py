"""The connections between the gateway and its replicas: which are used again, and what ends them."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter

import pytest

from gateway.upstreams import KEPT
from tests.contract.gateway.stage import Stage, hello
from tests.contract.gateway.wires import Message, Wire, answer, error_of, eventually, request_bytes


class Counting:
    """A behaviour that remembers which connection each request came by."""

    def __init__(self, behave=hello) -> None:
        self.behave = behave
        self.wires: list[Wire] = []

    def __call__(self, wire: Wire, request: Message) -> object:
        self.wires.append(wire)
        return self.behave(wire, request)

    @property
    def connections(self) -> list[int]:
        """Requests of each connection, the most first."""
        return sorted(Counter(map(id, self.wires)).values(), reverse=True)


def ended(wire: Wire) -> bool:
    """Whether the gateway closed its end; the replica's thread is at it too, and may have closed it since."""
    try:
        return wire.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_reads_use_a_connection_again(stage: Stage):
    """Whatever the client's own connections are: one to the replica is enough, one read after the other."""
    counting = Counting()
    stage.run(counting)
    for _ in range(5):
        assert stage.get().status == 200
    assert counting.connections == [5]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_what_is_not_repeated_has_a_connection_of_its_own(stage: Stage, method: str):
    """An idle connection's end never puts it in doubt; the replica is told that nothing follows."""
    counting = Counting()
    (replica,) = stage.run(counting)
    for _ in range(2):
        assert stage.get().status == 200
        assert stage.ask(request_bytes(method, "/")).status == 200
    assert counting.connections == [2, 1, 1]
    asked = [message for message in replica.seen if message.method == method]
    assert [message.get("Connection") for message in asked] == ["close", "close"]
    lengths = [message.get("Content-Length") for message in asked]
    assert lengths == ([None] * 2 if method == "OPTIONS" else ["0"] * 2)


@pytest.mark.parametrize(
    "reply",
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and some more",
    ],
    ids=["it said close", "HTTP/1.0", "a second answer", "more than its length"],
)
def test_a_connection_that_is_unfit_is_not_used_again(stage: Stage, reply: str):
    """Above all, what came beyond one answer is never taken for the answer to the next request."""

    def said(wire: Wire, request: Message) -> None:
        if request.target == "/first":
            wire.send(reply.encode())
        else:
            answer(wire, 200, b"next")

    counting = Counting(said)
    stage.run(counting)
    first = stage.get("/first")
    assert (first.status, first.body) in {(200, b"ok"), (502, first.body)}
    assert [stage.get("/next").body for _ in range(3)] == [b"next"] * 3
    first_wire = counting.wires[0]
    assert all(wire is not first_wire for wire in counting.wires[-3:])


def test_an_answer_that_nobody_asked_for_is_not_given_to_anybody(stage: Stage):
    """A replica that speaks on an idle connection loses it."""
    counting = Counting(lambda wire, _: answer(wire, 200, b"mine"))
    stage.run(counting)
    assert stage.get().body == b"mine"
    answer(counting.wires[0], 200, b"forged")
    # The gateway reads it before or while it is asked again; either way it is not an answer.
    assert {stage.get().body for _ in range(5)} == {b"mine"}


def test_a_kept_connection_that_ends_under_a_read_is_no_failure(stage: Stage):
    """The race of keep-alive: the read goes to another replica, or to the same on a new connection."""
    fresh = Counting()
    stage.run(fresh)
    for _ in range(20):
        assert stage.get().status == 200
        fresh.wires[-1].sock.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_an_idle_connection_is_closed_before_the_replica_would(stage: Stage):
    """The replica's server, gunicorn, keeps one for two seconds."""
    counting = Counting()
    stage.run(counting)
    assert stage.get().status == 200
    started = time.monotonic()
    eventually(lambda: ended(counting.wires[0]), "it is closed")
    assert 0.9 * KEPT < time.monotonic() - started < 2.5


def test_interim_answers_are_not_the_answer(stage: Stage):
    """A replica's 100 and 103 are between it and the gateway."""

    def hints(wire: Wire, request: Message) -> None:
        request.body = wire.body(request)
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        answer(wire, 200, b"real")

    stage.run(hints)
    assert (stage.get().body, stage.post().body) == (b"real", b"real")


def test_a_head_in_pieces_is_put_together(stage: Stage):
    """Both ways: a byte at a time from the client, and from the replica."""

    def slowly(wire: Wire, _: Message) -> None:
        for byte in b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok":
            wire.send(bytes([byte]))

    (replica,) = stage.run(slowly)
    with stage.connect() as wire:
        for byte in request_bytes("GET", "/piece", "X-Q: 1"):
            wire.send(bytes([byte]))
        message = wire.message()
    assert (message.body, message.get("X-A"), replica.seen[0].get("X-Q")) == (b"ok", "b", "1")


def test_a_length_beside_chunks_is_not_believed(stage: Stage):
    """The chunks say where the answer ends (RFC 9112 section 6.3), or it is no answer."""

    def both(wire: Wire, _: Message) -> None:
        wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\nhello\r\n0\r\n\r\n"
        )

    stage.run(both)
    with stage.connect() as wire:
        wire.send(request_bytes("GET", "/"))
        message = wire.message()
        if message.status == 200:
            assert (message.body, message.get("Content-Length")) == (b"hello", None)
        else:
            assert error_of(message) == "upstream_failed"


def test_many_reads_at_once_each_have_a_connection(stage: Stage):
    """None waits for another's answer, and afterwards as many are kept as were needed."""
    everybody = threading.Barrier(8, timeout=10.0)

    def together(wire: Wire, _: Message) -> None:
        everybody.wait()
        answer(wire)

    counting = Counting(together)
    stage.run(counting)
    statuses: list[int] = []
    for _ in range(2):
        askers = [threading.Thread(target=lambda: statuses.append(stage.get().status)) for _ in range(8)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
    assert statuses == [200] * 16
    assert counting.connections == [2] * 8
