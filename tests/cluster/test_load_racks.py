"""``./claw load`` on the two racks of ``./claw racks``, as somebody types it, with a Chaos that revolts."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawbucket.cli.children import ROOT
from clawbucket.cli.http_get import get
from tests.cluster.test_racks import LocalRacks
from tests.cluster.typed_claw import typed_at_home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
IN_TURN = ROOT / "tests" / "cluster" / "chaos_in_turn.py"
QUIET = "failed_reads = 0\nviolations = 0\nlag_p99_ms = 60000\n"
"""What a busy machine keeps to as well, and a rack that is being broken."""


@pytest.fixture(scope="module")
def racks() -> Iterator[LocalRacks]:
    """Two racks with three troopers of each service, which ask for a token."""
    with typed_at_home(LocalRacks) as typed:
        token = typed.home / "token"
        token.write_text(secrets.token_urlsafe(24))
        (typed.home / "limits.toml").write_text(QUIET)
        typed.up("--replicas", "3", "--token-file", str(token))
        yield typed


def load(racks: LocalRacks, out: Path, *words: str) -> dict[str, Any]:
    """``./claw load`` on the first rack until it holds, and its report."""
    said = racks(
        "load", "--port", str(racks.ports[0]), "--headless", "--reports", str(out),
        "--token-file", str(racks.home / "token"), "--thresholds", str(racks.home / "limits.toml"), *words,
    )  # fmt: skip
    assert "MISSED" not in said
    return dict(json.loads((out / "report.json").read_text()))


def test_which_rack_and_its_token_are_asked_for(racks):
    """Status 2, and what to type."""
    said = racks("load", code=2)
    assert f"2 racks run here, on ports {racks.ports[0]}, {racks.ports[1]}; choose one with --port" in said
    assert "changes need that rack's token: give it by --token-file" in racks(
        "load", "--port", str(racks.ports[1]), code=2
    )


def test_two_processes_share_the_users(racks, tmp_path):
    """One report of both: all users, every kind of them, and no request is lost."""
    report = load(
        racks,
        tmp_path / "out",
        "--users",
        "10",
        "--spawn-rate",
        "10",
        "--duration",
        "10s",
        "--processes",
        "2",
    )
    names = {f"{e['method']} {e['name']}" for e in report["figures"]["entries"]}
    assert report["asked"]["processes"] == 2
    assert names >= {"GET /api/swarms", "GET /", "SSE connect", "SSE event lag"}
    assert report["figures"]["failures"] == []
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"report.html", "stats_stats.csv"}


def test_chaos_sends_troopers_to_the_other_rack(racks, tmp_path, monkeypatch):
    """Revolts among all that it breaks: none fails a read, and as many as before are wanted at the end."""
    monkeypatch.setitem(racks.environ, "LOCUST_LOCUSTFILE", str(IN_TURN))
    report = load(racks, tmp_path / "out", "--users", "8", "--duration", "22s", "--allow-chaos")
    acts = {e["name"] for e in report["figures"]["entries"] if e["method"] == "POST"}
    assert acts >= {"/api/revolt", "/api/self_destruct", "/api/outage", "/api/scale"}
    events = json.loads(get(f"{racks.urls[0]}/api/revolt/events", 5.0)[1])["events"]
    assert any(event["phase"] == "COMMITTED" for event in events), events
    swarms = json.loads(get(f"{racks.urls[0]}/api/swarms", 5.0)[1])["swarms"]
    assert [swarm["desired_replicas"] for swarm in swarms] == [3, 3]
