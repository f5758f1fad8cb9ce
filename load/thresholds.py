"""What a load test must keep to, from a small TOML file, and whether it did."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from load.choices import nearest
from load.figures import Figures

DEFAULT = Path(__file__).with_name("thresholds.toml")
_NUMBERS = ("failure_ratio", "violations", "lag_p99_ms", "reconnects", "failed_reads")
_LARGEST = 1e9
EVERY = "*"


class BadThresholds(Exception):  # noqa: N818 - it names the file's state
    """The file cannot be used; the text says what is wrong in it and what is allowed."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Each is a most. None: not judged. ``p95_ms`` is by request name; ``*`` is every other HTTP request."""

    failure_ratio: float | None = None
    violations: float | None = None
    lag_p99_ms: float | None = None
    p95_ms: Mapping[str, float] = field(default_factory=dict)
    reconnects: float | None = None
    failed_reads: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One thing judged: what was measured, the most allowed (``least``: the least), whether it holds."""

    what: str
    measured: float
    limit: float
    unit: str
    held: bool
    least: bool = False


def read(path: Path = DEFAULT) -> Thresholds:
    """The file's thresholds. BadThresholds."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadThresholds(f"{path} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise BadThresholds(f"{path} is no TOML: {error}") from None
    for name in told:
        if name not in {*_NUMBERS, "p95_ms"}:
            meant = nearest(name, (*_NUMBERS, "p95_ms"))
            hint = f"; did you mean {meant}?" if meant else ""
            raise BadThresholds(f"{path}: no threshold is called {name!r}{hint}")
    by_name = told.get("p95_ms", {})
    if not isinstance(by_name, dict):
        raise BadThresholds(f'{path}: p95_ms is a table of milliseconds by request, such as "GET /" = 500')
    numbers = {name: _number(path, name, told[name]) for name in _NUMBERS if name in told}
    return Thresholds(**numbers, p95_ms={name: _number(path, name, ms) for name, ms in by_name.items()})


def judged(figures: Figures, limits: Thresholds) -> list[Verdict]:
    """Every verdict, what is about the whole test first. A test without a request fails by that alone."""
    verdicts = [
        Verdict("requests", figures.requests, 1, "", figures.requests >= 1, least=True),
        *_most("failed requests", figures.failure_ratio, limits.failure_ratio, "of all"),
        *_most("failed reads", figures.failed_reads, limits.failed_reads, ""),
        *_most("wrong invariants", figures.violations, limits.violations, ""),
    ]
    lag = figures.lag
    if lag is not None:
        verdicts += _most("event lag, p99", lag.p99_ms, limits.lag_p99_ms, "ms")
    verdicts += _most("broken streams", figures.reconnects, limits.reconnects, "")
    for entry in figures.entries:
        every = None if entry.method == "SSE" else limits.p95_ms.get(EVERY)
        limit = limits.p95_ms.get(entry.title, every)
        if entry.requests:
            verdicts += _most(f"{entry.title}, p95", entry.p95_ms, limit, "ms")
    return verdicts


def hold(verdicts: list[Verdict]) -> bool:
    """Whether all do."""
    return all(verdict.held for verdict in verdicts)


def _most(what: str, measured: float, limit: float | None, unit: str) -> Iterator[Verdict]:
    if limit is not None:
        yield Verdict(what, measured, limit, unit, measured <= limit)


def _number(path: Path, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LARGEST:
        raise BadThresholds(f"{path}: {name} takes a number from 0 to 1e9; {str(value)[:40]!r} is not that")
    return float(value)
