"""Plain sockets with deadlines, and HTTP spoken over them by hand."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

DEADLINE = 10.0
T = TypeVar("T")


def eventually(condition: Callable[[], T], what: str, within: float = DEADLINE) -> T:
    """The first true value of ``condition``; AssertionError with ``what`` when there is none in time."""
    end = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(0.005)
    return value


@dataclass
class Message:
    """A request as a replica got it, or an answer as a client did: ``start`` is its first line."""

    start: str
    fields: list[tuple[str, str]]
    body: bytes = b""

    @property
    def method(self) -> str:
        """A request's method."""
        return self.start.split(" ")[0]

    @property
    def target(self) -> str:
        """A request's target."""
        return self.start.split(" ")[1]

    @property
    def status(self) -> int:
        """An answer's status."""
        return int(self.start.split(" ")[1])

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name: str) -> str | None:
        """The only value of a field, or None."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


class Wire:
    """One connection, either end's, with a deadline on every call."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(DEADLINE)
        self.sock = sock
        self.file: BinaryIO = sock.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self.sock.sendall(data)

    def head(self) -> Message | None:
        """The next message's head, or None at the connection's end."""
        start = self.file.readline()
        if not start.strip():
            return None
        fields = []
        while line := self.file.readline().rstrip(b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            fields.append((name, value.strip()))
        return Message(start.decode("latin-1").strip(), fields)

    def chunk(self) -> bytes:
        """The next chunk of a body in chunks; empty: the last."""
        size = int(self.file.readline(), 16)
        data = self.file.read(size)
        assert self.file.readline() == b"\r\n"
        return data

    def body(self, message: Message) -> bytes:
        """The whole body that the head announced."""
        if message.get("Transfer-Encoding") == "chunked":
            return b"".join(iter(self.chunk, b""))
        length = message.get("Content-Length")
        return self.file.read(int(length)) if length is not None else b""

    def message(self) -> Message:
        """The next message, whole."""
        message = self.head()
        assert message is not None, "the connection ended instead of an answer"
        bodiless = message.start.startswith("HTTP/") and message.status in {100, 101, 204, 304}
        message.body = b"" if bodiless else self.body(message)
        return message

    def ended(self) -> bool:
        """True when the other end is gone; False when it sent more. TimeoutError when it does neither."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True

    def reset(self) -> None:
        """Break the connection off, as the kernel does for a process that was killed."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """Close it."""
        self.file.close()
        self.sock.close()


def answer(wire: Wire, status: int = 200, body: bytes = b"hello", *more: str) -> None:
    """Send an answer with its length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *more]
    wire.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)


def request_bytes(method: str, target: str, *fields: str) -> bytes:
    """A request's head."""
    host = () if any(f.lower().startswith("host:") for f in fields) else ("Host: bob.example",)
    return ("\r\n".join([f"{method} {target} HTTP/1.1", *host, *fields]) + "\r\n\r\n").encode("latin-1")


def error_of(message: Message) -> str:
    """The code of an error in the contract's form."""
    said = json.loads(message.body)
    assert set(said) == {"error", "code"}
    assert message.get("Content-Type") == "application/json"
    return str(said["code"])
