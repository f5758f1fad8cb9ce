"""The folders and files that every workspace has, as upstream's ``onboard`` lays them out."""

from __future__ import annotations

import os
from pathlib import Path

from picoclaw.errors import ConfigInvalid

FOLDERS = ("memory", "sessions", "skills", "state")
_OWNER_ONLY_FOLDER, _OWNER_ONLY_FILE = 0o700, 0o600
"""Conversations and memory are their owner's."""

DEFAULTS = {
    "AGENT.md": "# Agent\n\nYou are a helpful agent. Answer briefly and truthfully.\n",
    "SOUL.md": "# Soul\n\nCalm, friendly and to the point.\n",
    "USER.md": "# User\n\nNothing is known about the user yet.\n",
    "HEARTBEAT.md": "# Heartbeat\n\nNo regular tasks.\n",
    "memory/MEMORY.md": "# Memory\n\nNothing to remember yet.\n",
}
"""Short on purpose: all but HEARTBEAT.md is in every prompt, and small models have small windows."""

_OLDER_NAMES = ("AGENTS.md", "IDENTITY.md")
"""Upstream reads these where AGENT.md is missing; a default AGENT.md would silence them."""


def prepare(root: Path) -> tuple[str, ...]:
    """Make the folders (0700) and the default files that are missing; which files were written.

    Never overwrites, also when several do it at once. ConfigInvalid when the place cannot be used.
    """
    try:
        for folder in (root, *(root / name for name in FOLDERS)):
            folder.mkdir(mode=_OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        return tuple(
            name for name, text in DEFAULTS.items() if _wanted(root, name) and _write(root / name, text)
        )
    except OSError as error:
        raise ConfigInvalid(
            f"the workspace {root} cannot be used: {error.filename}: {error.strerror}; "
            "set agents.defaults.workspace to a folder that you may write"
        ) from None


def _wanted(root: Path, name: str) -> bool:
    return name != "AGENT.md" or not any((root / older).exists() for older in _OLDER_NAMES)


def _write(path: Path, text: str) -> bool:
    """Whether the file was missing and is written now. A link counts as there, wherever it leads."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _OWNER_ONLY_FILE)
    except FileExistsError:
        return False
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(text)
    return True
