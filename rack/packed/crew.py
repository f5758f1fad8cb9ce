"""The troopers of one sim worker: the very loops of a replica, many times over, stepped by one thread.

Each trooper has what a replica's has (clawbucket/loops/trooper.py): its own memory, candidacy, score,
inbox. They share what a process has once: the bus, the journals, the sight of the rack. They have no agent,
so they speak by the phrase book, and think on the spot.
"""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar, cast

import structlog

from clawbucket.board import BoardReader
from clawbucket.codecs import Codec, Gate, Reader
from clawbucket.loops.sight import Sight
from clawbucket.loops.trooper import Journals, TrooperLoops, build
from clawbucket.ports import ClawError, Clock
from clawbucket.settings import Settings
from rack.packed.shared_bus import SharedBus
from rack.packed.wheel import Wheel

T = TypeVar("T")
log = structlog.get_logger(__name__)

KILLED = 137
"""The exit code of one that was killed: 128 + SIGKILL, as a shell and Docker tell it."""
SOFTWARE_ERROR = 70
"""The exit code of one that was told to self-destruct (app/services.py has the same)."""
_SPREAD, _SPREAD_EACH = 2.0, 0.002
"""Seconds over which many that begin at once begin, at most and for each: beats, two seconds apart, stay
spread."""
_LONGEST_WAIT = 0.25
_LITTER = 200
"""Troopers that ended, after which what they left is cleared away: that stops everybody for a moment."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A task that is to live here."""

    id: str
    name: str
    service: str
    slot: int


@dataclass(slots=True)
class News:
    """What happened since it was last asked."""

    running: list[str] = field(default_factory=list)
    ended: list[tuple[str, int]] = field(default_factory=list)


class SharingGate(Gate):
    """A gate that parses once what everybody reads. ``shared`` are the keys of that."""

    def __init__(self, clock: Clock, shared: Iterable[str]) -> None:
        super().__init__(clock)
        self._shared = frozenset(shared)
        self._readers: dict[str, Reader[Any]] = {}

    def reader(self, codec: Codec[T], key: str) -> Reader[T]:
        """The one reader of a shared key; else a new one."""
        if key not in self._shared:
            return super().reader(codec, key)
        if key not in self._readers:
            self._readers[key] = super().reader(codec, key)
        return cast("Reader[T]", self._readers[key])


class Crew:
    """One worker's troopers. Not thread-safe: one thread steps them, and gives it its orders."""

    def __init__(self, bus: SharedBus, clock: Clock, settings: Settings, rng: Random) -> None:
        self._bus, self._clock, self._settings, self._rng = bus, clock, settings, rng
        self._gate = SharingGate(clock, bus.shared)
        self._journals = Journals.on(bus, self._gate, clock)
        self._sight = Sight(bus, self._gate, clock)
        self._board = BoardReader(bus, self._gate, clock, settings)
        self._wheel: Wheel[TrooperLoops] = Wheel(clock.monotonic())
        self._due: deque[tuple[float, Packed]] = deque()
        self._new: set[str] = set()
        self._doomed: list[str] = []
        self._news = News()
        self._failing = False
        self._litter = 0
        self.current: str | None = None

    @property
    def here(self) -> list[str]:
        """The ids of who lives here, or is about to."""
        return [*self._wheel.names, *(task.id for _, task in self._due)]

    @property
    def asked(self) -> int:
        """How many keys the bus was asked to read or to write."""
        return self._bus.asked

    def start(self, tasks: Iterable[Packed]) -> None:
        """Have these live, many of them one after another. One that lives here already is let be."""
        known = set(self.here)
        fresh = [task for task in tasks if task.id not in known]
        each = min(_SPREAD_EACH, _SPREAD / max(1, len(fresh)))
        now = self._clock.monotonic()
        begin = max(now, self._due[-1][0] + each) if self._due else now
        self._due.extend((begin + number * each, task) for number, task in enumerate(fresh))

    def stop(self, task_ids: Iterable[str]) -> None:
        """End these in order."""
        for task_id in task_ids:
            loops = self._remove(task_id)
            if loops is not None:
                loops.stop(timeout=0.0)
            self._news.ended.append((task_id, 0))

    def kill(self, task_ids: Iterable[str]) -> None:
        """End these as a crash would: who leads keeps its lease until it runs out, or its end is known."""
        for task_id in task_ids:
            self._remove(task_id)
            self._news.ended.append((task_id, KILLED))

    def step(self) -> float:
        """Step whose turn it is, and publish what they say; seconds until the next turn."""
        now = self._clock.monotonic()
        while self._due and self._due[0][0] <= now:
            self._begin(self._due.popleft()[1])
        for task_id, loops in self._wheel.turn(now):
            self.current = loops.memory.task_name
            loops.runner.step(self._wheel.at)
            if not loops.mind.idle:
                loops.mind.step()
            if task_id in self._new:
                self._new.discard(task_id)
                self._news.running.append(task_id)
        self.current = None
        for task_id in self._doomed:
            if self._remove(task_id) is not None:
                self._news.ended.append((task_id, SOFTWARE_ERROR))
        self._doomed.clear()
        self._flush()
        wait = self._wheel.wait(self._clock.monotonic()) if len(self._wheel) else _LONGEST_WAIT
        return min(wait, self._due[0][0] - now) if self._due else wait

    def news(self) -> News:
        """What happened since this was last asked."""
        news, self._news = self._news, News()
        return news

    # Inside ------------------------------------------------------------------------------------------

    def _begin(self, task: Packed) -> None:
        settings = replace(
            self._settings,
            service_name=task.service,
            task_name=task.name,
            task_slot=task.slot,
            task_id=task.id,
        )
        loops = build(
            self._bus, self._gate, self._clock, settings, self._rng, self._journals, self._board,
            self._dooms(task.id), sight=self._sight,
        )  # fmt: skip
        loops.thinker.why_none = "this trooper is packed with others into one process, and has no agent"
        self._bus.join(task.id)
        self._wheel.add(task.id, loops)
        self._new.add(task.id)

    def _dooms(self, task_id: str) -> Callable[[], None]:
        return lambda: self._doomed.append(task_id)

    def _remove(self, task_id: str) -> TrooperLoops | None:
        """Take it off the wheel, or out of the row of those that are about to begin."""
        loops = self._wheel.remove(task_id)
        if loops is None:
            self._due = deque(item for item in self._due if item[1].id != task_id)
            return None
        self._bus.leave(task_id)
        self._new.discard(task_id)
        self._litter += 1
        if self._litter >= _LITTER:
            self._litter = 0
            gc.collect()
        return loops

    def _flush(self) -> None:
        try:
            self._bus.flush()
        except ClawError as error:
            if not self._failing:
                log.warning("troopers cannot publish", reason=str(error))
            self._failing = True
        else:
            if self._failing:
                log.info("troopers publish again", lost=self._bus.lost)
            self._failing = False
