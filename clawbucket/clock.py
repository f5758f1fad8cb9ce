"""The real Clock. Tests use tests.fakes.FakeClock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def iso_of(wall_ms: int) -> str:
    """Unix milliseconds as ISO-8601 UTC with milliseconds: ``2026-11-20T09:30:00.123Z``."""
    moment = datetime.fromtimestamp(wall_ms / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SystemClock:
    """This machine's clocks."""

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def iso(self) -> str:
        """Now, for people."""
        return iso_of(self.wall_ms())
