"""What replicas write: one file a task, bounded in size and in number."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path

LARGEST = 5 * 1024 * 1024
"""Bytes after which a log is copied to ``<name>.log.1`` and begun anew."""


def path_of(directory: Path, task_name: str) -> Path:
    """Where the task's log is."""
    return directory / f"{task_name}.log"


def trim(directory: Path, largest: int = LARGEST) -> None:
    """Copy and truncate every log beyond ``largest``; a replica appends, so it goes on at the start.

    What it writes between the copy and the truncation is lost (logrotate's copytruncate has the same gap).
    """
    for log_file in directory.glob("*.log"):
        with contextlib.suppress(FileNotFoundError):
            if log_file.stat().st_size > largest:
                shutil.copyfile(log_file, log_file.with_suffix(".log.1"))
                os.truncate(log_file, 0)


def prune(directory: Path, known: Collection[str]) -> None:
    """Remove the logs of tasks whose names are not ``known`` any more."""
    for log_file in directory.glob("*.log*"):
        if log_file.name.removesuffix(".1").removesuffix(".log") not in known:
            log_file.unlink(missing_ok=True)
