"""A rolling update under load: replicas are replaced one after the other, and nobody notices.

Swarm tells of an end two seconds before SIGTERM (moby, executor/container/controller.go, Shutdown). Here the
gateway is told only once it is over, as where the rack manager is away: whatever comes before only helps.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from clawbucket.core.model import Task, TaskState
from tests.contract.gateway.stage import SERVICE, Stage
from tests.contract.gateway.wires import DEADLINE, Wire, error_of, eventually, request_bytes

CLIENTS = 16
UPDATES = 6
BETWEEN = 200
"""Answers from one update to the next."""


class Served:
    """A replica's server in a process of its own; POSTs that took effect are lines of the file ``done``."""

    def __init__(self, slot: int, done: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            command = [sys.executable, "-m", "tests.contract.gateway.served", f"fd://{listener.fileno()}"]
            self.process = subprocess.Popen([*command, str(done)], pass_fds=[listener.fileno()])
        self.id = f"t{self.port}"
        self.name = f"{SERVICE}.{slot}.{self.id}"

    def task(self) -> Task:
        """It, as the engine would tell of it."""
        running = TaskState.RUNNING
        return Task(self.id, SERVICE, 1, "node-1", running, running, self.name, f"127.0.0.1:{self.port}")

    def connect(self) -> Wire:
        """A connection to it."""
        return Wire(socket.create_connection(("127.0.0.1", self.port), DEADLINE))

    def ready(self) -> bool:
        """Whether it wants requests; before it listens, the connection waits."""
        try:
            wire = self.connect()
        except ConnectionRefusedError:
            return False
        wire.send(request_bytes("GET", "/readyz", "Connection: close"))
        status = wire.message().status
        wire.close()
        return status == 200

    def terminate(self) -> None:
        """What an engine sends first."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Its exit code, once it is gone."""
        return self.process.wait(DEADLINE)


class Load:
    """Clients that ask without a pause, GET and POST in turn, each on one kept connection."""

    def __init__(self, port: int) -> None:
        self.answers: Counter[str] = Counter()
        self.sent: list[str] = []
        self._port = port
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * DEADLINE)
            assert not thread.is_alive()

    def goes_on(self) -> None:
        """Return after BETWEEN more answers."""
        had = self.answers.total()
        eventually(lambda: self.answers.total() >= had + BETWEEN, "load goes on", within=3 * DEADLINE)

    def _client(self, number: int) -> None:
        wire = Wire(socket.create_connection(("127.0.0.1", self._port), DEADLINE))
        count = 0
        while not self._stop.is_set():
            count += 1
            raw, line = request_bytes("GET", "/"), None
            if count % 2:
                line = f"/{number}-{count} once"
                raw = request_bytes("POST", line.split(" ")[0], "Content-Length: 4") + b"once"
            try:
                wire.send(raw)
                answer = wire.message()
                what = "200" if answer.status == 200 else f"{answer.status} {answer.body.decode()}"
            except (OSError, AssertionError) as error:
                what = f"broken: {error!r}"
            with self._lock:
                self.answers[what] += 1
                if line is not None:
                    self.sent.append(line)
            if what.startswith("broken"):
                break
        wire.close()


Start = Callable[[], Served]


@pytest.fixture
def done(tmp_path: Path) -> Path:
    """Where replicas write down what took effect."""
    return tmp_path / "done"


@pytest.fixture
def start(done: Path) -> Iterator[Start]:
    """Starts a replica's server and waits until it serves, as Swarm's health check does."""
    started: list[Served] = []

    def one_more() -> Served:
        started.append(Served(len(started) + 1, done))
        eventually(started[-1].ready, "it serves")
        return started[-1]

    yield one_more
    for replica in started:
        replica.process.kill()
        replica.ended()


@pytest.mark.slow
def test_a_rolling_update_under_load_loses_no_request(stage: Stage, start: Start, done: Path):
    """GET and POST over kept connections: every answer is 200, and every POST took effect once."""
    running = [start() for _ in range(3)]
    stage.publish(*(replica.task() for replica in running))
    with Load(stage.port) as load:
        for _ in range(UPDATES):
            running.append(start())
            stage.publish(*(replica.task() for replica in running))
            load.goes_on()
            oldest = running.pop(0)
            oldest.terminate()
            assert oldest.ended() == 0
            stage.publish(*(replica.task() for replica in running))
    assert set(load.answers) == {"200"}, load.answers
    assert Counter(done.read_text().splitlines()) == Counter(load.sent)


@pytest.mark.slow
def test_who_is_connected_when_a_replica_ends_is_answered(start: Start):
    """An order on a connection that came before the end is refused in words, and not reset."""
    replica = start()
    wire = replica.connect()
    assert replica.ready()  # by now it has taken up the connection that came before
    replica.terminate()
    eventually(lambda: not replica.ready(), "it drains")
    wire.send(request_bytes("POST", "/late", "Content-Length: 2") + b"{}")
    message = wire.message()
    assert (message.status, error_of(message), message.get("Connection")) == (503, "draining", "close")
    assert replica.ended() == 0
    wire.close()


@pytest.mark.slow
@pytest.mark.alone
def test_an_idle_replica_ends_at_once(start: Start):
    """A connection that was answered and is kept holds nobody up."""
    replica = start()
    idle = replica.connect()
    idle.send(request_bytes("GET", "/readyz"))
    assert idle.message().status == 200
    replica.terminate()
    assert replica.process.wait(1.0) == 0
    assert idle.ended()
    idle.close()
