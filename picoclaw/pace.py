"""A model's ``rpm``: at most so many calls in any sixty seconds, the next one waits for its turn."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from picoclaw.deadline import Deadline

MINUTE = 60.0


class Pace:
    """The calls to one model. ``rpm`` 0: no limit (upstream's default)."""

    def __init__(self, rpm: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rpm, self._monotonic = rpm, monotonic
        self._lock = threading.Lock()
        self._taken: deque[float] = deque(maxlen=max(rpm, 1))

    def wait(self, deadline: Deadline) -> None:
        """Return when one more call may be made. TurnTimeout when that is not within the deadline."""
        while (wait := self._take()) > 0.0:
            if wait >= deadline.remaining():
                raise deadline.timeout(f"waiting for one of the {self._rpm} calls a minute")
            deadline.sleep(wait)

    def _take(self) -> float:
        """Take a call, or say after how many seconds one is free."""
        if self._rpm <= 0:
            return 0.0
        with self._lock:
            now = self._monotonic()
            if len(self._taken) == self._rpm and (left := self._taken[0] + MINUTE - now) > 0.0:
                return left
            self._taken.append(now)
            return 0.0
