"""A rack whose troubles a test directs: ``python -m tests.browser.directed_world PORT``.

As tests/browser/world.py, and each ``POST /_world/NAME`` turns one thing on or off:

``silent``: the rack manager · ``engine``: it cannot be asked · ``hold``: scaling starts only one at first ·
``empty``: nobody is left of the second service · ``counter``: the aggregator.

``--first-start``: the rack manager is silent from the beginning.
"""

# ruff: noqa: E402 - the standard library is patched before anything else can hold on to the unpatched one
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from gevent.pywsgi import WSGIServer

import aggregator.factory
from aggregator.reading import Reader
from app.factory import create_app
from app.services import assemble
from clawbucket import logs
from clawbucket.core.model import Service, Snapshot
from clawbucket.health import Health
from clawbucket.settings import Settings
from tests.browser.neighbours import HERE
from tests.hive import PRIMARY, SECOND, STEP, Hive
from tests.hive_orders import HiveOrders

BOOT = 3.0
"""Seconds of the swarm's time before the browser sees it."""


class Directed(Hive):
    """A hive with a count that is wanted, and a rack manager that can fall silent or lose its engine."""

    def __init__(self) -> None:
        self.wanted = dict.fromkeys((PRIMARY, SECOND), 3)
        self.silent = self.engine = self.hold = self.empty = False
        super().__init__(3, (PRIMARY, SECOND))

    def publish(self) -> None:
        """Nothing while silent."""
        if not self.silent:
            super().publish()

    def snapshot(self) -> Snapshot:
        """With what is wanted, and why the engine cannot be asked."""
        services = tuple(Service(name, count) for name, count in self.wanted.items())
        error = "the Docker socket is gone" if self.engine else None
        return replace(super().snapshot(), services=services, error=error)


class DirectedOrders(HiveOrders):
    """A rack manager that takes its time where it is told to."""

    def __init__(self, hive: Directed) -> None:
        super().__init__(hive)
        self._directed = hive

    def scale(self, service: str, replicas: int) -> None:
        """What is wanted counts at once; who is held back comes later."""
        there = sum(task.service == service for task in self._directed.tasks.values())
        self._directed.wanted[service] = replicas
        super().scale(service, min(replicas, there + 1) if self._directed.hold else replicas)

    def catch_up(self) -> None:
        """Start whoever was held back."""
        for service, count in self._directed.wanted.items():
            super().scale(service, count)


class Counter:
    """The real aggregator on the hive's bus."""

    def __init__(self, hive: Hive) -> None:
        reader = Reader(hive.bus, hive.gate, hive.clock)
        self._app = aggregator.factory.create_app(Settings(label=HERE), reader, Health())
        self._server = WSGIServer(("127.0.0.1", 0), self._app, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def toggle(self) -> None:
        """Take it away, or bring it back where it was."""
        if self._server.started:
            self._server.stop()
        else:
            self._server = WSGIServer(self._server.address, self._app, log=None)
            self._server.start()


def direct(hive: Directed, orders: DirectedOrders, counter: Counter, name: str) -> None:
    """Turn that on or off."""
    if name == "counter":
        counter.toggle()
        return
    setattr(hive, name, not getattr(hive, name))
    if name == "hold" and not hive.hold:
        orders.catch_up()
    if name == "empty":
        hive.wanted[SECOND] = 0 if hive.empty else 3
        orders.catch_up()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.directed_world", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--first-start", action="store_true", help="the rack manager has not spoken yet")
    chosen = parser.parse_args()
    logs.configure("world")
    hive = Directed()
    hive.silent = chosen.first_start
    orders, counter = DirectedOrders(hive), Counter(hive)
    hive.run(BOOT)

    def live() -> None:
        began = time.monotonic() - hive.clock.monotonic()
        while True:
            time.sleep(STEP)
            while time.monotonic() - began > hive.clock.monotonic():
                hive.run(STEP)

    threading.Thread(target=live, daemon=True).start()
    first = next(iter(hive.tasks.values()))
    settings = Settings(
        service_name=PRIMARY, task_id=first.id, task_name=first.name, task_slot=first.slot,
        swarm_services=(PRIMARY, SECOND), label=HERE, aggregator_url=counter.url,
    )  # fmt: skip
    replica = create_app(assemble(settings, hive.clock, hive.bus, orders))

    def directed(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        before, _, name = environ["PATH_INFO"].partition("/_world/")
        if before or not name:
            return replica(environ, start)
        direct(hive, orders, counter, name)
        start("204 No Content", [])
        return []

    WSGIServer(("127.0.0.1", chosen.port), directed, log=None).serve_forever()


if __name__ == "__main__":
    main()
