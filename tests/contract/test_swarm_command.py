"""What ``./claw swarm`` types for a stack and tells of it, with a stand-in for the docker program."""

from __future__ import annotations

import json
import socket
from contextlib import closing

import pytest

from clawbucket.cli import docker_cli, swarm_down
from clawbucket.cli.docker_cli import last_line
from clawbucket.cli.swarm_logs import Entry, understood
from clawbucket.cli.swarm_stack import StackService, StackTask
from tests.contract.swarm_typing import SERVICE, free_ports, stack, task, typing

pytestmark = pytest.mark.slow  # each starts the stand-in some ten times


@pytest.fixture
def swarm(tmp_path, monkeypatch):
    """Type a command; nothing in the environment has a say."""
    return typing(tmp_path, monkeypatch)


@pytest.fixture
def ports():
    """Two options with ports of this machine that are free."""
    return free_ports()


# What up does -------------------------------------------------------------------------------------------


def test_up_makes_what_is_missing_and_deploys_the_image_by_its_content(swarm, ports):
    """Secrets go through standard input alone; the operator's token is shown once."""
    swarm.answers(*stack(task()), {"when": "secret ls", "out": '{"Name":"clawbucket_peer_key"}'})
    told = swarm(
        "up", *ports, "--python-image", "python:3.11", "--build", "--replicas", "2", "--label", "BOT 9"
    )
    assert told.exit_code == 0, told.output
    assert "1 tasks running" in told.output
    build = swarm.typed("build")
    assert len(build) == 1
    assert build[0].startswith("build --tag clawbucket:latest --build-arg PYTHON_IMAGE=python:3.11 ")
    assert swarm.typed("tag") == ["tag clawbucket:latest clawbucket:0123456789ab"]
    made = {call["typed"]: call["given"] for call in swarm.calls if call["typed"].startswith("secret create")}
    assert list(made) == ["secret create clawbucket_rack_token -", "secret create clawbucket_token -"]
    assert all(len(value) > 40 for value in made.values())
    assert made["secret create clawbucket_token -"] in told.output
    assert made["secret create clawbucket_rack_token -"] not in told.output
    assert not any(value in call["typed"] for value in made.values() for call in swarm.calls)


def test_up_takes_a_token_from_a_file(swarm, ports, tmp_path):
    """Which is not shown: whoever gave it has it."""
    (tmp_path / "token").write_text("a-good-token\n")
    swarm.answers(*stack(task()))
    told = swarm("up", *ports, "--token-file", str(tmp_path / "token"))
    assert told.exit_code == 0, told.output
    assert "a-good-token" not in told.output
    given = [call["given"] for call in swarm.calls if call["typed"] == "secret create clawbucket_token -"]
    assert given == ["a-good-token"]


def test_an_image_of_somebody_elses_is_taken_as_it_is(swarm, ports):
    """With the right to pull it, for the nodes."""
    swarm.answers(*stack(task()))
    told = swarm("up", *ports, "--image", "registry.example:5000/claw:1")
    assert told.exit_code == 0, told.output
    assert swarm.typed("tag") == swarm.typed("build") == []
    assert "--with-registry-auth" in swarm.typed("stack deploy")[0]


def test_up_can_do_without_a_registry(swarm, ports):
    """For an engine that was given its images."""
    swarm.answers(*stack(task()))
    assert swarm("up", *ports).exit_code == swarm("up", *ports, "--no-pull").exit_code == 0
    asked, unasked = swarm.typed("stack deploy")
    assert "--resolve-image changed" in asked
    assert "--resolve-image never" in unasked


def test_a_rack_that_is_reached_elsewhere_is_asked_there(swarm, ports):
    """Where its node's own addresses are those of a container, say; up waits for it and names it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    swarm.answers(*stack(task()))
    told = swarm("up", *ports, "--reach-at", url, f"{url}/", "--timeout", "1")
    assert told.exit_code == 1
    assert f"everything runs, but {url}/readyz does not say that it is ready" in told.output
    told = swarm("status", "--json", "--reach-at", url, url)
    assert [port["url"] for port in json.loads(told.output)["ports"]] == [url, url]


def test_a_service_that_changed_in_the_same_moment_is_deployed_again(swarm, ports):
    """Three times at most."""
    swarm.answers(
        {"when": "stack deploy", "err": "rpc error: update out of sequence\n", "code": 1}, *stack(task())
    )
    told = swarm("up", *ports)
    assert told.exit_code == 1
    assert len(swarm.typed("stack deploy")) == 3


def test_up_ends_with_the_task_errors_of_what_does_not_run(swarm, ports):
    """A line for each service, long before the time is over where it fails again and again."""
    failed = [task(n, "rejected", "shutdown", Err="No such image: nosuch:1\n") for n in range(1, 5)]
    swarm.answers(*stack(*failed, task(5, "preparing")))
    told = swarm("up", *ports)
    assert told.exit_code == 1
    assert (
        "clawbucket: 0 of 1 run; clawbucket.1.4abcde on one: rejected, No such image: nosuch:1\n"
        in told.output
    )
    assert "./claw swarm logs" in told.output


def test_up_ends_with_what_is_waited_for_when_its_time_is_over(swarm, ports):
    """A task that finds no node says why in its message."""
    swarm.answers(*stack(task(1, "pending", Err="no suitable node (1 node not available)")))
    told = swarm("up", *ports, "--timeout", "1")
    assert told.exit_code == 1
    assert "clawbucket.1.1abcde on one: pending, no suitable node (1 node not available)" in told.output
    assert "not everything runs after" in told.output


def test_up_says_that_swarm_went_back(swarm, ports):
    """A rollback is no success, though everything runs."""
    service = {**SERVICE, "UpdateStatus": {"State": "rollback_completed", "Message": "rollback completed"}}
    swarm.answers(
        *stack(task(), task(2, "failed", "shutdown", Err="task: non-zero exit (1)"), service=service)
    )
    told = swarm("up", *ports)
    assert told.exit_code == 1
    assert "clawbucket: 1 of 1 run; Swarm went back to the version before; clawbucket.1.2abcde" in told.output


# Status, logs, down -------------------------------------------------------------------------------------


def test_status_tells_what_runs_and_whether_the_ports_answer(swarm, ports):
    """Status 1 where something is missing; the same as JSON."""
    published = {"Ports": [{"TargetPort": 8080, "PublishedPort": int(ports[1])}]}
    service = {**SERVICE, "Spec": {**SERVICE["Spec"], "EndpointSpec": published}}
    swarm.answers(*stack(task(), service=service, after=None))
    told = swarm("status", "--json")
    assert told.exit_code == 1
    status = json.loads(told.output)
    assert status["ports"] == [{"name": "dashboard", "url": f"http://127.0.0.1:{ports[1]}", "ready": False}]
    assert (status["services"][0]["running"], status["tasks"][0]["node"]) == (1, "one")
    assert "not ready" in swarm("status").output


@pytest.mark.parametrize("command", ["status", "logs", "down"])
def test_a_stack_that_is_not_there_is_told(swarm, command):
    """By its name."""
    told = swarm(command, "--name", "other")
    assert told.exit_code == 2
    assert "there is no stack other on this swarm" in told.output


def test_logs_of_something_unknown_are_refused_with_what_there_is(swarm):
    """One sentence."""
    swarm.answers(*stack(task(), after=None))
    told = swarm("logs", "nosuch")
    assert told.exit_code == 2
    assert "no service or task 'nosuch' in the stack clawbucket; there are clawbucket" in told.output


@pytest.mark.parametrize(
    "which", ["clawbucket", "clawbucket.1", "1abc", "clawbucket.1.1abcde", "clawbucket_clawbucket"]
)
def test_logs_are_asked_of_what_is_meant_and_shown_in_order(swarm, which):
    """Each line behind its task's name."""
    lines = [f"2026-01-01T00:00:0{n}Z clawbucket_clawbucket.1.1abcdefg@one    | line {n}\n" for n in (2, 1)]
    swarm.answers(*stack(task(), after=None), {"when": "service logs", "out": "".join(lines)})
    told = swarm("logs", which, "-n", "2")
    assert told.output == "   clawbucket.1.1abcde line 1\n   clawbucket.1.1abcde line 2\n"


def test_what_has_another_form_in_the_logs_is_dockers_own_complaint():
    """It is shown all the same."""
    assert understood("error from daemon in stream") == Entry("", "docker", "error from daemon in stream")
    assert understood("t gw.0.abc@two | x") == Entry("t", "gw.two.abc", "x")


def test_down_takes_away_what_is_the_stacks_and_nothing_else(swarm):
    """Volumes and secrets when asked for; it waits until all is gone."""
    swarm.answers(
        {"when": "service ls", "after": "stack rm", "out": ""},
        {"when": "service ls", "out": "clawbucket_clawbucket\n"},
        {"when": "volume ls", "out": "clawbucket_ollama_data\n"},
        {"when": "secret ls", "out": '{"Name":"clawbucket_token"}\n{"Name":"somebodys"}'},
    )
    told = swarm("down", "--volumes", "--secrets")
    assert told.exit_code == 0, told.output
    assert swarm.typed("stack rm") == ["stack rm clawbucket"]
    assert swarm.typed("volume rm") == ["volume rm clawbucket_ollama_data"]
    assert swarm.typed("secret rm") == ["secret rm clawbucket_token"]
    assert all("label=com.docker.stack.namespace=clawbucket" in call for call in swarm.typed("volume ls"))


def test_down_says_what_is_still_there_when_its_time_is_over(swarm, monkeypatch):
    """With status 1, to be typed again."""
    monkeypatch.setattr(swarm_down, "PATIENCE", 0.5)
    swarm.answers({"when": "network ls", "out": "clawbucket_bus\n"})
    told = swarm("down")
    assert told.exit_code == 1
    assert "still there: network clawbucket_bus; type the same again" in told.output


# Small things -------------------------------------------------------------------------------------------


def test_the_newest_version_alone_counts_as_running():
    """While an update is under way the old tasks run, too."""
    old = StackTask("a", "s", "1", "n", "node", "running", "running", "", "", "1", current=False)
    service = StackService("s", 1, "i", "", "", {}, (old,))
    assert (service.running, service.converged) == (0, False)


def test_the_last_words_of_a_program_are_its_last_line():
    """On one line, without what a terminal would obey."""
    assert last_line("a\n b\x1b[31m \n\n") == "b [31m"
    assert last_line("") == "it said nothing"
    assert len(last_line("x" * 1_000)) == docker_cli._LINE
