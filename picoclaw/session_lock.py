"""One turn at a time in a session: an flock on ``KEY.lock``, across processes, threads and greenlets.

Upstream locks within its process only and knows no such file: it neither reads nor lists ``*.lock``. The
file is separate because the session's own two are replaced by rename, and a lock stays with the old file.
It is never deleted by this package: whoever waits for it would be left with a lock that nobody else sees.
"""

from __future__ import annotations

import fcntl
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from picoclaw.deadline import Deadline
from picoclaw.errors import RuntimeBusy
from picoclaw.session_files import on_disk

_SOONEST, _LATEST = 0.002, 0.02
"""Seconds between two tries, drawn anew each time so that of many waiters no one always comes last."""


@contextmanager
def locked(path: Path, key: str, deadline: Deadline) -> Iterator[None]:
    """Hold the lock. RuntimeBusy when it is not free before the deadline, TurnTimeout when cancelled.

    ConfigInvalid when the file cannot be made.
    """
    while (held := _taken(path)) is None:
        if deadline.cancelled:
            raise deadline.timeout(f"waiting for the session {key}")
        if deadline.remaining() <= 0.0:
            raise RuntimeBusy(
                f"another turn held the session {key} for all of this turn's {deadline.seconds:g} s; "
                "try again, or use another session with -s NAME"
            )
        deadline.sleep(random.uniform(_SOONEST, _LATEST))  # noqa: S311 - jitter, not a secret
    try:
        yield
    finally:
        # Unlocked by name: a child that was forked meanwhile has the file open too.
        fcntl.flock(held, fcntl.LOCK_UN)
        os.close(held)


def _taken(path: Path) -> int | None:
    """A descriptor that holds the lock, or None. Each is opened afresh: flock excludes those alike."""
    with on_disk(path):
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if _is_locked(held, path):
                return held
        except OSError:
            os.close(held)
            raise
        os.close(held)
        return None


def _is_locked(held: int, path: Path) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have deleted the file by hand since it was opened: then this locks nothing.
        return os.path.samestat(os.fstat(held), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
