"""A whole rack in one process, for a browser to look at: ``python -m tests.browser.world PORT [TOKEN]``.

The replica's real HTTP side on a swarm in memory (tests/hive.py) whose time goes as fast as the clock on
the wall. SIGUSR1 cuts the bus off, or brings it back.
"""

# ruff: noqa: E402 - the standard library is patched before anything else can hold on to the unpatched one
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import signal
import sys
import threading
import time

from gevent.pywsgi import WSGIServer

from app.factory import create_app
from app.services import assemble
from clawbucket import logs
from clawbucket.ports import ServiceUnknown, TaskUnknown
from clawbucket.settings import Settings
from tests.hive import PRIMARY, SECOND, STEP, Hive

BOOT = 3.0
"""Seconds of the swarm's time before the browser sees it: managers are elected, troopers have spoken."""


class HiveOrders:
    """A rack manager's hand on the hive."""

    def __init__(self, hive: Hive) -> None:
        self._hive = hive

    def scale(self, service: str, replicas: int) -> None:
        """Fill or empty slots, the highest first."""
        if service not in self._hive.services:
            raise ServiceUnknown(f"no service {service} runs here")
        mine = sorted((t for t in self._hive.tasks.values() if t.service == service), key=lambda t: t.slot)
        for slot in range(len(mine) + 1, replicas + 1):
            self._hive.start(service, slot)
        for task in mine[replicas:]:
            self._hive.kill(task.id)

    def kill(self, task_id: str) -> None:
        """Kill a task; its slot is filled again at once."""
        if task_id not in self._hive.tasks:
            raise TaskUnknown(f"no task {task_id} runs here")
        task = self._hive.tasks[task_id]
        self._hive.kill(task_id)
        self._hive.start(task.service, task.slot)

    def restart(self, service: str) -> None:
        """Kill every task of the service."""
        for task in list(self._hive.tasks.values()):
            if task.service == service:
                self.kill(task.id)

    def set_availability(self, node_id: str, availability: str) -> None:
        """The hive has one node, and it stays."""


def main() -> None:
    """Serve until killed."""
    logs.configure("world")
    hive = Hive(3, (PRIMARY, SECOND))
    hive.run(BOOT)

    def live() -> None:
        began = time.monotonic() - hive.clock.monotonic()
        while True:
            time.sleep(STEP)
            while time.monotonic() - began > hive.clock.monotonic():
                hive.run(STEP)

    def cut(_signal: int, _frame: object) -> None:
        hive.bus.down = not hive.bus.down

    threading.Thread(target=live, daemon=True).start()
    signal.signal(signal.SIGUSR1, cut)
    first = next(iter(hive.tasks.values()))
    settings = Settings(
        service_name=PRIMARY, task_id=first.id, task_name=first.name, task_slot=first.slot,
        swarm_services=(PRIMARY, SECOND), label="Machine Rack 1", token=next(iter(sys.argv[2:]), None),
    )  # fmt: skip
    services = assemble(settings, hive.clock, hive.bus, HiveOrders(hive))
    WSGIServer(("127.0.0.1", int(sys.argv[1])), create_app(services), log=None).serve_forever()


if __name__ == "__main__":
    main()
