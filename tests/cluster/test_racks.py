"""``./claw racks`` for real: two complete racks that know each other, and nothing left of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.rack import NO_OLLAMA, free_port, wait_until
from clawbucket.cli.children import ROOT
from clawbucket.cli.http_get import get
from clawbucket.cli.racks_plan import TO_AGGREGATOR, TO_NEXT
from clawbucket.cli.rundir import RunDir
from tests.cluster.typed_claw import TypedClaw, typed_at_home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

UP = 120.0
"""Seconds for two racks on two cores that have other work; some ten on idle ones."""
ENDED = 8.0
"""Seconds for all of it to end as it was told to; some two on an idle machine."""
LET_GO = 30.0
"""Seconds for the last process to notice that it was left alone: one that is importing does so afterwards."""


class LocalRacks(TypedClaw):
    """``./claw racks`` typed by somebody whose run directories are in ``home``, on ports that are free."""

    patience = 15.0
    let_go = LET_GO

    def __init__(self, home: Path) -> None:
        super().__init__(home, OLLAMA_URL=NO_OLLAMA, PICOCLAW_BACKEND="embedded")
        self.first_port = _free_ports()
        self.ports = (self.first_port, self.first_port + TO_NEXT)
        self.urls = tuple(f"http://127.0.0.1:{port}" for port in self.ports)

    def up(self, *words: str) -> None:
        """Start them in a terminal of their own, and wait until they are said to run."""
        typed = ("racks", "--first-port", str(self.first_port), *words)
        self.launch(*typed, until="racks running after", within=UP)

    def status(self, code: int = 0) -> dict[str, Any]:
        """``./claw racks status --json``."""
        return dict(json.loads(self("racks", "status", "--json", code=code)))

    def launcher_of(self, port: int) -> int:
        """The process that runs the rack on that port. LookupError: none does just now."""
        run = RunDir(self.home / str(port)).live()
        if run is None:
            raise LookupError(f"no rack runs on port {port}")
        return run.launcher.pid


def _free_ports() -> int:
    """The first of four ports as two racks have them, all free just now."""

    def tried() -> int | None:
        first = free_port() % 40_000 + 2_000
        for port in (first, first + TO_AGGREGATOR, first + TO_NEXT, first + TO_NEXT + TO_AGGREGATOR):
            if any(c.laddr and c.laddr.port == port for c in psutil.net_connections("tcp")):
                return None
        return first

    return wait_until("four ports are free", tried)


@pytest.fixture(scope="module")
def racks() -> Iterator[LocalRacks]:
    """Two racks with one trooper of each service, for the tests that leave them whole."""
    with typed_at_home(LocalRacks) as typed:
        typed.up("--replicas", "1")
        yield typed


@pytest.fixture
def own() -> Iterator[LocalRacks]:
    """Racks of the test's own."""
    with typed_at_home(LocalRacks) as typed:
        yield typed


def test_two_racks_run_and_are_told_in_one_table(racks):
    """Both dashboards, both scoreboards, and how to end them."""
    for number, url in enumerate(racks.urls, 1):
        assert re.search(rf"dashboard {number}\s+{url}\n", racks.said())
        assert re.search(
            rf"scoreboard {number}\s+http://127.0.0.1:{racks.ports[number - 1] + 10}\n", racks.said()
        )
        assert json.loads(get(f"{url}/api/whoami", 5.0)[1])["label"] == f"Machine Rack {number}"
        assert get(f"http://127.0.0.1:{racks.ports[number - 1] + 10}/api/scoreboard", 5.0)[0] == 200
    assert "Ctrl-C ends all of them" in racks.said()


def test_they_share_nothing_but_the_key(racks):
    """Each has its own bus, troopers and snapshots; the other's dashboard is its peer."""
    found = [_environment(racks, port) for port in racks.ports]
    assert [each["PEER_DASHBOARD_URL"] for each in found] == list(reversed(racks.urls))
    assert len({each["MEMCACHED_PORT"] for each in found}) == 2
    assert [each["REVOLT_SNAPSHOT_DIR"] for each in found] == [
        str(racks.home / str(port) / "revolt") for port in racks.ports
    ]
    (key,) = {each["CLAWBUCKET_PEER_KEY_FILE"] for each in found}
    assert Path(key).stat().st_mode & 0o777 == 0o600
    assert len(Path(key).read_text().strip()) == 64


def _environment(racks: LocalRacks, port: int) -> dict[str, str]:
    """What the troopers of the rack on that port find in their environment."""
    state = str(racks.home / str(port) / "rack")
    for process in psutil.process_iter():
        try:
            found = process.environ()
        except psutil.Error:
            continue
        if found.get("CLAWBUCKET_STATE_DIR") == state and found.get("TASK_ID"):
            return dict(found)
    raise LookupError(f"no trooper runs on port {port}")


def test_status_tells_of_both(racks):
    """Each as its own ./claw status does, with its peers."""
    told = racks.status()
    assert told["ok"]
    assert [rack["name"] for rack in told["racks"]] == ["rack-1", "rack-2"]
    assert [rack["urls"]["dashboard"] for rack in told["racks"]] == list(racks.urls)
    assert [rack["peers"] for rack in told["racks"]] == [{"peer": url} for url in reversed(racks.urls)]
    for rack in told["racks"]:
        assert [(s["running"], s["desired"]) for s in rack["services"]] == [(1, 1), (1, 1)]
    assert re.search(r"rack-2\s+runs\s+2/2", racks("racks", "status"))
    assert "Machine Rack 2" in racks("status", "--port", str(racks.ports[1]))


def test_a_second_racks_is_refused(racks):
    """And the first go on."""
    said = racks("racks", code=2)
    assert f"2 racks run already (pid {racks.status()['launcher_pid']}); end them with" in said


def test_a_rack_that_was_killed_comes_back(racks):
    """On its ports, with all of its programs; the other one goes on."""
    first, second = (racks.launcher_of(port) for port in racks.ports)
    os.kill(first, signal.SIGKILL)
    wait_until("it is started again", lambda: racks.launcher_of(racks.ports[0]) != first, 30)

    def well() -> bool:
        command = [str(ROOT / "claw"), "racks", "status"]
        return subprocess.run(command, env=racks.environ, capture_output=True, check=False).returncode == 0

    wait_until("all is well", well, UP, 1.0)
    assert racks.launcher_of(racks.ports[1]) == second
    assert "rack-1 was killed by SIGKILL; it was started again" in racks.said()
    assert [rack["starts"] for rack in racks.status()["racks"]] == [2, 1]


def test_a_killed_launcher_of_launchers_leaves_nothing(own):
    """The racks end with it, each with all that it runs; the next racks find a clean place."""
    own.up("--replicas", "1")
    assert len(own.left()) > 10
    assert own.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert "no racks run here" in own("racks", "status", code=2)
    own.up("--replicas", "1")
    assert own.end(signal.SIGTERM)[0] == 0


def test_ctrl_c_ends_all_racks_in_order(own):
    """Each ends its own, as after a Ctrl-C of its own; logs stay, and the key goes."""
    own.up("--replicas", "2")
    code, seconds = own.end(signal.SIGINT)
    assert code == 0
    assert seconds < ENDED, own.said()
    assert "everything has ended" in own.said()
    for port in own.ports:
        terminal = (own.home / "racks" / "logs" / f"rack-{own.ports.index(port) + 1}.log").read_text()
        assert "everything has ended" in terminal
        assert [path.name for path in (own.home / str(port)).iterdir()] == ["logs"]
    assert [path.name for path in (own.home / "racks").iterdir()] == ["logs"]


def test_down_ends_all_racks_and_waits(own):
    """From another terminal."""
    own.up("--replicas", "1")
    assert re.search(r"2 racks have ended, after \d\.\d s", own("racks", "down"))
    assert own.launcher
    assert own.launcher.wait(1) == 0
    assert own.left() == []
    assert "no racks run here" in own("racks", "down", code=2)
