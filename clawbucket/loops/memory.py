"""What a trooper knows of itself. Its memory is the truth; the bus is where it is published."""

from __future__ import annotations

from dataclasses import dataclass, field

from clawbucket.core.records import Arm, Words
from clawbucket.core.rps import ScoreCard


@dataclass(slots=True)
class Memory:
    """One trooper's own state, changed by its loop alone.

    ``threw`` is the last round that it threw as manager; ``interval`` the RPS interval as last seen.
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

    @property
    def latest_round(self) -> int:
        """The latest round that it scored or threw."""
        return max(self.card.round, self.threw)
