"""A timer wheel: a crowd is stepped ten times a second, a part of it in each slice of that time. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

CYCLE = 0.101
"""Seconds in which everybody is stepped once: a hair more than the shortest period of any loop, so that what
is due 0.1 s later is due at the next step, and not a whole cycle after it."""
SLICES = 4
"""Parts of a cycle. What a part's troopers publish goes out together at its end."""


class Wheel(Generic[T]):
    """Who is stepped when. A wheel that is late turns on without making up for what it missed.

    ``at`` is when the slice that turned last was due: what is due by then is to be done. The time at which it
    did turn is later by chance, now more, now less.
    """

    def __init__(self, now: float) -> None:
        self._slices: list[dict[str, T]] = [{} for _ in range(SLICES)]
        self._place: dict[str, int] = {}
        self._hand = 0
        self._next_at = self.at = now

    def __len__(self) -> int:
        return len(self._place)

    def __contains__(self, name: str) -> bool:
        return name in self._place

    @property
    def names(self) -> list[str]:
        """Everybody who is on it."""
        return list(self._place)

    def add(self, name: str, item: T) -> None:
        """Put it where the fewest are, so that the work is spread."""
        place = min(range(SLICES), key=lambda index: len(self._slices[index]))
        self._slices[place][name] = item
        self._place[name] = place

    def get(self, name: str) -> T | None:
        """What has that name."""
        place = self._place.get(name)
        return None if place is None else self._slices[place][name]

    def remove(self, name: str) -> T | None:
        """Take it off; None when it is not there."""
        place = self._place.pop(name, None)
        return None if place is None else self._slices[place].pop(name)

    def turn(self, now: float) -> list[tuple[str, T]]:
        """The slice that is due, if one is."""
        if now < self._next_at:
            return []
        self.at = self._next_at
        self._next_at = max(self._next_at + CYCLE / SLICES, now - CYCLE / SLICES)
        self._hand = (self._hand + 1) % SLICES
        return list(self._slices[self._hand].items())

    def wait(self, now: float) -> float:
        """Seconds until the next slice."""
        return max(0.0, self._next_at - now)
