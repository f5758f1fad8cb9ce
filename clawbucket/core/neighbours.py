"""Another rack as this one's leader last saw it, and its troopers as far as they are shown here.

They are another rack's word: untrusted, bounded where they are read (clawbucket/handoff/looking.py).
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_TROOPERS = 48
"""Troopers of one other rack that are kept: two services of twenty, the most that are scaled to, and some."""


@dataclass(frozen=True, slots=True)
class PeerTrooper:
    """One trooper of another rack. Its callsign and colour follow from its ``id``."""

    id: str
    service: str
    slot: int
    state: str
    freshness: str
    arm: str
    score: int
    words: str
    is_manager: bool = False
    frozen: bool = False


@dataclass(frozen=True, slots=True)
class PeerSummary:
    """Another rack. ``problem`` is why it could not be reached; ``last_seen`` when it was, only then.

    ``troopers`` are the first MOST_TROOPERS of it, by service and slot, and ``more`` how many there are
    beyond; of a rack out of reach, those that it had when it was last seen.
    """

    name: str
    url: str
    reachable: bool
    label: str
    running: int
    desired: int
    manager: str
    score: int
    at: str
    problem: str = ""
    troopers: tuple[PeerTrooper, ...] = ()
    more: int = 0
    last_seen: str = ""
