"""What a trooper knows of itself. Its memory is the truth; the bus is where it is published."""

from __future__ import annotations

from dataclasses import dataclass, field

from clawbucket.core.facts import Round
from clawbucket.core.records import Arm, Words
from clawbucket.core.rps import ScoreCard


@dataclass(slots=True)
class Memory:
    """One trooper's own state, changed by its loop alone.

    ``threw`` is the last round that it threw as manager; ``interval`` the RPS interval as last seen;
    ``rounds`` are the latest that it played. ``frozen`` is the handoff that it is held for: nothing of it
    changes meanwhile. ``handoff`` is the one that it came by, from ``from_rack``.
    """

    task_id: str
    task_name: str
    service: str
    slot: int
    node: str
    started_at: str
    card: ScoreCard = field(default_factory=ScoreCard)
    arm: Arm | None = None
    words: Words | None = None
    threw: int = 0
    interval: int | None = None
    rounds: tuple[Round, ...] = ()
    frozen: str = ""
    from_rack: str = ""
    handoff: str = ""

    @property
    def latest_round(self) -> int:
        """The latest round that it scored or threw."""
        return max(self.card.round, self.threw)
