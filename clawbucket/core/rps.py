"""Rock/paper/scissors: the primary service's manager throws, every other trooper scores against it once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from clawbucket.core.records import Choice, Outcome, Throw

CHOICES: tuple[Choice, ...] = get_args(Choice)
DEFAULT_INTERVAL = 10
"""Seconds between two rounds (CONTRACT section 3)."""
SHORTEST_INTERVAL, LONGEST_INTERVAL = 2, 120
"""The clamp of the interval, seconds (CONTRACT section 1)."""

_BEATS: dict[Choice, Choice] = {"rock": "scissors", "paper": "rock", "scissors": "paper"}
_POINTS: dict[Outcome, int] = {"win": 1, "loss": -1, "draw": 0}


@dataclass(frozen=True, slots=True)
class ScoreCard:
    """A trooper's own truth: its score, the round it scored last, and what it threw then."""

    score: int = 0
    round: int = 0
    move: Choice | None = None
    outcome: Outcome | None = None


def judge(mine: Choice, theirs: Choice) -> Outcome:
    """How ``mine`` fares against ``theirs``."""
    if mine == theirs:
        return "draw"
    return "win" if _BEATS[mine] == theirs else "loss"


def met(mine: Choice, outcome: Outcome) -> Choice:
    """What the leader threw in a round, from what somebody else threw and how that went."""
    return next(theirs for theirs in CHOICES if judge(mine, theirs) == outcome)


def points(outcome: Outcome) -> int:
    """What a round that went so did to the score (CONTRACT, section 3)."""
    return _POINTS[outcome]


def scored(card: ScoreCard, throw: Throw, mine: Choice) -> ScoreCard:
    """The card after the round, or the same card if that round or a later one was scored already.

    Rounds only rise (``next_round``), so "later than the last one scored" is "not scored yet": at most
    once, even when rounds were missed.
    """
    if throw.round <= card.round:
        return card
    outcome = judge(mine, throw.choice)
    return ScoreCard(card.score + points(outcome), throw.round, mine, outcome)


def next_round(seen: Iterable[int]) -> int:
    """One more than every round that anybody is known to have seen; the first is 1."""
    return max(seen, default=0) + 1


def clamped_interval(seconds: int) -> int:
    """The nearest interval that is allowed."""
    return max(SHORTEST_INTERVAL, min(LONGEST_INTERVAL, seconds))
