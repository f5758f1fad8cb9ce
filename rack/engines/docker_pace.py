"""When Docker may be asked what runs, and when it should be. Pure: every time is passed in.

A *look* asks for the tasks, and for services and nodes where something said that they changed; each of
these is one HTTP request for a list. What is bounded are the requests, so the looks are bounded too.

Docker's event stream tells of services and nodes of the whole swarm, and of containers of this node. It
does not tell of tasks: one that dies on another node dies unheard. So there is a poll, slow at rest, quick
while what runs is not what is wanted or something was heard a moment ago, and slower by and by where
nothing comes of it (no node fits, an image is missing).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MOST = 4
"""Requests for lists in any one second, whatever happens."""
_SECOND = 1.05
"""That second, with room for the way to the daemon: what leaves evenly may arrive less so."""
QUICK = 0.25
"""Seconds from one look to the next while something goes on."""
REST = 2.75
"""Seconds from one look to the next at rest: at most 8 looks in 20 s. With the two more requests of a new
event stream's first look that is just what 0.5 a second allow."""
ATTENTIVE = 2.0
"""Seconds that a piece of news keeps the poll quick: the tasks follow it, and that is not announced."""
_PATIENT = 5.0
"""Seconds of quick looks in which nothing changed, before they become rarer."""
RETRY = 1.0
"""Seconds before a daemon that did not answer is asked again."""


@dataclass(slots=True)
class Pace:
    """One daemon's. Times are monotonic seconds. Not thread-safe."""

    _requests: deque[float] = field(default_factory=lambda: deque(maxlen=MOST))
    _looked: float = float("-inf")
    _stirred: float = float("-inf")
    _changed: float = float("-inf")
    _failed: float | None = None
    _news: bool = True
    _settled: bool = False

    def may(self, requests: int) -> float:
        """The earliest time at which so many requests may be sent at once."""
        crowd = len(self._requests) + requests - MOST
        return self._requests[crowd - 1] + _SECOND if crowd > 0 else float("-inf")

    def due(self) -> float:
        """When the next look should be."""
        if self._failed is not None:
            return self._failed + RETRY
        if self._news:
            return self._looked + QUICK
        lively = self._looked - self._stirred < ATTENTIVE
        if self._settled and not lively:
            return self._looked + REST
        idle = self._looked - max(self._changed, self._stirred)
        return self._looked + (QUICK if idle < _PATIENT else min(REST, QUICK * idle / _PATIENT))

    def stir(self, now: float) -> None:
        """Something was heard or ordered: look soon, and stay attentive."""
        self._news, self._stirred = True, now

    def begins(self) -> None:
        """A look begins, which will show all that was heard of before."""
        self._news = False

    def asks(self, now: float, requests: int = 1) -> None:
        """That many requests leave now."""
        self._requests.extend([now] * requests)

    def looked(self, now: float, *, changed: bool, settled: bool) -> None:
        """A look is over."""
        self._looked, self._settled, self._failed = now, settled, None
        if changed:
            self._changed = now

    def failed(self, now: float) -> None:
        """A look failed."""
        self._looked = self._failed = now
        self._news = True
