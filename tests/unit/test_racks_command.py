from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from dataclasses import replace

import pytest
from click.testing import CliRunner

from bench.rack import free_port
from clawbucket.cli import provision, racks_docker, racks_end, racks_plan, racks_status
from clawbucket.cli.main import claw
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Mark, Run, RunDir


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type ``./claw racks …``; run directories are in tmp_path."""
    monkeypatch.setenv("CLAWBUCKET_HOME", str(tmp_path))
    for name in ("PEER_KEY", "PEER_KEY_FILE", "TOKEN", "TOKEN_FILE", "REPLICAS"):
        monkeypatch.delenv(f"CLAWBUCKET_{name}", raising=False)
    return lambda *words: CliRunner().invoke(claw, ["racks", *words])


def account(home, count=2, pid=None):
    """What a launcher of launchers writes down."""
    directory = racks_plan.directory(home)
    directory.prepare(None)
    racks = racks_plan.sides(count, racks_plan.FIRST_PORT)
    mark = Mark.of(pid or os.getpid())
    urls = {rack.name: rack.url for rack in racks}
    run = Run(mark, "all", "racks", "2026-01-01T00:00:00Z", racks[0].port, urls, "", "", ("a",))
    run = replace(run, programs={rack.name: Mark(1, 1.0, 3) for rack in racks})
    directory.write(run)
    return run


# What is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--count", "1"), "1 is not in the range 2<=x<=5"),
        (("--count", "6"), "6 is not in the range 2<=x<=5"),
        (("--first-port", "60000"), "--first-port takes at most 55525 with 2 racks"),
        (("--replicas", "0"), "takes a number from 1 to 20; '0' is not that"),
        (("--token-file", "/nowhere"), "'/nowhere' does not exist"),
        (("--host", "nowhere.invalid"), "'nowhere.invalid' is no address or name"),
        (("--json",), "--json goes with ./claw racks status alone"),
        (("--volumes",), "--volumes goes with ./claw racks --docker down alone"),
        (("down", "--volumes"), "--volumes goes with ./claw racks --docker down alone"),
        (("status", "--replicas", "2"), "--replicas goes with ./claw racks up or --docker up alone"),
        (("--docker", "--count", "3"), "--count goes with ./claw racks up alone"),
        (("--docker", "status", "--json"), "--json goes with ./claw racks status alone"),
        (("logs",), "logs goes with --docker; without it type ./claw logs --port 18080"),
        (("fly",), "'fly' is not one of 'up', 'status', 'logs', 'down'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_sentence(typed, tmp_path, words, said):
    """By its name; nothing is begun."""
    told = typed(*words)
    assert told.exit_code == 2
    assert said in told.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["status", "down"])
def test_no_racks_are_told_with_what_starts_them(typed, command):
    """Also where a launcher was killed and left its account."""
    told = typed(command)
    assert (told.exit_code, told.output) == (2, "claw: no racks run here; start them with ./claw racks\n")


def test_a_busy_port_is_refused_by_its_name_before_anything_is_started(typed, tmp_path):
    """Whose it is to be, who has it, and the option that chooses others."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        told = typed("--first-port", str(port - 10))
    assert told.exit_code == 2
    assert f"port {port} (rack-1's scoreboard) is taken by " in told.output
    assert "choose another with --first-port" in told.output
    assert told.output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_racks_that_run_are_not_started_twice(typed, tmp_path):
    """With the pid, and what ends them."""
    account(tmp_path)
    told = typed()
    assert (told.exit_code, told.output) == (
        2, f"claw: 2 racks run already (pid {os.getpid()}); end them with ./claw racks down\n",
    )  # fmt: skip


def test_a_memcached_that_cannot_be_had_is_told_once_for_all(typed, tmp_path, monkeypatch):
    """Not by each rack in a log of its own."""

    def none(_tell):
        raise Refusal("memcached is not installed")

    monkeypatch.setattr(provision, "memcached", none)
    told = typed("--first-port", str(free_low_port()))
    assert (told.exit_code, told.output) == (2, "claw: memcached is not installed\n")
    assert list(tmp_path.iterdir()) == []


def free_low_port() -> int:
    """A port such that the four of two racks are free just now."""
    while True:
        port = free_port() % 40_000 + 2_000
        try:
            for number in (port, port + 10, port + 10_000, port + 10_010):
                socket.create_server(("127.0.0.1", number)).close()
        except OSError:
            continue
        return port


# Status and the end -------------------------------------------------------------------------------------


def test_status_tells_of_a_rack_that_does_not_run(typed, tmp_path):
    """With status 1, each rack's peers, and how often it was started."""
    account(tmp_path, 3)
    told = typed("status", "--json")
    assert told.exit_code == 1
    found = json.loads(told.output)
    assert not found["ok"]
    assert [rack["name"] for rack in found["racks"]] == ["rack-1", "rack-2", "rack-3"]
    assert found["racks"][0]["peers"] == {
        "rack-2": "http://127.0.0.1:28080",
        "rack-3": "http://127.0.0.1:38080",
    }
    assert found["racks"][2]["starts"] == 3
    table = typed("status")
    assert table.exit_code == 1
    assert "rack-2: it does not run just now" in table.output


def test_status_tells_what_each_rack_tells(tmp_path, monkeypatch):
    """All is well when every rack is."""
    run = account(tmp_path)
    for port in (18080, 28080):
        directory = RunDir(tmp_path / str(port))
        directory.prepare("token")
        directory.write(replace(run, port=port, run_id=f"run-{port}"))
    monkeypatch.setattr(racks_status, "gather", lambda _, run: {"ok": True, "port": run.port})
    told = racks_status.gather_all(tmp_path, run)
    assert told["ok"]
    assert [(rack["name"], rack["port"]) for rack in told["racks"]] == [("rack-1", 18080), ("rack-2", 28080)]
    assert told["racks"][1]["peers"] == {"peer": "http://127.0.0.1:18080"}


def test_what_a_killed_launcher_left_is_swept(tmp_path):
    """Its account goes; one that runs is nobody's to sweep."""
    racks = racks_plan.sides(2, racks_plan.FIRST_PORT)
    run = account(tmp_path)
    for port, mark in ((18080, Mark(os.getpid(), 1.0)), (28080, Mark.of(os.getpid()))):
        directory = RunDir(tmp_path / str(port))
        directory.prepare("token")
        directory.write(replace(run, launcher=mark, run_id=f"run-{port}"))
    racks_end.sweep(tmp_path, racks)
    assert RunDir(tmp_path / "18080").read() is None
    assert RunDir(tmp_path / "28080").live()


# On Docker ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ((), ["up"]),
        (("status",), ["status"]),
        (("logs",), ["logs"]),
        (("down", "--volumes"), ["down", "--volumes"]),
    ],
)
def test_with_docker_the_script_does_it(typed, tmp_path, monkeypatch, words, given):
    """Its word is the command's exit status."""
    script = tmp_path / "deploy-racks.sh"
    script.write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/typed\nexit 3\n')
    script.chmod(0o755)
    monkeypatch.setattr(racks_docker, "SCRIPT", script)
    assert typed("--docker", *words).exit_code == 3
    assert (tmp_path / "typed").read_text().split() == given


def test_what_goes_with_docker_is_handed_to_the_script(typed, tmp_path, monkeypatch):
    """As the variables that docker-stack.yml and the script know."""
    script = tmp_path / "deploy-racks.sh"
    said = '"$CLAWBUCKET_REPLICAS $CLAWBUCKET_LOG_FORMAT $CLAWBUCKET_TOKEN_FILE"'
    script.write_text(f"#!/bin/sh\necho {said} >{tmp_path}/typed\n")
    script.chmod(0o755)
    (tmp_path / "token").write_text("the-operators-token\n")
    monkeypatch.setattr(racks_docker, "SCRIPT", script)
    told = typed(
        "--docker", "--replicas", "2", "--log-format", "json", "--token-file", str(tmp_path / "token")
    )
    assert told.exit_code == 0
    assert (tmp_path / "typed").read_text().split() == ["2", "json", str(tmp_path / "token")]
