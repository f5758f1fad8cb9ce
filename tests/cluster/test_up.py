"""``./claw up`` for real: what it refuses, what it runs, and that it leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.rack import free_port, wait_until
from clawbucket.cli.children import ROOT
from clawbucket.cli.http_get import get
from tests.cluster.typed_claw import TypedClaw, typed_at_home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ONE = ("--services", "clawbucket_clawbucket", "--replicas", "1")
"""The least that is a rack; for tests of the launcher that need nothing more."""


class Claw(TypedClaw):
    """``./claw`` typed by somebody who starts one rack, on ports that are free."""

    def __init__(self, home: Path, **environ: str) -> None:
        super().__init__(home, **environ)
        self.port, self.aggregator_port = free_port(), free_port()

    def ports(self) -> list[str]:
        """The options that choose this rack's ports."""
        return ["--port", str(self.port), "--aggregator-port", str(self.aggregator_port)]

    def up(self, *words: str) -> None:
        """Start it in a terminal of its own, and wait until it says that everything runs."""
        self.launch("up", *self.ports(), *words, until="running after", within=60)

    @property
    def run(self) -> dict[str, Any]:
        """What launcher.json tells."""
        return dict(json.loads((self.home / str(self.port) / "launcher.json").read_text()))

    def pid(self, program: str) -> int:
        """A supervised program's process."""
        return int(self.run["programs"][program]["pid"])


@contextmanager
def claw(**environ: str) -> Iterator[Claw]:
    """A ``./claw`` in a home of its own; what still runs afterwards is ended."""
    with typed_at_home(lambda home: Claw(home, **environ)) as typed:
        yield typed


@pytest.fixture(scope="module")
def rack() -> Iterator[Claw]:
    """One rack of 3 + 3 for the tests that leave it whole."""
    with claw() as typed:
        typed.up("--nodes", "2", "--label", "BOT 7")
        yield typed


@pytest.fixture
def own() -> Iterator[Claw]:
    """A ``./claw`` of the test's own."""
    with claw() as typed:
        yield typed


def status(typed: Claw, code: int = 0) -> dict[str, Any]:
    """``./claw status --json``."""
    return dict(json.loads(typed("status", "--json", code=code)))


def is_well(typed: Claw) -> bool:
    """Whether ``./claw status`` finds nothing missing."""
    return (
        subprocess.run(
            [ROOT / "claw", "status"], env=typed.environ, capture_output=True, check=False
        ).returncode
        == 0
    )


# What it refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("busy", "whose"), [("port", "dashboard"), ("aggregator_port", "aggregator")])
def test_a_busy_port_is_refused_by_name_before_anything_starts(own, busy, whose):
    """Who has it, and which option chooses another; no process, no run directory."""
    with socket.create_server(("127.0.0.1", getattr(own, busy))):
        said = own("up", *own.ports(), code=2)
    option = "--" + busy.replace("_", "-")
    assert said.startswith(f"claw: port {getattr(own, busy)} ({whose}) is taken by python")
    assert said.endswith(f"(pid {os.getpid()}); choose another with {option}\n")
    assert own.left() == []
    assert list(own.home.iterdir()) == []


def test_a_memcached_that_does_not_answer_is_refused():
    """MEMCACHED_HOST is the person's own choice: it is asked first."""
    with claw(MEMCACHED_HOST="127.0.0.1", MEMCACHED_PORT="1") as own:
        said = own("up", *own.ports(), code=2)
        assert said.startswith("claw: MEMCACHED_HOST is set to '127.0.0.1' and it does not answer")
        assert own.left() == []


def test_a_second_up_is_refused_with_the_pid_of_the_first(rack):
    """And the first goes on."""
    said = rack("up", *rack.ports(), code=2)
    assert f"runs on port {rack.port} already (pid {rack.launcher.pid})" in said
    assert status(rack)["ok"]


# What it runs -------------------------------------------------------------------------------------------


def test_up_tells_where_everything_is(rack):
    """After six troopers run, and how long that took."""
    assert re.search(r"6 troopers running after \d+\.\d s", rack.said())
    assert f"http://127.0.0.1:{rack.port}" in rack.said()
    assert f"http://127.0.0.1:{rack.aggregator_port}" in rack.said()
    for port in (rack.port, rack.aggregator_port):
        assert get(f"http://127.0.0.1:{port}/readyz", 5.0)[0] == 200


def test_status_tells_what_runs(rack):
    """Programs, services, and each task with its process, its node and who manages."""

    def settled() -> bool:
        managers = [task["service"] for task in status(rack)["tasks"] if task["manager"]]
        return len(managers) == len(set(managers)) == 2

    wait_until("each service has a manager", settled)
    told = status(rack)
    assert told["ok"]
    assert told["label"] == "BOT 7"
    assert {p["name"]: (p["running"], p["ready"]) for p in told["programs"]} == {
        "memcached": (True, None), "rack": (True, True), "gateway": (True, True), "aggregator": (True, True),
    }  # fmt: skip
    assert [(s["name"], s["desired"], s["running"]) for s in told["services"]] == [
        ("clawbucket_clawbucket", 3, 3), ("clawbucket_clawbucket-b", 3, 3),
    ]  # fmt: skip
    assert {task["node"] for task in told["tasks"]} == {"node-1", "node-2"}
    assert all(psutil.pid_exists(task["pid"]) for task in told["tasks"])
    table = rack("status")
    assert "MANAGER" in table
    assert "clawbucket-b.3." in table


def test_scale_waits_until_it_is_so(rack):
    """By alias or full name, several at once."""
    rack("scale", "clawbucket-b=4", "clawbucket_clawbucket=2")
    told = status(rack)
    assert [s["running"] for s in told["services"]] == [2, 4]
    assert len(told["tasks"]) == 6
    rack("scale", "clawbucket-b=3", "clawbucket=3")
    assert "no service 'nobody' runs here; there are clawbucket, clawbucket-b" in rack(
        "scale", "nobody=2", code=2
    )


def test_logs_tell_who_wrote_what(rack):
    """All, a program's, a slot's, a task's."""
    everything = rack("logs", "-n", "100000").splitlines()
    writers = {line.split()[0].split(".")[0] for line in everything}
    assert {"rack", "gateway", "clawbucket", "clawbucket-b"} <= writers
    assert all(line.split()[0] == "gateway" for line in rack("logs", "gateway").splitlines())
    task = next(t for t in status(rack)["tasks"] if t["slot"] == 2)
    lines = rack("logs", task["id"][:8], "-n", "3").splitlines()
    assert lines
    assert all(line.split()[0].endswith(task["id"][:6]) for line in lines)
    assert len(rack("logs", "-n", "5").splitlines()) == 5
    assert "no log of 'nobody'; there are: aggregator" in rack("logs", "nobody", code=2)


@pytest.mark.parametrize("program", ["memcached", "gateway", "aggregator", "rack"])
def test_a_killed_program_comes_back_on_its_port(rack, program):
    """With one line in the terminal that says so."""
    before, urls = rack.pid(program), (rack.run["urls"], rack.run["rack_url"], rack.run["memcached"])
    os.kill(before, signal.SIGKILL)
    wait_until(f"{program} is back", lambda: rack.pid(program) != before)
    line = rf"{program} was killed by SIGKILL; it was started again on port \d+ \(pid {rack.pid(program)}\)"
    wait_until("the terminal says so", lambda: re.search(line, rack.said()))
    wait_until("all is well", lambda: is_well(rack))
    assert (rack.run["urls"], rack.run["rack_url"], rack.run["memcached"]) == urls


def test_a_request_waits_while_the_aggregator_is_started_again(rack):
    """The launcher holds the listening socket: nobody is refused."""
    os.killpg(rack.pid("aggregator"), signal.SIGKILL)  # with its worker, which may accept until it dies
    assert get(f"http://127.0.0.1:{rack.aggregator_port}/healthz", 20.0)[0] == 200


def test_a_memcached_of_ones_own_is_used(memcached):
    """No private one is started, and the rack's keys are in it."""
    with claw(MEMCACHED_HOST="127.0.0.1", MEMCACHED_PORT=str(memcached.port)) as own:
        own.up(*ONE)
        assert set(own.run["programs"]) == {"rack", "gateway", "aggregator"}
        assert own.run["memcached"] == f"127.0.0.1:{memcached.port} (yours)"
        with socket.create_connection(("127.0.0.1", memcached.port), timeout=2) as bus:
            bus.sendall(b"get clawbucket:engine:snapshot\r\n")
            assert bus.recv(64).startswith(b"VALUE clawbucket:engine:snapshot")
        assert own.end(signal.SIGTERM)[0] == 0


# How it ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_ctrl_c_and_sigterm_end_everything_within_three_seconds(own, number):
    """3 + 3 troopers and all programs; only the logs stay."""
    own.up()
    assert len(own.left()) > 10
    code, seconds = own.end(number)
    assert code == 0
    assert seconds < 3.0, own.said()
    assert "everything has ended" in own.said()
    assert "had to be killed" not in own.said()
    assert [path.name for path in (own.home / str(own.port)).iterdir()] == ["logs"]


def test_a_second_ctrl_c_kills_at_once(own):
    """Even what would not end."""
    own.up(*ONE)
    os.kill(own.pid("gateway"), signal.SIGSTOP)
    os.kill(own.pid("rack"), signal.SIGSTOP)
    assert own.launcher
    begun = time.monotonic()
    own.launcher.send_signal(signal.SIGINT)
    wait_until("it says that it stops", lambda: "stopping" in own.said())
    own.launcher.send_signal(signal.SIGINT)
    own.launcher.wait(5)
    assert time.monotonic() - begun < 1.5
    assert own.left() == []


def test_a_killed_launcher_leaves_no_process(own):
    """The kernel tells the others; the next up finds a clean place."""
    own.up()
    code, seconds = own.end(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert seconds < 3.0
    assert "no rack runs here" in own("status", code=2)
    own.up(*ONE)
    assert own.end(signal.SIGTERM)[0] == 0


def test_a_killed_launcher_takes_a_stopped_replica_along(own):
    """What cannot read its lifeline is killed by the rack manager."""
    own.up(*ONE)
    (task,) = status(own)["tasks"]
    os.killpg(task["pid"], signal.SIGSTOP)
    assert own.end(signal.SIGKILL)[1] < 3.0


def test_down_ends_the_rack_and_waits(own):
    """From another terminal; the launcher ends as after Ctrl-C."""
    own.up(*ONE)
    assert re.search(rf"the rack on port {own.port} has ended, after \d\.\d s", own("down"))
    assert own.launcher
    assert own.launcher.wait(1) == 0
    assert own.left() == []
    assert "no rack runs here" in own("down", code=2)


def test_a_rack_that_cannot_start_leaves_nothing(own):
    """A program that does not run is named with what it said last, and the rest is ended."""
    memcached = own.home / "bin" / "memcached"
    memcached.parent.mkdir()
    memcached.write_text("#!/bin/sh\necho out of clay >&2; exit 71\n")
    memcached.chmod(0o755)
    own.home.chmod(0o755)  # memcached is run as nobody
    own.environ["PATH"] = f"{memcached.parent}:{own.environ['PATH']}"
    said = own("up", *own.ports(), *ONE, code=1)
    assert "memcached cannot run: it ended with status 71 and said last: out of clay" in said
    assert own.left() == []


def test_logs_in_json_are_one_object_a_line(own):
    """The launcher's own and those of the programs."""
    own.up(*ONE, "--log-format", "json")
    os.kill(own.pid("memcached"), signal.SIGKILL)
    wait_until("it is back", lambda: "started again" in own.said())
    own.end(signal.SIGTERM)
    told = [json.loads(line) for line in own.said().splitlines()]
    assert {"launcher"} <= {line["program"] for line in told}
    assert all({"event", "level", "timestamp"} <= set(line) for line in told)
    log = own.home / str(own.port) / "logs" / "gateway.log"
    assert all(json.loads(line)["program"] == "gateway" for line in log.read_text().splitlines())
