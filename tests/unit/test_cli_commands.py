from __future__ import annotations

import json
import os
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from clawbucket.cli import plan
from clawbucket.cli.main import COMMANDS, claw
from clawbucket.cli.plan import Published, Rack
from clawbucket.cli.readiness import Readiness, tasks_in
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Mark, Run, RunDir
from clawbucket.cli.scale import parse, reached
from clawbucket.core.model import Snapshot, Task, TaskState
from clawbucket.settings import Settings

SERVICES = ("clawbucket_clawbucket", "clawbucket_clawbucket-b")


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type a command; run directories are in tmp_path."""
    monkeypatch.setenv("CLAWBUCKET_HOME", str(tmp_path))
    monkeypatch.delenv("MEMCACHED_HOST", raising=False)
    return lambda *words: CliRunner().invoke(claw, words)


# Help ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_worth_reading(typed, name):
    """What it does, each option, and examples to copy."""
    told = typed(name, "--help")
    assert told.exit_code == 0
    assert f"./claw {name}" in told.output.split("Examples:")[1]
    command = claw.get_command(click.Context(claw), name)
    assert command.short_help
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert all(option.help for option in options)


def test_the_group_lists_every_command(typed):
    """In the order in which a person meets them."""
    output = typed("--help").output
    places = [output.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


def test_an_unknown_command_is_told(typed):
    """With status 2."""
    told = typed("fly")
    assert told.exit_code == 2
    assert "No such command 'fly'" in told.output


# What up refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "99999"), "takes a port, 1 to 65535; '99999' is not that"),
        (("--replicas", "0"), "takes a number from 1 to 20; '0' is not that"),
        (("--nodes", "six"), "takes a number from 1 to 5; 'six' is not that"),
        (("--label", "x" * 41), "takes text, at most 40"),
        (("--services", "a,a"), "takes service names with commas between, none twice"),
        (("--log-format", "xml"), "'xml' is not one of 'console', 'json'"),
        (("--token-file", "/nowhere"), "'/nowhere' does not exist"),
        (("--peer", "127.0.0.1:28080"), "takes an http(s) URL"),
        (("--peer-key-file", "/nowhere"), "'/nowhere' does not exist"),
    ],
)
def test_up_refuses_an_option_by_its_name_and_says_what_it_takes(typed, words, said):
    """In the words of the setting that it stands for; nothing is begun."""
    told = typed("up", *words)
    assert told.exit_code == 2
    assert words[0] in told.output
    assert said in told.output


@pytest.mark.parametrize("words", [(), ("--engine", "local")])
def test_up_takes_thousands_on_the_sim_engine_alone(typed, words):
    """Elsewhere twenty of a service are the most, and the refusal says so."""
    told = typed("up", "--replicas", "21", *words)
    assert told.exit_code == 2
    assert "CLAWBUCKET_REPLICAS takes a number from 1 to 20; '21' is not that" in told.output


def test_up_refuses_a_bad_variable(typed, monkeypatch):
    """As every program does, but before any is started."""
    monkeypatch.setenv("CLAWBUCKET_REPLICAS", "many")
    told = typed("up")
    assert (told.exit_code, told.output) == (
        2, "claw: CLAWBUCKET_REPLICAS takes a number from 1 to 20; 'many' is not that\n",
    )  # fmt: skip


def test_up_refuses_a_token_file_without_a_token(typed, tmp_path):
    """The file is read before anything starts."""
    (tmp_path / "token").write_text("short\n")
    told = typed("up", "--token-file", str(tmp_path / "token"))
    assert told.exit_code == 2
    assert "CLAWBUCKET_TOKEN_FILE" in told.output


def test_a_second_up_on_one_port_is_refused(typed, tmp_path):
    """With the pid of the first, and both ways out."""
    directory = RunDir(tmp_path / "8080")
    directory.prepare("t")
    directory.write(Run(Mark.of(os.getpid()), "r", "BOT 1", "now", 8080, {}, "http://x", "", SERVICES))
    told = typed("up")
    assert told.exit_code == 2
    assert told.output == (
        f"claw: a rack runs on port 8080 already (pid {os.getpid()}); "
        "end it with ./claw down --port 8080, or choose another port with --port\n"
    )


@pytest.mark.parametrize("words", [("status",), ("scale", "a=2"), ("logs",), ("down",)])
def test_commands_say_that_no_rack_runs(typed, words):
    """One sentence, status 2."""
    told = typed(*words)
    assert (told.exit_code, told.output) == (2, "claw: no rack runs here; start one with ./claw up\n")


# What the programs are given ----------------------------------------------------------------------------


def rack_in(tmp_path, **changes):
    """A rack as the options left it."""
    rack = Rack(
        settings=replace(Settings.from_env({}), swarm_services=SERVICES, label="BOT 7"),
        directory=RunDir(tmp_path / "8080"), run_id="run", gateway=Published(8080, 5, "http://127.0.0.1:8080"),
        aggregator=Published(8090, 6, "http://127.0.0.1:8090"), rack_port=4001, memcached="/bin/memcached",
        memcached_host="127.0.0.1", memcached_port=4002, lifeline=7,
    )  # fmt: skip
    return replace(rack, **changes)


def test_every_program_can_read_its_settings(tmp_path):
    """What the launcher gives, the programs take; each knows where to listen and whom to ask."""
    rack = rack_in(tmp_path)
    rack.directory.prepare("a-rack-token")
    programs = {program.name: program for program in plan.programs(rack, {})}
    assert list(programs) == ["memcached", "rack", "gateway", "aggregator"]
    binds = {"rack": "127.0.0.1:4001", "gateway": "fd://5", "aggregator": "fd://6"}
    for name, bind in binds.items():
        settings = Settings.from_env(programs[name].environment)
        assert settings.bind == bind
        assert settings.rack_token == "a-rack-token"
        assert settings.rack_url == "http://127.0.0.1:4001"
        assert (settings.memcached_host, settings.memcached_port) == ("127.0.0.1", 4002)
        assert settings.swarm_services == SERVICES
        assert (settings.label, settings.run_id, settings.lifeline_fd) == ("BOT 7", "run", 7)
        assert 7 in programs[name].fds
    assert 5 in programs["gateway"].fds
    assert 6 in programs["aggregator"].fds
    assert [program.name for program in programs.values() if program.last] == ["memcached"]


def test_a_memcached_of_the_persons_own_is_not_supervised(tmp_path):
    """It is theirs."""
    programs = plan.programs(rack_in(tmp_path, memcached=None), {})
    assert [program.name for program in programs] == ["rack", "gateway", "aggregator"]


def test_what_a_replica_finds_in_its_environment_does_not_reach_another_rack(tmp_path, monkeypatch):
    """A launcher may be started from inside a replica, and a token of the person's is not the rack's."""
    monkeypatch.setenv("TASK_ID", "abc")
    monkeypatch.setenv("CLAWBUCKET_RACK_TOKEN", "somebody-elses")
    rack = rack_in(tmp_path)
    rack.directory.prepare("a-rack-token")
    settings = Settings.from_env(plan.programs(rack, {})[1].environment)
    assert settings.task_id == ""
    assert settings.rack_token == "a-rack-token"


def test_a_token_file_wins_over_a_token_in_the_environment(tmp_path, monkeypatch):
    """An option comes before the environment."""
    monkeypatch.setenv("CLAWBUCKET_TOKEN", "from-the-environment")
    (tmp_path / "token").write_text("from-the-file\n")
    rack = rack_in(tmp_path)
    rack.directory.prepare("a-rack-token")
    programs = plan.programs(rack, {"token_file": tmp_path / "token"})
    assert Settings.from_env(programs[1].environment).token == "from-the-file"


def test_each_rack_keeps_its_own_snapshots(tmp_path, monkeypatch):
    """In its run directory, unless the person says where."""
    rack = rack_in(tmp_path)
    rack.directory.prepare("a-rack-token")
    environment = plan.programs(rack, {})[1].environment
    assert Settings.from_env(environment).revolt_snapshot_dir == tmp_path / "8080" / "revolt"
    monkeypatch.setenv("REVOLT_SNAPSHOT_DIR", str(tmp_path / "mine"))
    mine = rack_in(tmp_path, settings=Settings.from_env())
    environment = plan.programs(mine, {})[1].environment
    assert Settings.from_env(environment).revolt_snapshot_dir == tmp_path / "mine"


def test_the_peer_of_an_option_reaches_every_program(tmp_path, monkeypatch):
    """With the key that both share; what the environment says of either gives way."""
    monkeypatch.setenv("CLAWBUCKET_PEER_KEY", "from-the-environment")
    (tmp_path / "key").write_text("from-the-file\n")
    rack = rack_in(tmp_path)
    rack.directory.prepare("a-rack-token")
    programs = plan.programs(rack, {"peer_url": "http://x:28080", "peer_key_file": tmp_path / "key"})
    settings = Settings.from_env(programs[1].environment)
    assert [peer.url for peer in settings.all_peers] == ["http://x:28080"]
    assert settings.peer_key == "from-the-file"


# Readiness ----------------------------------------------------------------------------------------------


def task(slot, state=TaskState.RUNNING, desired=TaskState.RUNNING, service=SERVICES[0]):
    """A task in that slot."""
    return Task(f"{slot:025d}", service, slot, "n", state, desired, f"{service}.{slot}.{slot:025d}")


def snapshot_of(*tasks):
    """A snapshot as the API sends it, with a field that only a later version knows."""
    fields = [{**{n: getattr(t, n) for n in Task.__slots__}, "unknown": 1} for t in tasks]
    return json.dumps({"tasks": fields}).encode()


def readiness(answers):
    """Readiness of two replicas, told by ``answers`` (URL to answer or error)."""

    def ask(url, _timeout, _token):
        answer = answers[url.split("?")[0]]
        if isinstance(answer, OSError):
            raise answer
        return answer

    ports = {"gateway": "http://g", "aggregator": "http://a"}
    return Readiness("http://r", "token", {SERVICES[0]: 2}, ports, ask)


SNAPSHOT = "http://r/v1/snapshot"
BOTH = {
    SNAPSHOT: (200, snapshot_of(task(1), task(2))),
    "http://g/readyz": (200, b""),
    "http://a/readyz": (200, b""),
}


@pytest.mark.parametrize(
    ("answers", "running", "waits_for"),
    [
        ({SNAPSHOT: ConnectionRefusedError()}, 0, "the rack manager"),
        ({SNAPSHOT: (503, b"")}, 0, "the rack manager (it answers 503)"),
        ({SNAPSHOT: (200, b"nonsense")}, 0, "2 of 2 troopers"),
        ({SNAPSHOT: (200, snapshot_of(task(1), task(2, TaskState.STARTING)))}, 1, "1 of 2 troopers"),
        ({SNAPSHOT: (200, snapshot_of(task(1), task(2, desired=TaskState.SHUTDOWN)))}, 1, "1 of 2 troopers"),
        ({**BOTH, "http://g/readyz": (503, b"")}, 2, "the gateway"),
        ({**BOTH, "http://a/readyz": OSError()}, 2, "the aggregator"),
        (BOTH, 2, ""),
    ],
)  # fmt: skip
def test_readiness_tells_what_is_still_waited_for(answers, running, waits_for):
    """Replicas that run and are meant to, then the published ports."""
    progress = readiness(answers).look()
    assert (progress.running, progress.wanted, progress.waits_for) == (running, 2, waits_for)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"tasks": 5}', b'{"tasks": [{"state": "odd"}]}'])
def test_a_snapshot_that_cannot_be_understood_has_no_tasks(body):
    """The next look may tell more."""
    assert tasks_in(body) == []


# Scale --------------------------------------------------------------------------------------------------


def test_scale_takes_full_names_and_aliases():
    """Several at once."""
    assert parse(("clawbucket-b=5", "clawbucket_clawbucket=2"), SERVICES) == {SERVICES[1]: 5, SERVICES[0]: 2}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("clawbucket-b",), "scale takes SERVICE=COUNT, such as clawbucket=5; 'clawbucket-b' is not that"),
        (("clawbucket-c=5",), "no service 'clawbucket-c' runs here; there are clawbucket, clawbucket-b"),
        (("clawbucket=21",), "clawbucket takes a number from 1 to 20 replicas; '21' is not that"),
        (("clawbucket=",), "'' is not that"),
        (("clawbucket=1", "clawbucket_clawbucket=2"), "clawbucket_clawbucket is given twice"),
    ],
)
def test_scale_refuses_what_it_cannot_do(arguments, said):
    """What was given, and what is allowed."""
    with pytest.raises(Refusal) as refused:
        parse(arguments, SERVICES)
    assert said in str(refused.value)


def test_scale_takes_thousands_where_they_are_packed():
    """Only then is the rack asked what it is; what no engine takes is refused all the same."""
    assert parse(("clawbucket=500",), SERVICES, packs=lambda: True) == {SERVICES[0]: 500}
    with pytest.raises(Refusal, match="'10001' is not that"):
        parse(("clawbucket=10001",), SERVICES, packs=lambda: True)
    assert parse(("clawbucket=20",), SERVICES, packs=lambda: pytest.fail("asked")) == {SERVICES[0]: 20}


def test_scale_is_done_when_exactly_so_many_run():
    """Neither while one starts nor while one still ends."""

    def shown(*tasks):
        return Snapshot("r", 1, "now", "local", tasks=tasks)

    assert reached(shown(task(1), task(2), task(1, service=SERVICES[1])), {SERVICES[0]: 2})
    assert not reached(shown(task(1)), {SERVICES[0]: 2})
    assert not reached(shown(task(1), task(2, TaskState.STARTING)), {SERVICES[0]: 2})
    assert not reached(shown(task(1), task(2), task(3, desired=TaskState.SHUTDOWN)), {SERVICES[0]: 2})
