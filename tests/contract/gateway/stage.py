"""What the gateway's contract tests stand on: replicas and a rack API of the tests' own, on plain sockets.

The replicas speak HTTP by hand, so that each can answer, dawdle, die or lie exactly where a test wants.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import uvloop

from clawbucket.core.model import Task, TaskState
from clawbucket.listening import listening_socket
from clawbucket.settings import Settings
from gateway.__main__ import serve
from tests.contract.gateway.rack_api import TOKEN, RackApi
from tests.contract.gateway.wires import DEADLINE, Message, Wire, answer, eventually, request_bytes

SERVICE = "clawbucket_clawbucket"
Behave = Callable[[Wire, Message], object]
"""What a replica does with a request whose head it read. It may raise OSError when the gateway is gone."""


class Replica:
    """A replica of the test's own. ``behave`` can be changed at any time; ``seen`` is what it was asked."""

    def __init__(
        self, behave: Behave, slot: int, *, refuses: bool = False, at: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.behave = behave
        self.seen: list[Message] = []
        self.readyz: tuple[int, object] = (200, {"ok": True, "checks": {}})
        self._listener = socket.create_server(at)
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


def hello(wire: Wire, request: Message) -> None:
    """Answer anything."""
    request.body = wire.body(request)
    if request.method == "HEAD":
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    else:
        answer(wire)


@dataclass
class Stage:
    """The gateway on loopback, the rack API it asks, and the replicas of the running test."""

    port: int
    rack: RackApi | None = None
    replicas: list[Replica] = field(default_factory=list)
    second: Stage | None = None

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


@contextlib.contextmanager
def running_gateway(
    rack: RackApi | None = None, rack_host: str | None = None, aggregator: str | None = None
) -> Iterator[Stage]:
    """The whole gateway on uvloop in a thread, as ``python -m gateway`` puts it together.

    ``aggregator``: where that is; there is a second port then. ``rack_host``: a name for the rack manager's.
    """
    rack = rack or RackApi()
    listener = listening_socket("127.0.0.1:0")
    second = listening_socket("127.0.0.1:0") if aggregator is not None else None
    stage = Stage(listener.getsockname()[1], rack)
    if second is not None:
        stage.second = Stage(second.getsockname()[1])
    settings = Settings(
        rack_url=f"http://{rack_host or rack.host}:{rack.port}",
        rack_token=TOKEN,
        aggregator_upstream=aggregator,
    )
    ready: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        stop = asyncio.Event()
        ready.append((asyncio.get_running_loop(), stop))
        await serve(settings, listener, stop, second)

    thread = threading.Thread(target=lambda: uvloop.run(run()), name="gateway")
    thread.start()
    try:
        eventually(lambda: ready and stage.listens(), "the gateway listens")
        yield stage
    finally:
        loop, stop = ready[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE)
        assert not thread.is_alive(), "the gateway ends when it is told to"
        if rack.listens:
            rack.down()
