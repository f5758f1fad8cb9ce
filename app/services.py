"""The replica's composition root: everything it is made of, and the only place where adapters are named."""

from __future__ import annotations

import math
import os
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import SystemRandom

import structlog

from app.agent_metrics import AgentMetrics
from app.metrics import Gauge, Metrics
from app.scoreboard_watch import ScoreboardWatch
from clawbucket.actions import Actions
from clawbucket.agents.picoclaw import PicoClawAgent
from clawbucket.board import BoardReader
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.codecs import Gate
from clawbucket.core.agent import PICOCLAW
from clawbucket.core.callsign import name_of
from clawbucket.core.records import LONGEST_CHAT, ChatMessage
from clawbucket.handoff.parts import Handoffs, handoffs
from clawbucket.handoff.peer_http import HttpPeers
from clawbucket.handoff.signing import Gatekeeper
from clawbucket.health import Health
from clawbucket.loops.runner import LoopRunner
from clawbucket.loops.trooper import Journals, TrooperLoops
from clawbucket.loops.trooper import build as build_trooper
from clawbucket.loops.watching import Watching
from clawbucket.ports import AgentRuntime, Bus, BusDown, ClawError, Clock, Orders, Peers
from clawbucket.settings import Settings
from clawbucket.watched import Watched
from clawbucket.wsgi import sync_elsewhere
from rack.client import RackClient

log = structlog.get_logger(__name__)

ANSWERED_WITHIN = 0.2
"""Seconds that an answer is given to leave, before the replica that gave it ends as it was asked to."""
SOFTWARE_ERROR = 70
"""The exit code of a replica that was told to self-destruct (sysexits.h, EX_SOFTWARE): as of a crash."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a request can use. ``trooper`` is None where no loops run (a test of the HTTP side alone).

    ``watching`` is then nobody's to tick but the test's.
    """

    settings: Settings
    clock: Clock
    bus: Bus
    gate: Gate
    health: Health
    board: BoardReader
    watched: Watched
    watching: Watching
    actions: Actions
    rack: Orders
    metrics: Metrics
    started_at: str
    handoffs: Handoffs
    gatekeeper: Gatekeeper | None
    scoreboard: ScoreboardWatch
    trooper: TrooperLoops | None = None
    finisher: LoopRunner | None = None

    def start(self) -> None:
        """Act from now on."""
        if self.trooper is not None:
            self.trooper.start()
        if self.finisher is not None:
            self.finisher.start()

    def stop(self, timeout: float) -> None:
        """Begin nothing more, and release what is led; ``timeout`` seconds for that."""
        if self.trooper is not None:
            self.trooper.stop(timeout)
        if self.finisher is not None:  # what it leaves undone is the next manager's
            self.finisher.stop(timeout=0.0)


def assemble(
    settings: Settings,
    clock: Clock,
    bus: Bus,
    rack: Orders,
    *,
    on_self_destruct: Callable[[], None] | None = None,
    agent: Callable[[Journals], AgentRuntime] | None = None,
    peers: Peers | None = None,
    sync: Callable[[int], None] = os.fsync,
) -> Services:
    """Put a replica together on any clock, bus and rack; ``on_self_destruct`` None: without its loops.

    ``agent`` makes the trooper's agent; None: it has none. ``peers`` is the way to other racks; ``sync``
    stands for fsync.
    """
    gate, health, metrics = Gate(clock), Health(), Metrics()
    board = BoardReader(bus, gate, clock, settings)
    watched = Watched(clock)
    watching = Watching(board, watched)
    journals = Journals.on(bus, gate, clock)
    health.register("bus", bus.ping)
    metrics.show(*_of_the_board(board))
    actions = Actions(bus, gate, clock, settings, rack, board, journals, _soon(on_self_destruct))
    others = peers or HttpPeers(settings.peer_key, clock)
    parts = handoffs(settings, clock, bus, gate, rack, board, journals, others, actions.standing, sync)
    trooper, finisher = None, None
    if on_self_destruct is not None:
        runtime = agent(journals) if agent is not None else None
        trooper = build_trooper(
            bus, gate, clock, settings, SystemRandom(), journals, board, on_self_destruct, runtime,
            also=[watching], handoff=parts.registry.find,
        )  # fmt: skip
        finisher = parts.runner(settings, clock, bus, others, partial(_leads, trooper, clock))
        metrics.show(*_of_the_trooper(trooper, clock))
        metrics.add(AgentMetrics(trooper.thinker, trooper.mind))
    return Services(
        settings=settings,
        clock=clock,
        bus=bus,
        gate=gate,
        health=health,
        board=board,
        watched=watched,
        watching=watching,
        actions=actions,
        rack=rack,
        metrics=metrics,
        started_at=clock.iso(),
        handoffs=parts,
        gatekeeper=Gatekeeper(bus, clock, settings.peer_key) if settings.peer_key else None,
        scoreboard=ScoreboardWatch(settings.aggregator_url, clock),
        trooper=trooper,
        finisher=finisher,
    )


def build(settings: Settings) -> Services:
    """The services of a real replica. Nothing connects until it is first used."""
    bus = MemcachedBus(settings.memcached_host, settings.memcached_port)
    rack = RackClient(settings.rack_url, settings.rack_token)
    agent = partial(_agent, settings, settings.ollama_url) if settings.ollama_url else None
    return assemble(
        settings, SystemClock(), bus, rack, on_self_destruct=_die, agent=agent, sync=sync_elsewhere
    )


def _leads(trooper: TrooperLoops, clock: Clock) -> bool:
    return trooper.leadership.epoch(clock.monotonic()) is not None


def _agent(settings: Settings, url: str, journals: Journals) -> AgentRuntime:
    """PicoClaw; what it says of its own accord goes into the chat under its trooper's callsign."""

    def say(text: str) -> None:
        message_id, at = uuid.uuid4().hex, SystemClock().iso()
        sender, host = name_of(settings.task_id), settings.hostname[:255]
        try:
            journals.chat.append(
                lambda seq: ChatMessage(message_id, seq, sender, host, text[:LONGEST_CHAT], at, PICOCLAW)
            )
        except ClawError as error:
            log.warning("what the agent said is lost", reason=str(error))

    return PicoClawAgent(settings, url, say, sync=sync_elsewhere)


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
