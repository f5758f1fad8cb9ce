"""What troopers log, as judges of recorded runs read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

POINTS = {"win": 1, "loss": -1, "draw": 0}
"""What ``round scored`` adds to a score, by its outcome."""


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a JSON log, in their order; not what else is there, nor one that a kill cut off."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                continue


def unix(entry: dict[str, Any]) -> float:
    """When it was logged, in unix seconds."""
    return datetime.fromisoformat(entry["timestamp"]).timestamp()
