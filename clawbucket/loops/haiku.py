"""The primary manager's haiku: one every two minutes, fenced like every leader's write."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from clawbucket import codecs
from clawbucket.codecs import Gate
from clawbucket.core import phrases
from clawbucket.core.records import Haiku
from clawbucket.loops import fenced
from clawbucket.loops.leadership import Leadership
from clawbucket.ports import Bus, Clock

PERIOD = 120.0
"""Seconds (CONTRACT section 1). Its key lives 300 s, so it is always there while a manager leads."""


class Composing:
    """Write a haiku when the last one is old; only while leading."""

    name = "haiku"
    every = 1.0

    def __init__(self, bus: Bus, gate: Gate, clock: Clock, rng: Random) -> None:
        self._bus, self._gate, self._clock, self._rng = bus, gate, clock, rng
        self._written_at = float("-inf")
        self.leadership: Leadership | None = None

    def tick(self, now: float) -> None:
        """Compose when due."""
        epoch = self.leadership.epoch(now) if self.leadership else None
        if epoch is None or now - self._written_at < PERIOD:
            return
        if fenced.write(self._bus, self._gate, codecs.HAIKU, lambda _current: self._new(epoch)):
            self._written_at = now

    def stamp(self, epoch: int) -> bool:
        """Put the new leader's epoch on the haiku; with none there, write one."""

        def stamped(current: Haiku | None) -> Haiku:
            if current is None:
                return self._new(epoch)
            return replace(current, epoch=max(epoch, current.epoch))

        stored = fenced.write(self._bus, self._gate, codecs.HAIKU, stamped)
        if stored is None or stored.epoch != epoch:
            return False
        self._written_at = self._clock.monotonic()
        return True

    def _new(self, epoch: int) -> Haiku:
        return Haiku(phrases.haiku(self._rng), phrases.SOURCE, self._clock.iso(), epoch)
