"""The primary manager's haiku: one every two minutes, thought of by its agent, fenced when it is written."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from clawbucket import codecs
from clawbucket.codecs import Gate
from clawbucket.core import phrases
from clawbucket.core.records import Haiku
from clawbucket.loops import fenced
from clawbucket.loops.leadership import Leadership
from clawbucket.loops.mind import Mind, Thought
from clawbucket.loops.thinker import Thinker
from clawbucket.ports import Bus, Clock

PERIOD = 120.0
"""Seconds (CONTRACT section 1). Its key lives 300 s, so it is always there while a manager leads."""


class Composing:
    """Write a haiku when the last one is old; only while leading."""

    name = "haiku"
    every = 1.0

    def __init__(
        self, bus: Bus, gate: Gate, clock: Clock, rng: Random, leadership: Leadership, mind: Mind,
        thinker: Thinker,
    ) -> None:  # fmt: skip
        self._bus, self._gate, self._clock, self._rng = bus, gate, clock, rng
        self._leadership, self._mind, self._thinker = leadership, mind, thinker
        self._written_at = float("-inf")
        self._thought: Thought[tuple[str, str]] | None = None

    def tick(self, now: float) -> None:
        """Compose when due, and write it when it is done and this trooper leads still."""
        epoch = self._leadership.epoch(now)
        if self._thought is None:
            if epoch is not None and now - self._written_at >= PERIOD:
                self._thought = self._mind.submit(self._thinker.haiku)
            return
        if not self._thought.done:
            return
        if epoch is None:
            self._thought = None
            return
        text, source = self._thought.value or (phrases.haiku(self._rng), phrases.SOURCE)
        poem = Haiku(text, source, self._clock.iso(), epoch)
        if fenced.write(self._bus, self._gate, codecs.HAIKU, lambda _current: poem):
            self._thought, self._written_at = None, now

    def stamp(self, epoch: int) -> bool:
        """Put the new leader's epoch on the haiku; with none there, one of the phrase book."""
        there = True

        def stamped(current: Haiku | None) -> Haiku:
            nonlocal there
            there = current is not None
            return self._new(epoch) if current is None else replace(current, epoch=max(epoch, current.epoch))

        stored = fenced.write(self._bus, self._gate, codecs.HAIKU, stamped)
        if stored is None or stored.epoch != epoch:
            return False
        # One of the book's is to be replaced by the agent's own as soon as that is thought of.
        self._written_at = self._clock.monotonic() if there or not self._thinker.awake else float("-inf")
        return True

    def _new(self, epoch: int) -> Haiku:
        return Haiku(phrases.haiku(self._rng), phrases.SOURCE, self._clock.iso(), epoch)
