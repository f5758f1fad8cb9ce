"""The replica's composition root: everything it is made of, and the only place where adapters are named."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom

from app.metrics import Gauge, Metrics
from clawbucket.actions import Actions
from clawbucket.board import BoardReader
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.codecs import Gate
from clawbucket.health import Health
from clawbucket.loops.trooper import Journals, TrooperLoops
from clawbucket.loops.trooper import build as build_trooper
from clawbucket.loops.watching import Watching
from clawbucket.ports import Bus, BusDown, Clock, Orders
from clawbucket.settings import Settings
from rack.client import RackClient

ANSWERED_WITHIN = 0.2
"""Seconds that an answer is given to leave, before the replica that gave it ends as it was asked to."""
SOFTWARE_ERROR = 70
"""The exit code of a replica that was told to self-destruct (sysexits.h, EX_SOFTWARE): as of a crash."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a request can use. ``trooper`` is None where no loops run (a test of the HTTP side alone)."""

    settings: Settings
    clock: Clock
    bus: Bus
    gate: Gate
    health: Health
    board: BoardReader
    actions: Actions
    rack: Orders
    metrics: Metrics
    started_at: str
    trooper: TrooperLoops | None = None


def assemble(
    settings: Settings,
    clock: Clock,
    bus: Bus,
    rack: Orders,
    *,
    on_self_destruct: Callable[[], None] | None = None,
) -> Services:
    """Put a replica together on any clock, bus and rack; ``on_self_destruct`` None: without its loops."""
    gate, health, metrics = Gate(clock), Health(), Metrics()
    board = BoardReader(bus, gate, clock, settings)
    journals = Journals.on(bus, gate, clock)
    health.register("bus", bus.ping)
    metrics.show(*_of_the_board(board))
    trooper = None
    if on_self_destruct is not None:
        trooper = build_trooper(
            bus, gate, clock, settings, SystemRandom(), journals, on_self_destruct, also=[Watching(board)]
        )
        metrics.show(*_of_the_trooper(trooper, clock))
    return Services(
        settings=settings,
        clock=clock,
        bus=bus,
        gate=gate,
        health=health,
        board=board,
        actions=Actions(bus, gate, clock, settings, rack, board, journals, _soon(on_self_destruct)),
        rack=rack,
        metrics=metrics,
        started_at=clock.iso(),
        trooper=trooper,
    )


def build(settings: Settings) -> Services:
    """The services of a real replica. Nothing connects until it is first used."""
    bus = MemcachedBus(settings.memcached_host, settings.memcached_port)
    rack = RackClient(settings.rack_url, settings.rack_token)
    return assemble(settings, SystemClock(), bus, rack, on_self_destruct=_die)


def _soon(act: Callable[[], None] | None) -> Callable[[], None] | None:
    """``act``, once whoever asked for it has been answered."""
    if act is None:
        return None

    def later() -> None:
        timer = threading.Timer(ANSWERED_WITHIN, act)
        timer.daemon = True
        timer.start()

    return later


def _die() -> None:
    """End as a crash would: the worker's death ends its master, and the engine starts another task."""
    os._exit(SOFTWARE_ERROR)


def _of_the_board(board: BoardReader) -> tuple[Gauge, ...]:
    def stale() -> float | None:
        try:
            return board.board(max_age=math.inf).stale_seconds or 0.0
        except BusDown:
            return None

    return (
        Gauge("clawbucket_app_board_refreshes", "Times the bus was read", lambda: board.refreshes, True),
        Gauge("clawbucket_app_board_stale_seconds", "Seconds since the bus last answered, 0: it does", stale),
    )


def _of_the_trooper(trooper: TrooperLoops, clock: Clock) -> tuple[Gauge, ...]:
    def epoch() -> int | None:
        return trooper.leadership.epoch(clock.monotonic())

    runner, memory = trooper.runner, trooper.memory
    return (
        Gauge("clawbucket_app_is_leader", "1 while this task leads its service", lambda: epoch() is not None),
        Gauge("clawbucket_app_leader_epoch", "The epoch in which it leads", epoch),
        Gauge("clawbucket_app_score", "Its rock/paper/scissors score", lambda: memory.card.score),
        Gauge("clawbucket_app_round", "The round that it scored last", lambda: memory.card.round),
        Gauge(
            "clawbucket_app_loop_failures", "Loop ticks that the bus failed", lambda: runner.failures, True
        ),
        Gauge("clawbucket_app_loop_bugs", "Loop ticks that failed by a bug", lambda: runner.bugs, True),
    )
