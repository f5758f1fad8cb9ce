"""Verified stand-ins that tests share: time that moves only when a test says so."""

from __future__ import annotations

from clawbucket.clock import iso_of


class FakeClock:
    """A Clock whose two times move together, by ``advance`` alone."""

    def __init__(self, monotonic: float = 1_000.0, wall_ms: int = 1_790_000_000_000) -> None:
        self._monotonic = monotonic
        self._wall_ms = wall_ms

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` go by."""
        self._monotonic += seconds
        self._wall_ms += round(seconds * 1000)

    def monotonic(self) -> float:
        """Seconds since the fake start."""
        return self._monotonic

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return self._wall_ms

    def iso(self) -> str:
        """Now, for people."""
        return iso_of(self._wall_ms)
