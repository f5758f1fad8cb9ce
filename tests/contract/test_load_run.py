"""A real Locust on a rack in memory: a short test that holds, and one with limits that nothing could keep."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.rack import free_port
from load.plain_http import ask
from tests.conftest import wait_for_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[2]
TOKEN = "correct horse"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A rack in memory that wants a token and tells this machine's time."""
    port = free_port()
    command = [sys.executable, "-m", "tests.browser.world", str(port), "--real-time", "--token", TOKEN]
    with subprocess.Popen(command, cwd=ROOT) as world:
        try:
            wait_for_port(port, timeout=60)
            yield f"http://127.0.0.1:{port}"
        finally:
            world.kill()


def load(url: str, *words: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """``claw load`` on that rack."""
    command = [sys.executable, "-m", "clawbucket", "load", "--host", url, "--headless", *words]
    return subprocess.run(
        [*command, "--token", token], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


GENEROUS = """
failure_ratio = 0.0
violations = 0
lag_p99_ms = 60000
[p95_ms]
"*" = 60000
"SSE connect" = 60000
"""
"""What a busy machine keeps to as well."""


def test_a_test_that_holds(url, tmp_path):
    """Status 0; all reports are there; every kind of user came; what was changed is as before.

    The rack was told each second, so a dashboard can show it.
    """
    limits, out = tmp_path / "limits.toml", tmp_path / "out"
    limits.write_text(GENEROUS)
    before = ask("GET", url, "/api/rps").json["interval_seconds"]
    done = load(
        url, "--users", "12", "--spawn-rate", "12", "--duration", "12s", "--allow-chaos",
        "--thresholds", str(limits), "--reports", str(out),
    )  # fmt: skip
    told = ask("GET", url, "/api/load").json["samples"]  # at once: they are there for 15 s
    assert done.returncode == 0, done.stdout + done.stderr
    assert max(sample["users"] for sample in told) == 12
    assert {sample["failures"] for sample in told} == {0}
    assert {path.name for path in out.iterdir()} >= {
        "report.json", "report.html", "requests.json", "stats_stats.csv", "stats_failures.csv",
    }  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    figures = report["figures"]
    assert (report["held"], figures["violations"], figures["failures"]) == (True, 0, [])
    assert set(report["asked"]["user_classes"]) == {"Viewer", "Poller", "Operator", "Chaos"}
    names = {f"{e['method']} {e['name']}" for e in figures["entries"]}
    assert names >= {"GET /api/swarms", "SSE connect", "SSE first event", "SSE event lag"}
    pages = next(e for e in figures["entries"] if e["name"] == "/")["requests"]
    assert pages >= 4  # each viewer begins with the page
    lag = next(e for e in figures["entries"] if e["name"] == "event lag")
    assert 0 <= lag["median_ms"] <= lag["p99_ms"] < 60_000
    assert ask("GET", url, "/api/rps").json["interval_seconds"] == before
    with (out / "stats_stats.csv").open() as file:
        assert any(row["Name"] == "/api/swarms" for row in csv.DictReader(file))
    for words in ("wrong invariants", "event lag, p99", "held", "requests in", str(out)):
        assert words in done.stdout.replace("\n", "")


def test_impossible_limits(url, tmp_path):
    """Status 1, and the table says which did not hold."""
    limits = tmp_path / "limits.toml"
    limits.write_text('[p95_ms]\n"*" = 0\n')
    done = load(
        url, "--users", "3", "--spawn-rate", "3", "--duration", "3s", "--tags", "read",
        "--thresholds", str(limits), "--reports", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "MISSED" in done.stdout
    assert "did not hold" in done.stderr
    asked = json.loads((tmp_path / "out" / "report.json").read_text())["asked"]
    assert set(asked["user_classes"]) == {"Viewer", "Poller"}


def test_a_wrong_token_is_told_before_the_test(url, tmp_path):
    """Status 2, one sentence, no report."""
    done = load(url, "--reports", str(tmp_path / "out"), token="wrong")
    assert (done.returncode, (tmp_path / "out").exists()) == (2, False)
    assert "the token is not that rack's" in done.stderr
