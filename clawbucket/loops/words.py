"""Three words every thirty seconds, thought of by the trooper's agent, published by its loop."""

from __future__ import annotations

from random import Random

from clawbucket import codecs, keys
from clawbucket.core import phrases
from clawbucket.core.records import Words
from clawbucket.loops.memory import Memory
from clawbucket.loops.mind import Mind, Thought
from clawbucket.loops.thinker import Thinker
from clawbucket.ports import Bus, Clock

PERIOD = 30.0
"""Seconds (CONTRACT section 3)."""
_STAGGER = 3.0
"""Seconds between two slots' turns, so that the troopers do not all ask the model at once. Services of one
rack share the slots' numbers, and an Ollama that answers two at once takes both."""
_FIRST = 1.0
"""Seconds from a trooper's start to its first thought, beside its slot's turn."""


class Speaking:
    """Say three words, each slot at its own time within the period."""

    name = "words"
    every = 1.0

    def __init__(
        self, bus: Bus, clock: Clock, memory: Memory, rng: Random, mind: Mind, thinker: Thinker
    ) -> None:
        self._bus, self._clock, self._memory, self._rng = bus, clock, memory, rng
        self._mind, self._thinker = mind, thinker
        self._next: float | None = None
        self._thought: Thought[tuple[str, str]] | None = None

    def tick(self, now: float) -> None:
        """Say what was thought; think when it is this trooper's turn. The first words are of the book.

        One that is held for a handoff says nothing new: what it said goes along.
        """
        if self._memory.frozen:
            return
        if self._next is None:
            self._say(phrases.three_words(self._rng), phrases.SOURCE)
            turn = self._memory.slot * _STAGGER % PERIOD
            self._next = now + (_FIRST + turn if self._thinker.awake else PERIOD - turn)
        elif self._thought is not None and self._thought.done:
            text, source = self._thought.value or (phrases.three_words(self._rng), phrases.SOURCE)
            self._say(text, source)
            self._thought = None
        if self._thought is None and now >= self._next:
            self._thought = self._mind.submit(self._thinker.words)
            self._next = now + PERIOD

    def _say(self, text: str, source: str) -> None:
        words = Words(text, self._clock.iso(), source)
        encoded = codecs.WORDS.encode(words)
        self._memory.words = words
        self._bus.set_many(
            {
                keys.WORDS.of(self._memory.task_id): (encoded, keys.WORDS.ttl),
                keys.WORDS_LATEST.of(): (encoded, keys.WORDS_LATEST.ttl),
            }
        )
