"""The words that a load test is told with: tags, shapes, and how long."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

TAGS = {
    "read": "pages, assets and JSON reads",
    "write": "arm, chat, interval",
    "sse": "viewers of the stream",
    "chaos": "scale, outage, self-destruct, revolt; only with --allow-chaos",
}
"""What users do, by tag; a tag chooses tasks, and users without a task stay away."""
SHAPES = ("steady", "ramp", "spike", "soak")
"""How the number of users goes over time; each is a file in load/shapes/."""
_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s?)?")
LONGEST = 7 * 86_400
"""Seconds of the longest test."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that looks most like it; empty where none does."""
    return next(iter(difflib.get_close_matches(word, list(known), 1, 0.4)), "")


def seconds(duration: str) -> int:
    """``90``, ``90s``, ``5m`` or ``1h30m`` in seconds. ValueError where it is none of these."""
    found = _DURATION.fullmatch(duration.strip())
    if not found or not any(found.groups()):
        raise ValueError(f"{duration[:40]!r} is no duration; say 90s, 5m or 1h30m")
    hours, minutes, rest = (int(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + rest
    if not 1 <= total <= LONGEST:
        raise ValueError(f"a test lasts from 1 s to 7 days; {duration[:40]!r} is not that")
    return total
