"""One deadline for a whole turn: every wait, attempt and tool of it asks how much is left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from picoclaw.errors import TurnTimeout

_SLICE = 0.1
"""Seconds after which a sleep sees that ``end`` was called."""


class Deadline:
    """``seconds`` from now on the monotonic clock; ``cancel``, once set, ends it at once.

    ``whole`` is the deadline that this one is a part of.
    """

    def __init__(
        self,
        seconds: float,
        cancel: threading.Event | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        whole: Deadline | None = None,
    ) -> None:
        self._monotonic, self._whole = monotonic, whole
        self._cancel = cancel or threading.Event()
        self._ended = False
        self.seconds = seconds
        self.started_at = monotonic()

    @property
    def cancelled(self) -> bool:
        """Whether somebody ended the turn early."""
        return self._ended or self._cancel.is_set() or (self._whole is not None and self._whole.cancelled)

    def end(self) -> None:
        """Cancel this one alone: ``cancel`` is the caller's, who may use it for more than one turn."""
        self._ended = True

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return self._monotonic() - self.started_at

    def remaining(self) -> float:
        """Seconds left, never below 0; 0 once cancelled."""
        return 0.0 if self.cancelled else max(0.0, self.seconds - self.elapsed())

    def check(self, doing: str) -> None:
        """TurnTimeout when nothing is left; ``doing`` completes "while …"."""
        if self.remaining() <= 0.0:
            raise self.timeout(doing)

    def timeout(self, doing: str) -> TurnTimeout:
        """The error that says so."""
        if self.cancelled:
            return TurnTimeout(f"the turn was cancelled after {self.elapsed():.1f} s while {doing}")
        return TurnTimeout(f"the turn's {self.seconds:g} s were used up while {doing}")

    def part(self, seconds: float) -> Deadline:
        """A deadline for one step of it: at most ``seconds``, cancelled with the whole."""
        return Deadline(min(seconds, self.remaining()), self._cancel, self._monotonic, whole=self)

    def sleep(self, seconds: float) -> None:
        """Wait that long, or until nothing is left; a cancellation ends the wait at once."""
        while seconds > 0.0 and (left := self.remaining()) > 0.0:
            self._cancel.wait(min(seconds, left, _SLICE))
            seconds -= _SLICE
