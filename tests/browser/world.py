"""A whole rack in one process, for a browser to look at: ``python -m tests.browser.world PORT``.

The replica's real HTTP side on a swarm in memory (tests/hive.py) whose time goes as fast as the clock on
the wall. SIGUSR1 cuts the bus off, or brings it back. With ``--agents`` troopers think; SIGUSR2 takes their
model away, or brings it back. With ``--peers`` there are other racks, and a past with them.
"""

# ruff: noqa: E402 - the standard library is patched before anything else can hold on to the unpatched one
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import argparse
import signal
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from gevent.pywsgi import WSGIServer

from app.factory import create_app
from app.services import assemble
from clawbucket import logs
from clawbucket.handoff.watching_peers import WatchingPeers
from clawbucket.loops.mind import Mind
from clawbucket.loops.watching import Watching
from clawbucket.ports import BusDown
from clawbucket.settings import Settings
from tests.browser.neighbours import HERE, Neighbours
from tests.browser.talker import Model, Talker
from tests.hive import PRIMARY, SECOND, STEP, Hive
from tests.hive_orders import HiveOrders

BOOT = 3.0
"""Seconds of the swarm's time before the browser sees it: managers are elected, troopers have spoken."""
BOOT_THINKING = 14.0
"""The same where they think: the last of three slots has had its first thought after ten."""


class Live(Hive):
    """A hive whose troopers think beside their loops, as in a replica, once ``live``."""

    live = False

    def start(self, service: str, slot: int) -> str:
        """Fill a slot with a trooper that thinks by itself."""
        task_id = super().start(service, slot)
        if self.live:
            self.wake(task_id)
        return task_id

    def wake(self, task_id: str) -> None:
        """Let the trooper think in a greenlet of its own from now on."""
        mind: Mind = self.troopers[task_id].mind
        think = mind.step
        mind.step = lambda: False  # type: ignore[method-assign]

        def thinking() -> None:
            while task_id in self.troopers:
                if not think():
                    time.sleep(STEP)

        threading.Thread(target=thinking, daemon=True).start()

    def wake_all(self) -> None:
        """From now on everybody thinks so."""
        self.live = True
        for task_id in self.troopers:
            self.wake(task_id)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.world", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--token", help="what mutations must show")
    parser.add_argument("--agents", action="store_true", help="troopers think")
    parser.add_argument("--peers", type=int, default=0, help="other racks, at most three")
    parser.add_argument("--real-time", action="store_true", help="its time of day is this machine's")
    chosen = parser.parse_args()
    logs.configure("world")
    model = Model()
    hive = Live(3, (PRIMARY, SECOND), agent=(lambda _task_id: Talker(model)) if chosen.agents else None)
    neighbours = Neighbours(chosen.peers)
    if chosen.peers:
        neighbours.seed(hive)
    hive.run(BOOT_THINKING if chosen.agents else BOOT)
    hive.wake_all()
    if chosen.real_time:
        hive.clock.show(time.time_ns() // 1_000_000)

    def live() -> None:
        began = time.monotonic() - hive.clock.monotonic()
        while True:
            time.sleep(STEP)
            while time.monotonic() - began > hive.clock.monotonic():
                hive.run(STEP)

    def watch_peers(watching: WatchingPeers) -> None:
        while True:
            if not hive.bus.down:
                watching.tick(hive.clock.monotonic())
            time.sleep(watching.every)

    def cut(_signal: int, _frame: object) -> None:
        hive.bus.down = not hive.bus.down

    def lose_model(_signal: int, _frame: object) -> None:
        model.missing = not model.missing

    threading.Thread(target=live, daemon=True).start()
    signal.signal(signal.SIGUSR1, cut)
    signal.signal(signal.SIGUSR2, lose_model)
    first = next(iter(hive.tasks.values()))
    settings = Settings(
        service_name=PRIMARY, task_id=first.id, task_name=first.name, task_slot=first.slot,
        swarm_services=(PRIMARY, SECOND), label=HERE, token=chosen.token, peers=neighbours.settings,
        revolt_snapshot_dir=Path(tempfile.mkdtemp()),
    )  # fmt: skip
    watching = WatchingPeers(settings, hive.bus, neighbours, lambda: True)
    threading.Thread(target=watch_peers, args=(watching,), daemon=True).start()
    services = assemble(settings, hive.clock, hive.bus, HiveOrders(hive), peers=neighbours)

    def watch_board(watching: Watching) -> None:
        while True:
            with suppress(BusDown):
                watching.tick(hive.clock.monotonic())
            time.sleep(watching.every)

    threading.Thread(target=watch_board, args=(services.watching,), daemon=True).start()
    WSGIServer(("127.0.0.1", chosen.port), create_app(services), log=None).serve_forever()


if __name__ == "__main__":
    main()
