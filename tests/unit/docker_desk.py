"""The engine on Swarm before a manager in memory, as its tests have it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from clawbucket.clock import SystemClock
from rack.engines.docker import DockerEngine
from rack.engines.docker_pace import Pace
from rack.metrics import Metrics
from tests.fake_docker import SERVICES, FakeDocker

A, B = SERVICES


class Desk:
    """An engine over a fake Docker."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.docker = FakeDocker()
        self.metrics = Metrics()
        self.engine = DockerEngine(
            rack="BOT 1", services=SERVICES, daemon=self.docker, clock=SystemClock(), metrics=self.metrics,
            pace=pace,
        )  # fmt: skip

    def start(self) -> Desk:
        self.engine.start()
        assert self.docker.opened.acquire(timeout=5.0)
        return self


def followed() -> Iterator[Desk]:
    """One that is started and follows the events."""
    desk = Desk()
    yield desk.start()
    desk.docker.fails.clear()
    desk.engine.close()


def eventually(condition: Callable[[], bool], timeout: float = 5.0) -> None:
    """Return when it is true."""
    deadline, pause = time.monotonic() + timeout, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        pause.wait(0.01)
