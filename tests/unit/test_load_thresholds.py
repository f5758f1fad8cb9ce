from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from load import figures, reporting, telling, thresholds
from load.figures import Entry, Figures
from load.invariants import Violated
from load.thresholds import BadThresholds, Thresholds, Verdict, hold, judged, read


def entry(method: str, name: str, p95: float = 10.0, p99: float = 20.0, requests: int = 100) -> Entry:
    """One kind of request, none of which failed."""
    return Entry(method, name, requests, 0, 1.0, 5.0, p95, p99, p99)


def measured(*entries: Entry, failed: int = 0, violations: int = 0, requests: int = 100) -> Figures:
    """A whole test."""
    return Figures(10.0, requests, failed, violations, 10.0, 12.0, list(entries))


def missed(verdicts: list[Verdict]) -> list[str]:
    """What did not hold."""
    return [verdict.what for verdict in verdicts if not verdict.held]


def test_the_file_of_the_pack_is_good():
    """The thresholds that come with it: no failures, no violations, and times."""
    limits = read()
    assert (limits.failure_ratio, limits.violations) == (0.0, 0.0)
    assert limits.lag_p99_ms
    assert limits.p95_ms["*"] > 0


def test_a_good_test_holds():
    """Everything within its limits."""
    limits = Thresholds(0.0, 0.0, 100.0, {"*": 50.0})
    assert hold(judged(measured(entry("GET", "/"), entry("SSE", figures.LAG)), limits))


def test_each_limit_is_judged_by_itself():
    """What is over its limit is named; what is exactly at it holds."""
    limits = Thresholds(0.01, 0.0, 20.0, {"*": 50.0, "GET /": 10.0, "SSE connect": 5.0})
    told = measured(
        entry("GET", "/"), entry("GET", "/slow", p95=50.1), entry("SSE", "connect"),
        entry("SSE", figures.LAG, p99=21),
        failed=2, violations=1,
    )  # fmt: skip
    assert missed(judged(told, limits)) == [
        "failed requests", "wrong invariants", "event lag, p99", "GET /slow, p95", "SSE connect, p95",
    ]  # fmt: skip


def test_the_star_is_for_http_alone():
    """A viewer's measures have limits by name only, and without viewers there is no lag to judge."""
    limits = Thresholds(lag_p99_ms=1.0, p95_ms={"*": 1.0})
    assert missed(judged(measured(entry("SSE", figures.GAP, p95=9_000.0)), limits)) == []


def test_failed_reads_are_judged_by_themselves():
    """A change that is in doubt when a replica is killed is none; a GET that failed is."""
    post = Entry("POST", "/api/arm", 9, 1, 1.0, 5.0, 5.0, 5.0, 5.0)
    limits = Thresholds(failed_reads=0.0)
    assert missed(judged(measured(post, entry("GET", "/")), limits)) == []
    get = Entry("GET", "/", 9, 1, 1.0, 5.0, 5.0, 5.0, 5.0)
    assert missed(judged(measured(post, get), limits)) == ["failed reads"]


def test_broken_streams_may_be_limited():
    """By how often viewers connected again; where nothing is said they are not judged."""
    told = measured(entry("SSE", figures.BACK, requests=3))
    assert missed(judged(told, Thresholds(reconnects=2.0))) == ["broken streams"]
    assert missed(judged(told, Thresholds(reconnects=3.0))) == []
    assert missed(judged(told, Thresholds())) == []


def test_a_test_without_requests_does_not_hold():
    """What measured nothing proves nothing."""
    assert missed(judged(measured(requests=0), Thresholds())) == ["requests"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("failure_ration = 0", "did you mean failure_ratio?"),
        ("violations = 'none'", "violations takes a number"),
        ("lag_p99_ms = -1", "lag_p99_ms takes a number"),
        ("lag_p99_ms = nan", "takes a number"),
        ("violations = true", "takes a number"),
        ("p95_ms = 5", "table of milliseconds"),
        ("[p95_ms]\n'GET /' = '5'", "GET / takes a number"),
        ("= 5", "is no TOML"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, says):
    """With the file's name, what is wrong in it, and what is allowed."""
    path = tmp_path / "limits.toml"
    path.write_text(text)
    with pytest.raises(BadThresholds, match=r"limits\.toml") as refused:
        read(path)
    assert says in str(refused.value)


def test_a_missing_file_is_refused(tmp_path):
    """In one sentence."""
    with pytest.raises(BadThresholds, match="cannot be read"):
        read(tmp_path / "none.toml")


# Figures out of Locust's statistics, whose form is stood in for here; test_load_run.py shows the real one --


@dataclass
class StatsEntry:
    """Locust's record of one kind of request, as far as figures ask it."""

    method: str = "GET"
    name: str = "/"
    num_requests: int = 10
    num_failures: int = 1
    total_rps: float = 2.0
    current_rps: float = 3.04
    max_response_time: float | None = 70.0
    start_time: float = 100.0
    last_request_timestamp: float | None = 105.0

    def get_response_time_percentile(self, share: float) -> float:
        return round(100 * share)

    def get_current_response_time_percentile(self, _share: float) -> float | None:
        return None


@dataclass
class Stats:
    """Locust's statistics."""

    errors: dict[str, SimpleNamespace] = field(default_factory=dict)
    total: StatsEntry = field(default_factory=StatsEntry)
    entries: dict[tuple[str, str], StatsEntry] = field(default_factory=dict)


class CatchResponseError(Exception):
    """Locust's, by name."""


@pytest.mark.parametrize("between_processes", [False, True])
def test_violations_are_counted_by_their_mark(between_processes):
    """Within a process they are exceptions, between processes text; both count, and read alike."""
    errors = [Violated("one manager a service: x has 2 while 3 run"), CatchResponseError("503 bus_down")]
    told = [repr(e) if between_processes else e for e in errors]
    stats = Stats(
        {
            str(n): SimpleNamespace(method="GET", name="/a", error=e, occurrences=n + 2)
            for n, e in enumerate(told)
        }
    )
    found = figures.of(stats, 5.0)
    assert found.violations == 2
    assert [(f.reason, f.count) for f in found.failures] == [
        ("503 bus_down", 3),
        ("invariant violated: one manager a service: x has 2 while 3 run", 2),
    ]


def test_figures_are_of_the_whole_test():
    """Requests, failures, seconds, and each kind of request; measures of viewers come last."""
    stats = Stats(entries={("e", "SSE"): StatsEntry("SSE", "event lag"), ("/", "GET"): StatsEntry()})
    found = figures.of(stats, 5.0)
    assert (found.seconds, found.requests, found.failed, found.failure_ratio) == (5.0, 10, 1, 0.1)
    assert (found.rate, found.entries[0].rate) == (2.0, 2.0)
    assert figures.of(stats, 40.0).rate == 0.25  # and not until the last request only
    assert [e.title for e in found.entries] == ["GET /", "SSE event lag"]
    assert found.lag
    assert (found.lag.median_ms, found.lag.p95_ms, found.lag.p99_ms, found.lag.max_ms) == (50, 95, 99, 70)


def test_nothing_happened():
    """Statistics without a request are zeros."""
    nothing = StatsEntry(num_requests=0, num_failures=0, total_rps=0.0, max_response_time=None)
    nothing.last_request_timestamp = None
    found = figures.of(Stats(total=nothing), 0.0)
    assert (found.requests, found.failure_ratio, found.seconds, found.lag) == (0, 0.0, 0.0, None)


def test_a_sample_for_the_dashboard():
    """What POST /api/load takes, but for the name; a percentile that is not known yet is 0."""
    assert telling.sample(Stats(), 7) == {"users": 7, "rate": 3.0, "p95_ms": 0.0, "failures": 1}


def test_the_report_is_whole(tmp_path, monkeypatch):
    """One JSON file with verdicts, figures, machine and notes."""
    monkeypatch.setattr(reporting, "version", lambda _: "2.0")
    verdicts = judged(measured(entry("GET", "/")), Thresholds(p95_ms={"*": 1.0}))
    told = reporting.report(measured(entry("GET", "/")), verdicts, {"users": 3}, ["put back: x"])
    path = reporting.write(tmp_path / "new" / "place", told)
    read_back = json.loads(path.read_text())
    assert read_back["held"] is False
    assert [v["held"] for v in read_back["verdicts"]] == [True, False]
    assert read_back["figures"]["entries"][0]["name"] == "/"
    assert (read_back["asked"], read_back["notes"]) == ({"users": 3}, ["put back: x"])
    assert [p.name for p in path.parent.iterdir()] == ["report.json"]


def test_the_default_thresholds_are_where_the_pack_is():
    """Beside the module, so that they are found from any directory."""
    assert thresholds.DEFAULT.name == "thresholds.toml"
    assert thresholds.DEFAULT.is_file()
