"""This process's history of the board, and the one place that adds to it. Thread- and greenlet-safe.

One looks (clawbucket/loops/watching.py), others read: under a lock, since a list cannot be read while it
grows. Nothing of it is on the bus: each replica tells what it saw itself, and says since when.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from clawbucket.core.board import Board
from clawbucket.core.history import History
from clawbucket.ports import Clock

T = TypeVar("T")


class Watched:
    """A History on this process's clock, that begins now."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._history = History(clock.monotonic(), clock.iso())

    def look(self, board: Board | None) -> None:
        """Take in the board as it is now; None: it cannot be seen."""
        with self._lock:
            self._history.look(board, self._clock.monotonic(), self._clock.iso())

    @property
    def version(self) -> int:
        """Rises whenever anything in the history changes."""
        return self._history.version

    def read(self, read: Callable[[History], T]) -> T:
        """What ``read`` makes of the history, of which it keeps nothing; it does not change meanwhile."""
        with self._lock:
            return read(self._history)
