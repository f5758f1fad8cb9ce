"""What ``bench mixed`` makes of a load test's report and of memory looked at again and again."""

from __future__ import annotations

from typing import Any

import pytest

from bench import mixed
from load.invariants import MARK


def kind(method: str, name: str, requests: int, failures: int = 0, ms: float = 0.0) -> dict[str, Any]:
    """One entry of a report."""
    times = dict.fromkeys(("median_ms", "p95_ms", "p99_ms", "max_ms"), ms)
    return {"method": method, "name": name, "requests": requests, "failures": failures, **times}


def told(*, barred: bool = True, **more: Any) -> dict[str, tuple[float, bool | None]]:
    """The figures of a report with the value and the verdict of each."""
    report = {
        "violations": 0,
        "failures": [],
        "entries": [
            kind("GET", "/", 90), kind("GET", "/api/swarms", 10), kind("POST", "/api/arm", 7, 2),
            kind("SSE", "connect", 20), kind("SSE", "reconnect", 3, ms=1_200),
            kind("SSE", "event lag", 5, ms=80),
        ],
        **more,
    }  # fmt: skip
    times = [{"method": "GET", "response_times": {"10": 98, "500": 2}}]
    return {f.name: (f.value, f.met) for f in mixed.told(report, times, [10.0, 20.0], barred=barred)}


def test_what_holds():
    """Reads are GETs and streams' beginnings; a refused change misses no bar, nor does a reconnect."""
    found = told()
    assert found["reads"] == (120, None)
    assert found["failed reads"] == (0, True)
    assert found["changes refused or in doubt"] == (2, None)
    assert found["streams that broke and went on"] == (3, None)
    assert (found["replicas killed"], found["reads, p95"], found["reads, p99"]) == (
        (2, None), (10, None), (500, None),
    )  # fmt: skip
    assert found["event lag, p99"] == (80, None)


def test_what_does_not():
    """A failed GET, a stream that cannot be begun, one that fell silent, and an invariant miss their bars."""
    failures = [
        {"request": "SSE connect", "reason": "Refused(503)", "count": 1},
        {"request": "SSE events", "reason": "the stream said nothing for too long", "count": 4},
        {"request": "SSE events", "reason": f"{MARK}ids are unique: two have one", "count": 2},
    ]
    entries = [kind("GET", "/", 9, 3), kind("SSE", "connect", 20, 1), kind("SSE", "events", 6, 6)]
    found = told(entries=entries, failures=failures, violations=2)
    assert found["failed reads"] == (4, False)
    assert found["streams that fell silent"] == (4, False)
    assert found["wrong invariants"] == (2, False)


def test_a_short_run_is_only_reported():
    """The bars are for ten minutes."""
    entries = [kind("GET", "/", 9, 3)]
    verdicts = {name: met for name, (_, met) in told(barred=False, entries=entries).items()}
    assert set(verdicts.values()) == {None}
    assert any(name.startswith("failed reads (the bar of 0 is for 10 min") for name in verdicts)


@pytest.mark.parametrize(
    ("series", "grown"),
    [
        ([(at, 10.0 + at) for at in range(120)] + [(at, 130.0) for at in range(120, 601)], 0.0),
        ([(at, 100.0 + at) for at in range(601)], 100 * (670 / 250 - 1)),
        ([(at, 100.0) for at in range(500)], None),
        ([(at, 100.0) for at in range(300, 601)], None),
    ],
)  # fmt: skip
def test_growth_is_from_when_memory_has_settled(series, grown):
    """The third minute's median against the last one's; a program that was away then has no figure."""
    found = mixed.growth(series, 600.0)
    assert found == (pytest.approx(grown, abs=0.5) if grown is not None else None)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (["/usr/bin/memcached", "-l", "127.0.0.1"], "memcached"),
        (["python", "-m", "clawbucket", "up"], "launcher"),
        (["python", "-m", "gateway"], "gateway"),
        (["python", "-m", "app.nursery", "3"], "nursery"),
        ([], "others"),
    ],
)
def test_programs_are_told_by_their_command_lines(line, name):
    """As ``./claw up`` starts them."""
    assert mixed.program(line) == name
