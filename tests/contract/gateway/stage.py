"""What the gateway's contract tests stand on: replicas and a rack API of the tests' own, on plain sockets.

The replicas speak HTTP by hand, so that each can answer, dawdle, die or lie exactly where a test wants.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar
from urllib.parse import parse_qs, urlsplit

import uvloop

from clawbucket import codecs
from clawbucket.core.model import Snapshot, Task, TaskState
from clawbucket.listening import listening_socket
from clawbucket.settings import Settings
from gateway.__main__ import serve

DEADLINE = 10.0
SERVICE = "clawbucket_clawbucket"
TOKEN = "a token of the tests"
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


Behave = Callable[[Wire, Message], object]
"""What a replica does with a request whose head it read. It may raise OSError when the gateway is gone."""


class Replica:
    """A replica of the test's own. ``behave`` can be changed at any time; ``seen`` is what it was asked."""

    def __init__(self, behave: Behave, slot: int, *, refuses: bool = False) -> None:
        self.behave = behave
        self.seen: list[Message] = []
        self.readyz: tuple[int, object] = (200, {"ok": True, "checks": {}})
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.id = f"t{self.port}"
        self.name = f"{SERVICE}.{slot}.{self.id}"
        self._wires: list[Wire] = []
        if refuses:
            self._listener.close()
        else:
            threading.Thread(target=self._accept, daemon=True).start()

    def task(self, state: TaskState = TaskState.RUNNING, desired: TaskState = TaskState.RUNNING) -> Task:
        """It, as the engine would tell of it."""
        address = f"127.0.0.1:{self.port}"
        return Task(self.id, SERVICE, 1, "node-1", state, desired, self.name, address)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire = Wire(self._listener.accept()[0])
                self._wires.append(wire)
                threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        with contextlib.suppress(OSError, ValueError):
            wire.sock.settimeout(3 * DEADLINE)
            while (request := wire.head()) is not None:
                if request.target == "/readyz":
                    answer(wire, self.readyz[0], json.dumps(self.readyz[1]).encode())
                    continue
                self.seen.append(request)
                if self.behave(wire, request) is False:
                    break
        with contextlib.suppress(OSError):
            wire.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, ValueError):
            wire.close()

    def kill(self) -> None:
        """End it as SIGKILL would: nobody listens any more, and every connection breaks."""
        with contextlib.suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for wire in self._wires:
            with contextlib.suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)


def answer(wire: Wire, status: int = 200, body: bytes = b"hello", *more: str) -> None:
    """Send an answer with its length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *more]
    wire.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)


def hello(wire: Wire, request: Message) -> None:
    """Answer anything."""
    request.body = wire.body(request)
    if request.method == "HEAD":
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    else:
        answer(wire)


class RackApi:
    """A stand-in for the rack manager's API: the snapshot by long poll, with a bearer token."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._snapshot = Snapshot("rack", 1000, "2026-11-20T09:30:00.000Z", "local")
        self.polls: list[Message] = []
        self.port = 0
        self._listener: socket.socket | None = None
        self._wires: list[Wire] = []
        self._threads: list[threading.Thread] = []
        self.up()

    def publish(self, *tasks: Task, seq: int | None = None) -> None:
        """Say that these tasks are there now."""
        with self._changed:
            number = self._snapshot.seq + 1 if seq is None else seq
            self._snapshot = Snapshot("rack", number, "2026-11-20T09:30:00.000Z", "local", tasks=tasks)
            self._changed.notify_all()

    def settings(self) -> dict[str, str]:
        """What a program must be told to ask here."""
        return {"CLAWBUCKET_RACK_URL": f"http://127.0.0.1:{self.port}", "CLAWBUCKET_RACK_TOKEN": TOKEN}

    def up(self) -> None:
        """Listen, at the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """Be gone, as a rack manager that was killed."""
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._listener = None
        with self._changed:
            self._changed.notify_all()
        for wire in self._wires:
            with contextlib.suppress(OSError):
                wire.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(DEADLINE)
        self._wires, self._threads = [], []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire = Wire(listener.accept()[0])
                wire.sock.settimeout(3 * DEADLINE)
                self._wires.append(wire)
                self._threads.append(threading.Thread(target=self._serve, args=(wire,), daemon=True))
                self._threads[-1].start()

    def _serve(self, wire: Wire) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (request := wire.head()) is not None:
                self.polls.append(request)
                self._answer(wire, request)
        with contextlib.suppress(OSError, ValueError):
            wire.close()

    def _answer(self, wire: Wire, request: Message) -> None:
        if request.get("Authorization") != f"Bearer {TOKEN}":
            answer(wire, 401, b'{"error":"no"}')
            return
        asked = parse_qs(urlsplit(request.target).query)
        after, wait = int(asked["after"][0]), float(asked["wait"][0])
        with self._changed:
            self._changed.wait_for(lambda: self._snapshot.seq > after or self._listener is None, wait)
            snapshot = self._snapshot
        if snapshot.seq > after:
            answer(wire, 200, codecs.SNAPSHOT.encode(snapshot))
        else:
            wire.send(b"HTTP/1.1 204 No Content\r\n\r\n")


@dataclass
class Stage:
    """The gateway on loopback, the rack API it asks, and the replicas of the running test."""

    port: int
    rack: RackApi | None = None
    replicas: list[Replica] = field(default_factory=list)

    def run(self, *behave: Behave, refusing: int = 0) -> list[Replica]:
        """Start replicas (and ``refusing`` whose ports are closed), and wait until the gateway knows them."""
        self.replicas += [Replica(one, slot) for slot, one in enumerate(behave, 1)]
        self.replicas += [Replica(hello, 90 + slot, refuses=True) for slot in range(refusing)]
        self.publish(*(replica.task() for replica in self.replicas))
        return self.replicas

    def publish(self, *tasks: Task, seq: int | None = None) -> None:
        """Publish these tasks and wait until the gateway has them."""
        assert self.rack is not None
        self.rack.publish(*tasks, seq=seq)
        names = {t.name for t in tasks if t.running and t.address}
        eventually(lambda: set(self.in_flight()) == names, f"the gateway knows {names}")

    def in_flight(self) -> dict[str, float]:
        """Requests under way by task name, from the gateway's own metrics."""
        text = self.get("/metrics").body.decode()
        found = re.findall(
            r'^clawbucket_gateway_replica_in_flight\{task="([^"]+)"\} (\S+)$', text, re.MULTILINE
        )
        return {name: float(count) for name, count in found}

    def metric(self, series: str) -> float:
        """One series of the gateway's metrics; 0 where there is none yet."""
        for line in self.get("/metrics").body.decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name == series:
                return float(value)
        return 0.0

    @contextlib.contextmanager
    def connect(self) -> Iterator[Wire]:
        """A client's connection to the gateway."""
        wire = Wire(socket.create_connection(("127.0.0.1", self.port), DEADLINE))
        try:
            yield wire
        finally:
            wire.close()

    def ask(self, raw: bytes) -> Message:
        """Send bytes on a connection of their own; the first answer to them."""
        with self.connect() as wire:
            wire.send(raw)
            return wire.message()

    def listens(self) -> bool:
        """True once the gateway accepts connections."""
        try:
            return self.get("/livez").status == 200
        except ConnectionError:
            return False

    def get(self, target: str = "/", *more: str) -> Message:
        """GET."""
        return self.ask(request_bytes("GET", target, *more))

    def post(self, target: str = "/", body: bytes = b"{}", *more: str) -> Message:
        """POST with a length."""
        return self.ask(request_bytes("POST", target, f"Content-Length: {len(body)}", *more) + body)

    def clear(self) -> None:
        """End the test's replicas; AssertionError when the gateway still holds something open for them."""
        for replica in self.replicas:
            replica.kill()
        self.replicas = []
        eventually(lambda: self.metric("clawbucket_gateway_in_flight") == 1, "nothing is left under way")
        self.publish()


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


@contextlib.contextmanager
def running_gateway() -> Iterator[Stage]:
    """The whole gateway on uvloop in a thread, as ``python -m gateway`` puts it together."""
    rack = RackApi()
    listener = listening_socket("127.0.0.1:0")
    port = listener.getsockname()[1]
    settings = Settings(rack_url=f"http://127.0.0.1:{rack.port}", rack_token=TOKEN)
    ready: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        stop = asyncio.Event()
        ready.append((asyncio.get_running_loop(), stop))
        await serve(settings, listener, stop)

    thread = threading.Thread(target=lambda: uvloop.run(run()), name="gateway")
    thread.start()
    try:
        stage = Stage(port, rack)
        eventually(lambda: ready and stage.listens(), "the gateway listens")
        yield stage
    finally:
        loop, stop = ready[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE)
        assert not thread.is_alive(), "the gateway ends when it is told to"
        rack.down()
