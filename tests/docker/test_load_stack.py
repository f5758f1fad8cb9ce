"""``./claw load`` against docker-stack.yml as it is deployed: by its published port, with its token."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docker.deployed import Deployed
from tests.docker.images import ROOT

pytestmark = pytest.mark.slow

LIMITS = "failure_ratio = 0\nfailed_reads = 0\nviolations = 0\n"
"""Nothing fails; how long it takes says little of a machine that builds images as well."""


def load(stack: Deployed, *words: str) -> subprocess.CompletedProcess[str]:
    """``./claw load`` typed with the machine's name, as one does who looks at a swarm from outside."""
    command = [sys.executable, "-P", "-m", "clawbucket", "load", "--host", f"localhost:{stack.port}", *words]
    environment = stack.engine.environment(PYTHONPATH=str(ROOT))
    return subprocess.run(
        command, env=environment, cwd="/", capture_output=True, text=True, timeout=120, check=False
    )


def test_a_stack_asks_for_its_token(stack):
    """Before anybody comes, with what to type."""
    done = load(stack, "--headless")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "changes need that rack's token: give it by --token-file" in done.stderr


def test_a_stack_holds(stack, tmp_path: Path):
    """Eight users for ten seconds, all kinds but Chaos: nothing fails, and the interval is as before."""
    token, limits, out = tmp_path / "token", tmp_path / "limits.toml", tmp_path / "out"
    token.write_text(stack.secrets["token"])
    limits.write_text(LIMITS)
    before = stack.get("/api/rps").get_json()["interval_seconds"]
    done = load(
        stack, "--headless", "--users", "8", "--spawn-rate", "8", "--duration", "10s",
        "--token-file", str(token), "--thresholds", str(limits), "--reports", str(out),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((out / "report.json").read_text())
    assert set(report["asked"]["user_classes"]) == {"Viewer", "Poller", "Operator"}
    names = {f"{e['method']} {e['name']}" for e in report["figures"]["entries"]}
    assert names >= {"GET /", "GET /api/swarms", "SSE connect", "SSE event lag"}
    assert stack.get("/api/rps").get_json()["interval_seconds"] == before
