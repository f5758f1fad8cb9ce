"""Places for turns that run at once: so many in all, one for each session, in the order of asking.

A turn that waits for its own session takes no place meanwhile, so a busy session holds up nobody else.
Sessions are kept apart here within this process; between processes the session's lock does it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from picoclaw.deadline import Deadline
from picoclaw.errors import RuntimeBusy

_SLICE = 0.1
"""Seconds after which a waiting turn looks whether it was cancelled."""


@dataclass(slots=True, eq=False)
class _Turn:
    """One that waits or runs."""

    session: str
    admitted: threading.Event = field(default_factory=threading.Event)


class Places:
    """Thread- and greenlet-safe."""

    def __init__(self, most_at_once: int, most_waiting: int) -> None:
        self.most_at_once, self._most_waiting = most_at_once, most_waiting
        self._lock = threading.Lock()
        self._waiting: list[_Turn] = []
        self._running: list[_Turn] = []

    def counts(self) -> tuple[int, int]:
        """How many run, and how many wait."""
        with self._lock:
            return len(self._running), len(self._waiting)

    @contextmanager
    def taken(self, session: str, deadline: Deadline) -> Iterator[None]:
        """Hold a place. RuntimeBusy when too many wait or none is free until the deadline; TurnTimeout."""
        turn = _Turn(session)
        with self._lock:
            if len(self._waiting) >= self._most_waiting:
                raise RuntimeBusy(f"{len(self._waiting)} turns wait already; try again in a moment")
            self._waiting.append(turn)
            self._admit()
        try:
            while not turn.admitted.wait(min(_SLICE, deadline.remaining())):
                if deadline.remaining() <= 0.0:
                    raise self._refusal(session, deadline)
            yield
        finally:
            with self._lock:
                # It may have been admitted since it gave up.
                (self._running if turn in self._running else self._waiting).remove(turn)
                self._admit()

    def _admit(self) -> None:
        """Let those go on, oldest first, for whom there is room and whose session is free."""
        busy = {turn.session for turn in self._running}
        for turn in list(self._waiting):
            if len(self._running) >= self.most_at_once:
                return
            if turn.session not in busy:
                busy.add(turn.session)
                self._waiting.remove(turn)
                self._running.append(turn)
                turn.admitted.set()

    def _refusal(self, session: str, deadline: Deadline) -> Exception:
        if deadline.cancelled:
            return deadline.timeout("waiting for a free place")
        with self._lock:
            held = any(turn.session == session for turn in self._running)
        what = f"another turn held the session {session}" if held else f"{self.most_at_once} other turns ran"
        return RuntimeBusy(f"{what} all of the {deadline.seconds:g} s; try again, or give it more time")
