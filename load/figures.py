"""What a load test measured, as plain numbers out of Locust's statistics.

The statistics are asked by the names of their methods and never imported, so that this knows no Locust. They
are also what workers send to their master, so the figures are of all processes together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from load.invariants import MARK

SSE = "SSE"
"""Stands for a method where a viewer's measure is meant."""
LAG, GAP, CONNECT, FIRST, BACK = "event lag", "event gap", "connect", "first event", "reconnect"
APART = "events without lag: clocks apart"
_CAUGHT = "CatchResponseError("
"""How Locust calls an answer that was judged to be wrong."""
_MOST_FAILURES = 100
"""Kinds of failure in a report; the most frequent."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of request. ``rate`` is requests a second over the whole test; times are milliseconds."""

    method: str
    name: str
    requests: int
    failures: int
    rate: float
    median_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float

    @property
    def title(self) -> str:
        """How thresholds call it."""
        return f"{self.method} {self.name}"


@dataclass(frozen=True, slots=True)
class Failure:
    """One way in which requests of one kind failed, and how often."""

    request: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The whole test. ``requests`` are HTTP requests and connections of streams, not a viewer's measures."""

    seconds: float
    requests: int
    failed: int
    violations: int
    rate: float
    p95_ms: float
    entries: list[Entry] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def failure_ratio(self) -> float:
        """Failed of all, 0 to 1."""
        return self.failed / self.requests if self.requests else 0.0

    @property
    def failed_reads(self) -> int:
        """GETs that failed, for whatever reason."""
        return sum(e.failures for e in self.entries if e.method == "GET")

    @property
    def reconnects(self) -> int:
        """How often viewers had to connect again."""
        return sum(e.requests for e in self.entries if (e.method, e.name) == (SSE, BACK))

    @property
    def lag(self) -> Entry | None:
        """How late viewers' events came; None where nobody could tell."""
        return next((e for e in self.entries if (e.method, e.name) == (SSE, LAG) and e.requests), None)


def of(stats: Any, seconds: float) -> Figures:
    """The figures in a ``locust.stats.RequestStats`` of a test of ``seconds``.

    Locust's own seconds end with the last request, which is at once where viewers only watch.
    """
    failures = [
        Failure(f"{e.method} {e.name}", reason(e.error), int(e.occurrences)) for e in stats.errors.values()
    ]
    failures.sort(key=lambda failure: -failure.count)
    total = stats.total
    entries = [_entry(e, seconds) for e in stats.entries.values()]
    return Figures(
        seconds=seconds,
        requests=total.num_requests,
        failed=total.num_failures,
        violations=sum(f.count for f in failures if f.reason.startswith(MARK)),
        rate=total.num_requests / seconds if seconds else 0.0,
        p95_ms=total.get_response_time_percentile(0.95),
        entries=sorted(entries, key=lambda e: (e.method == SSE, e.name, e.method)),
        failures=failures[:_MOST_FAILURES],
    )


def reason(error: object) -> str:
    """A failure's own words, without the exception's name around them where it says nothing more.

    Within a process Locust keeps exceptions; between processes it sends their ``repr``.
    """
    said = error if isinstance(error, str) else repr(error)
    at = said.find(MARK)
    if at < 0:
        at = len(_CAUGHT) + 1 if said.startswith((_CAUGHT + "'", _CAUGHT + '"')) else 0
    return said[at:].removesuffix("')").removesuffix('")') if at else said


def _entry(entry: Any, seconds: float) -> Entry:
    p50, p95, p99 = (float(entry.get_response_time_percentile(share)) for share in (0.5, 0.95, 0.99))
    return Entry(
        method=entry.method or "",
        name=entry.name,
        requests=entry.num_requests,
        failures=entry.num_failures,
        rate=entry.num_requests / seconds if seconds else 0.0,
        median_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=float(entry.max_response_time or 0),
    )
