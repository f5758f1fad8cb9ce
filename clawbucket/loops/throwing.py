"""The primary manager throws: one round each interval, and the running round is kept on the bus.

The state's time to live (20 s, CONTRACT section 3) may be shorter than the interval, so it is written again
every few seconds while its round runs: a leader-owned key that is always there can only be changed by
CAS, which is what fences an older leader out.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import structlog

from clawbucket import codecs, keys
from clawbucket.codecs import Gate
from clawbucket.core import rps
from clawbucket.core.callsign import name_of
from clawbucket.core.records import Throw
from clawbucket.loops import fenced
from clawbucket.loops.leadership import Leadership
from clawbucket.loops.memory import Memory
from clawbucket.loops.sight import Sight
from clawbucket.ports import Bus, Clock

log = structlog.get_logger(__name__)
_KEEP_EVERY = 5.0
"""Seconds between two writes of a running round: a quarter of its time to live."""


class Throwing:
    """What the primary service's troopers do when one of them leads."""

    name = "throwing"
    every = 0.2

    def __init__(
        self, bus: Bus, gate: Gate, clock: Clock, memory: Memory, sight: Sight, rng: Random,
        leadership: Leadership,
    ) -> None:  # fmt: skip
        self._bus, self._gate, self._clock, self._leadership = bus, gate, clock, leadership
        self._memory, self._sight, self._rng = memory, sight, rng
        self._thrown_at = float("-inf")
        self._kept_at = float("-inf")
        self._last: Throw | None = None

    def tick(self, now: float) -> None:
        """Throw when the interval is over, keep the round when it is not; only while leading."""
        epoch = self._leadership.epoch(now)
        if epoch is None:
            return
        interval = self._memory.interval or rps.DEFAULT_INTERVAL
        if now - self._thrown_at >= interval:
            self._throw(epoch, now)
        elif now - self._kept_at >= _KEEP_EVERY:
            self._keep(epoch, now)

    def stamp(self, epoch: int) -> bool:
        """Put the new leader's epoch on the running round; with none known, throw one at once."""
        return self._keep(epoch, self._clock.monotonic(), restart=True)

    def _keep(self, epoch: int, now: float, *, restart: bool = False) -> bool:
        """Write the running round again in this epoch."""

        def again(current: Throw | None) -> Throw:
            running = current or self._remembered()
            if running is None:
                return self._new(epoch)
            return replace(running, epoch=max(epoch, running.epoch))

        stored = fenced.write(self._bus, self._gate, codecs.THROW, again)
        if stored is None or stored.epoch != epoch:
            return False
        self._kept_at, self._last = now, stored
        self._memory.threw = max(self._memory.threw, stored.round)
        if restart:
            self._thrown_at = now
        return True

    def _remembered(self) -> Throw | None:
        """The round that runs, where the bus forgot it and nobody has thrown or seen a later one."""
        last = self._last
        return (
            last
            if last is not None and last.round >= max([self._memory.latest_round, *self._rounds()])
            else None
        )

    def _throw(self, epoch: int, now: float) -> None:
        seen = [self._memory.latest_round, *self._rounds()]

        def throw(current: Throw | None) -> Throw:
            return self._new(epoch, [*seen, current.round if current else 0])

        stored = fenced.write(self._bus, self._gate, codecs.THROW, throw)
        if stored is None:
            return
        self._thrown_at = self._kept_at = now
        self._memory.threw, self._last = stored.round, stored
        log.info("round thrown", round=stored.round, choice=stored.choice, epoch=epoch)

    def _new(self, epoch: int, seen: list[int] | None = None) -> Throw:
        rounds = [self._memory.latest_round, *self._rounds()] if seen is None else seen
        return Throw(
            choice=self._rng.choice(rps.CHOICES),
            by=name_of(self._memory.task_id),
            at=self._clock.iso(),
            round=rps.next_round(rounds),
            epoch=epoch,
        )

    def _rounds(self) -> list[int]:
        """The latest round of every trooper whose beat is on the bus."""
        names = [keys.HEARTBEAT.of(task.name) for task in self._sight.tasks()]
        values = self._bus.get_many(names)
        beats = (self._gate.read(codecs.HEARTBEAT, key, raw) for key, raw in values.items())
        return [beat.round for beat in beats if beat is not None]
