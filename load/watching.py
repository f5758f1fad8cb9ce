"""What a viewer makes of the stream's events: the state, how late each came, and whether one was skipped.

Pure. Lag is the reader's clock minus the server's, so it is exact only where both are one machine's clock;
elsewhere it is off by as much as the two clocks are apart. A little before its time counts as at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from load import invariants
from load.event_stream import Event

JUDGED_EVERY = 1.0
"""Seconds between two looks at the whole state: a thousand troopers a viewer four times a second is a load
on the generator that it could not tell from the rack's."""
MOST_APART, LARGEST_LAG = 1_000.0, 600_000.0
"""Milliseconds by which an event may come before it was made, and after: beyond, it is the clocks' doing."""

State = dict[str, Any]


def merged(state: State, patch: State) -> State:
    """``state`` with a JSON Merge Patch (RFC 7396) in it; neither is changed."""
    result = dict(state)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            inner = result.get(key)
            result[key] = merged(inner if isinstance(inner, dict) else {}, value)
        else:
            result[key] = value
    return result


@dataclass(slots=True)
class Seen:
    """What one event told. ``lag_ms`` is None where nobody can know it, as where the clocks are far apart."""

    lag_ms: float | None = None
    clocks_apart: bool = False
    gap_ms: float | None = None
    problems: list[str] = field(default_factory=list)


class Watcher:
    """One viewer, over one stream and the next. ``last_id`` is where a new stream goes on."""

    def __init__(self) -> None:
        self.state: State = {}
        self.last_id = ""
        self._memory = invariants.Memory()
        self._server = ""
        self._live = False
        self._read_at: float | None = None
        self._judged_at = float("-inf")

    def opened(self, server: str) -> None:
        """Another stream begins, from that server."""
        self._server, self._live, self._read_at = server, False, None

    def see(self, event: Event, read_at: float) -> Seen:
        """Take one event, read at ``read_at`` unix seconds.

        What comes with the first read was made before this viewer came, or while it was away: it says nothing
        about lag.
        """
        seen = Seen()
        if self._read_at is not None and read_at > self._read_at:
            self._live = True
            seen.gap_ms = 1000 * (read_at - self._read_at)
        self._read_at = read_at
        if self._live and event.at_ms is not None and event.kind != "snapshot":
            lag = 1000 * read_at - event.at_ms
            seen.clocks_apart = not -MOST_APART <= lag <= LARGEST_LAG
            seen.lag_ms = None if seen.clocks_apart else max(0.0, lag)
        try:
            data = json.loads(event.data)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            seen.problems.append(f"{invariants.SHAPE}: an event of the stream is no JSON object")
            return seen
        seen.problems += self._follows(event)
        self.last_id = event.id
        if event.kind == "snapshot":
            self.state = data
        elif event.kind == "delta":
            self.state = merged(self.state, data)
        if read_at - self._judged_at >= JUDGED_EVERY and "unknown" not in self.state:
            self._judged_at = read_at
            seen.problems += invariants.state(self.state, self._memory, self._server)
        return seen

    def _follows(self, event: Event) -> list[str]:
        """Within one process's ids each event is the next; a snapshot begins anew."""
        if event.kind == "snapshot":
            return []
        before, _, last = self.last_id.rpartition("-")
        token, _, number = event.id.rpartition("-")
        if not self.state:
            return [f"{invariants.NO_SKIP}: a delta came before any snapshot"]
        if token == before and last.isdigit() and number.isdigit() and int(number) == int(last) + 1:
            return []
        return [f"{invariants.NO_SKIP}: a {event.kind[:20]} did not follow the event before it"]
