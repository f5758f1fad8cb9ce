"""What a shape is told: how many users at most, how fast, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Tick = tuple[int, float]
"""Users wanted, and how many to start or stop a second."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``users`` at the peak, ``spawn_rate`` users a second, ``duration`` seconds; None: until somebody stops.

    ``users`` is at least 1 and ``spawn_rate`` above 0.
    """

    users: int
    spawn_rate: float
    duration: float | None = None

    def over(self, elapsed: float) -> bool:
        """Whether the time is up."""
        return self.duration is not None and elapsed >= self.duration


Shape = Callable[[float, Plan], Tick | None]
