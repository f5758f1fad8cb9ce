"""Who is alive, judged from heartbeats by the observer's own monotonic clock.

A beat carries a ``seq`` that rises. What counts is when this observer saw it move last: nobody's wall
clock takes part, and a beat that vanished from the bus is merely one that does not move. Time in which
the observer itself could not look does not count against anybody. This is a timeout detector as in
Chandra and Toueg, "Unreliable failure detectors" (1996): it may be wrong, so nothing that must never
be wrong is built on it; leadership is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from clawbucket.core.model import Freshness

BEAT_EVERY = 2.0
"""Seconds between two beats; the contract allows up to 10."""
SUSPECT_AFTER = 3 * BEAT_EVERY
MISSING_AFTER = 6 * BEAT_EVERY
"""Three missed beats make a suspect, six a missing trooper."""
LONGEST_LOOK_AWAY = 3.0
"""A pause between two looks beyond this, in seconds, is the observer's own and is not counted."""


@dataclass(slots=True)
class _Seen:
    seq: int
    moved_at: float


class Membership:
    """One observer's view. Not thread-safe: its owner looks, one look at a time."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._looked_at: float | None = None

    def look(self, expected: Collection[str], beats: Mapping[str, int], now: float) -> dict[str, Freshness]:
        """How each expected trooper fares, given the ``seq`` of those whose beat could be read.

        ``now`` is monotonic seconds. A trooper is alive when first expected: it had no time to be late.
        """
        if self._looked_at is not None and now - self._looked_at > LONGEST_LOOK_AWAY:
            for seen in self._seen.values():
                seen.moved_at += now - self._looked_at
        self._looked_at = now
        still = frozenset(expected)
        self._seen = {who: seen for who, seen in self._seen.items() if who in still}
        for who in expected:
            seq = beats.get(who, -1)
            seen = self._seen.setdefault(who, _Seen(seq, now))
            if seq > seen.seq:
                seen.seq, seen.moved_at = seq, now
        return {who: _freshness(now - seen.moved_at) for who, seen in self._seen.items()}


def _freshness(unmoved: float) -> Freshness:
    if unmoved >= MISSING_AFTER:
        return Freshness.MISSING
    return Freshness.SUSPECT if unmoved >= SUSPECT_AFTER else Freshness.ALIVE
