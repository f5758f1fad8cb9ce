"""WebSockets pass through as bytes."""

from __future__ import annotations

import base64
import hashlib
import socket
import threading

import pytest

from tests.contract.gateway.stage import Stage
from tests.contract.gateway.wires import DEADLINE, Message, Wire, answer, eventually, request_bytes

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def echo(wire: Wire, request: Message) -> bool:
    """Switch to a WebSocket and send back whatever comes, as bytes: frames, pings and closes alike."""
    key = (request.get("Sec-WebSocket-Key") or "").encode()
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()  # noqa: S324 - RFC 6455's
    wire.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: bob\r\nSec-WebSocket-Accept: " + accept.encode() + b"\r\n\r\n\x81\x02hi"
    )
    while data := wire.sock.recv(65_536):
        wire.send(data)
    return False


def shake_hands(wire: Wire) -> Message:
    """Ask for a WebSocket; the answer's head."""
    wire.send(
        request_bytes(
            "GET", "/ws", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: bob, alice",
        )
    )  # fmt: skip
    head = wire.head()
    assert head is not None
    return head


def test_a_websocket_passes_through(stage: Stage):
    """The handshake is the two ends' own, and so is every byte after it, from the first on."""
    (replica,) = stage.run(echo)
    with stage.connect() as wire:
        head = shake_hands(wire)
        assert (head.status, head.get("Upgrade"), head.get("Connection")) == (101, "websocket", "Upgrade")
        assert head.get("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert (head.get("Sec-WebSocket-Protocol"), head.get("X-Served-By")) == ("bob", replica.name)
        assert wire.file.read(4) == b"\x81\x02hi"
        for frame in (b"\x89\x80mask", b"\x82\xfe\x01\x00mask" + b"x" * 256, b"\x88\x82mask\x03\xe8"):
            wire.send(frame)
            assert wire.file.read(len(frame)) == frame
        assert stage.in_flight()[replica.name] == 1
    eventually(lambda: stage.in_flight()[replica.name] == 0, "it is counted no more")


@pytest.mark.slow
def test_a_websocket_carries_much_both_ways(stage: Stage):
    """Large and concurrent both ways, with what is in between bounded by back-pressure."""
    stage.run(echo)
    size = 4_000_000
    with stage.connect() as wire:
        shake_hands(wire)
        assert wire.file.read(4) == b"\x81\x02hi"
        sender = threading.Thread(target=wire.send, args=(b"x" * size,))
        sender.start()
        assert wire.file.read(size) == b"x" * size
        sender.join(DEADLINE)


def test_a_websocket_ends_with_its_replica(stage: Stage):
    """When the replica closes, or dies, the client's connection ends after what was sent."""

    def farewell(wire: Wire, _request: Message) -> bool:
        wire.send(
            b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x88\x02\x03\xe9"
        )
        return False

    stage.run(farewell)
    with stage.connect() as wire:
        shake_hands(wire)
        assert wire.file.read() == b"\x88\x02\x03\xe9"


def test_a_replica_hears_when_the_client_of_a_websocket_leaves(stage: Stage):
    """Its connection ends too."""
    gone = threading.Event()

    def listens(wire: Wire, request: Message) -> bool:
        echo(wire, request)
        gone.set()
        return False

    stage.run(listens)
    with stage.connect() as wire:
        shake_hands(wire)
        wire.sock.shutdown(socket.SHUT_RDWR)
    assert gone.wait(DEADLINE)


def test_a_refused_websocket_is_an_ordinary_answer(stage: Stage):
    """With its status and body, so that the client learns why."""

    def refuses(wire: Wire, _request: Message) -> None:
        answer(wire, 403, b'{"code":"forbidden"}')

    stage.run(refuses)
    with stage.connect() as wire:
        head = shake_hands(wire)
        assert (head.status, wire.body(head), wire.ended()) == (403, b'{"code":"forbidden"}', True)


def test_a_switch_that_nobody_asked_for_is_a_failure(stage: Stage):
    """A replica cannot turn a plain request's connection into a tunnel."""

    def switches(wire: Wire, _request: Message) -> bool:
        wire.send(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        return False

    stage.run(switches)
    assert stage.post().status == 502
