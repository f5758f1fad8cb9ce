"""Three words every thirty seconds, of the phrase book until a model thinks for the trooper."""

from __future__ import annotations

from random import Random

from clawbucket import codecs, keys
from clawbucket.core import phrases
from clawbucket.core.records import Words
from clawbucket.loops.memory import Memory
from clawbucket.ports import Bus, Clock

PERIOD = 30.0
"""Seconds (CONTRACT section 3)."""
_STAGGER = 3.0
"""Seconds between two slots' turns, so that the troopers do not all speak, later ask a model, at once."""


class Speaking:
    """Say three words, each slot at its own time within the period."""

    name = "words"
    every = 1.0

    def __init__(self, bus: Bus, clock: Clock, memory: Memory, rng: Random) -> None:
        self._bus, self._clock, self._memory, self._rng = bus, clock, memory, rng
        self._next: float | None = None

    def tick(self, now: float) -> None:
        """Speak when it is this trooper's turn; the first time at once."""
        if self._next is not None and now < self._next:
            return
        words = Words(phrases.three_words(self._rng), self._clock.iso(), phrases.SOURCE)
        encoded = codecs.WORDS.encode(words)
        self._memory.words = words
        self._bus.set_many(
            {
                keys.WORDS.of(self._memory.task_id): (encoded, keys.WORDS.ttl),
                keys.WORDS_LATEST.of(): (encoded, keys.WORDS_LATEST.ttl),
            }
        )
        first = self._next is None
        self._next = now + PERIOD - (self._memory.slot * _STAGGER % PERIOD if first else 0.0)
