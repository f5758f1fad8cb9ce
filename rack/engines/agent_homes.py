"""Each replica's PICOCLAW_HOME: a directory of its own, which goes when its task is long gone."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path


def path_of(state_dir: Path, task_id: str) -> Path:
    """Where that task's agent lives. Made by the replica, so that a rack without agents has none."""
    return state_dir / "agents" / task_id


def prune(state_dir: Path, known: Collection[str]) -> None:
    """Remove the homes of tasks whose ids are not ``known`` any more."""
    homes = state_dir / "agents"
    for home in homes.iterdir() if homes.is_dir() else ():
        if home.name not in known:
            shutil.rmtree(home, ignore_errors=True)
