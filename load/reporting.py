"""The report of a test: ``report.json``, from which ./claw load prints its table.

Beside it Locust writes ``report.html`` with its charts, ``stats_*.csv`` and ``requests.json``.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from load.figures import Figures
from load.thresholds import Verdict, hold

NAME = "report.json"


def report(
    figures: Figures, verdicts: list[Verdict], asked: Mapping[str, object], notes: list[str]
) -> dict[str, Any]:
    """All that is known of a test. ``asked`` is how it was started; ``notes`` are for the reader."""
    return {
        "held": hold(verdicts),
        "asked": dict(asked),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "locust": version("locust"),
            "cores": os.cpu_count(),
        },
        "verdicts": [asdict(verdict) for verdict in verdicts],
        "figures": {**asdict(figures), "failure_ratio": figures.failure_ratio},
        "notes": notes,
    }


def write(directory: Path, told: Mapping[str, Any]) -> Path:
    """Write it down, whole or not at all."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / NAME
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)
    return path
