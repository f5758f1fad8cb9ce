"""What ``./claw swarm`` refuses, with a stand-in for the docker program."""

from __future__ import annotations

import socket
from contextlib import closing

import click
import pytest

from clawbucket.cli import swarm_command
from clawbucket.cli.docker_cli import Docker
from clawbucket.cli.refusal import Refusal
from tests.contract.swarm_typing import free_ports, info, typing

pytestmark = pytest.mark.slow  # each starts the stand-in some ten times


@pytest.fixture
def swarm(tmp_path, monkeypatch):
    """Type a command; nothing in the environment has a say."""
    return typing(tmp_path, monkeypatch)


@pytest.fixture
def ports():
    """Two options with ports of this machine that are free."""
    return free_ports()


# Help ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(swarm_command.swarm.commands))
def test_every_command_has_help_worth_reading(swarm, name):
    """What it does, each option, and examples to copy."""
    told = swarm(name, "--help")
    assert told.exit_code == 0
    assert f"./claw swarm {name}" in told.output.split("Examples:")[1]
    options = [p for p in swarm_command.swarm.commands[name].params if isinstance(p, click.Option)]
    assert all(option.help for option in options)


# What is refused ----------------------------------------------------------------------------------------

NO_ENGINE = (
    "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
)
NO_PERMISSION = "Got permission denied while trying to connect to the Docker daemon socket"


@pytest.mark.parametrize(
    ("answer", "wrong", "mend"),
    [
        ({"out": {"ServerErrors": [NO_ENGINE]}}, "no Docker engine answers", "sudo systemctl start docker"),
        ({"out": "{}", "err": NO_ENGINE, "code": 1}, "no Docker engine answers", "DOCKER_HOST"),
        ({"out": {"ServerErrors": [NO_PERMISSION]}}, "you may not use", "sudo usermod -aG docker $USER"),
        ({"err": NO_PERMISSION.lower(), "code": 1}, "you may not use", "sudo usermod -aG docker $USER"),
        ({"out": info(LocalNodeState="inactive")}, "in no swarm", "docker swarm init"),
        ({"out": info(LocalNodeState="locked")}, "locked", "docker swarm unlock"),
        ({"out": info(LocalNodeState="error", Error="x509: expired")}, "x509: expired", "docker swarm leave"),
        (
            {"out": info(ControlAvailable=False, RemoteManagers=[{"Addr": "10.0.0.1:2377"}])},
            "is a worker of the swarm", "there is one at 10.0.0.1), or make this one a manager",
        ),
        ({"out": info(ControlAvailable=False)}, "is a worker", "typing there: docker node promote node1"),
        ({"out": info(Error="rpc error: no leader")}, "no leader", "docker node ls"),
    ],
)  # fmt: skip
def test_an_engine_that_will_not_do_is_told_with_what_mends_it(swarm, answer, wrong, mend):
    """One sentence, before anything is begun; in both forms in which docker says it."""
    swarm.answers({"when": "info", **answer})
    told = swarm("up")
    assert told.exit_code == 2
    assert wrong in told.output
    assert mend in told.output
    assert told.output.startswith("claw: ")
    assert told.output.count("\n") == 1
    assert [call["typed"].split()[0] for call in swarm.calls] == ["context", "info"]


@pytest.mark.parametrize("command", ["status", "logs", "down"])
def test_every_command_looks_at_the_engine_first(swarm, command):
    """And refuses in the same words."""
    swarm.answers({"when": "info", "out": info(LocalNodeState="inactive")})
    told = swarm(command)
    assert (told.exit_code, len(swarm.calls)) == (2, 2)
    assert "docker swarm init" in told.output


def test_a_machine_without_docker_is_told_how_to_get_it(swarm, monkeypatch):
    """With status 2."""
    monkeypatch.setenv("PATH", "/nowhere")
    told = swarm("status")
    assert told.exit_code == 2
    assert "docker is not on PATH" in told.output
    assert "apt install docker.io" in told.output


def test_an_engine_that_hangs_is_not_waited_for_without_end(swarm):
    """Each call has a deadline."""
    swarm.answers({"when": "secret ls", "hang": True})
    docker = Docker({"PATH": str(swarm.directory)})
    with pytest.raises(Refusal, match=r"docker secret ls did not answer within 0 s; type docker info"):
        docker.attempt("secret", "ls", within=0.2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--port", "99999"), "takes a port, 1 to 65535; '99999' is not that"),
        (("--replicas", "0"), "takes a number from 1 to 20; '0' is not that"),
        (("--name", "no name"), "takes a service name"),
        (
            ("--port", "9000", "--aggregator-port", "9000"),
            "--port and --aggregator-port cannot be the same port",
        ),
        (("--build-arg", "nonsense"), "--build-arg takes NAME=VALUE; 'nonsense' is not that"),
        (("--timeout", "0"), "is not in the range"),
    ],
)
def test_up_refuses_bad_options(swarm, words, said):
    """In the words of what they stand for; nothing is deployed or made."""
    told = swarm("up", *words)
    assert told.exit_code == 2
    assert said in told.output
    assert swarm.typed("stack deploy") == swarm.typed("secret create") == []


def test_a_port_of_another_program_is_told_with_the_option(swarm, ports):
    """With who has it, as far as can be known."""
    with closing(socket.create_server(("0.0.0.0", int(ports[1])))):
        told = swarm("up", *ports)
    assert told.exit_code == 2
    assert f"port {ports[1]} (dashboard) is taken by " in told.output
    assert "choose another with --port" in told.output


def test_a_port_of_another_container_is_told_with_its_name(swarm, ports):
    """Also where docker publishes without a program of its own."""
    swarm.answers({"when": f"ps --filter publish={ports[3]}", "out": '{"Names":"somebody","Labels":""}'})
    told = swarm("up", *ports)
    assert told.exit_code == 2
    assert (
        f"port {ports[3]} (aggregator) is taken on this node by the container somebody; choose" in told.output
    )


def test_the_port_of_an_ollama_that_runs_here_already_is_told(swarm, ports, monkeypatch):
    """With both ways out."""
    with closing(socket.create_server(("0.0.0.0", 0))) as taken:
        monkeypatch.setenv("OLLAMA_PORT", str(taken.getsockname()[1]))
        told = swarm("up", *ports, "--ollama")
    assert told.exit_code == 2
    assert "choose another with OLLAMA_PORT" in told.output
    assert "--no-ollama" in told.output


def test_missing_secrets_are_told_where_none_are_to_be_made(swarm, ports):
    """With what makes one."""
    swarm.answers({"when": "secret ls", "out": '{"Name":"clawbucket_peer_key"}'})
    told = swarm("up", *ports, "--no-secrets")
    assert told.exit_code == 2
    assert "there is no secret clawbucket_rack_token or clawbucket_token;" in told.output
    assert "docker secret create clawbucket_rack_token -" in told.output


def test_a_token_is_not_given_twice(swarm, ports, tmp_path):
    """A secret cannot be changed, and a token that is not taken must not seem so."""
    (tmp_path / "token").write_text("a-good-token\n")
    swarm.answers({"when": "secret ls", "out": '{"Name":"clawbucket_token"}'})
    told = swarm("up", *ports, "--token-file", str(tmp_path / "token"))
    assert told.exit_code == 2
    assert "./claw swarm down --secrets" in told.output


def test_a_build_that_fails_is_told_with_its_last_line(swarm, ports):
    """No secret is made then, and nothing deployed."""
    swarm.answers(
        {"when": "image inspect", "code": 1},
        {"when": "build", "out": "Step 1\n", "err": "pull access denied for python:3.12\n\n", "code": 1},
    )
    told = swarm("up", *ports)
    assert told.exit_code == 1
    assert "could not be built: pull access denied for python:3.12; " in told.output
    assert "--python-image NAME" in told.output
    assert swarm.typed("secret create") == swarm.typed("stack deploy") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--no-build",), "there is no image clawbucket:latest here; leave --no-build out"),
        (
            ("--image", "a/b:1"),
            "no image a/b:1 here and it cannot be pulled: no such host; build it under that name",
        ),
    ],
)
def test_an_image_that_cannot_be_had_is_told(swarm, ports, words, said):
    """Somebody's image is not built in its place unless asked for."""
    swarm.answers({"when": "image inspect", "code": 1}, {"when": "pull", "err": "no such host\n", "code": 1})
    told = swarm("up", *ports, *words)
    assert told.exit_code in {1, 2}
    assert said in told.output
    assert swarm.typed("build") == []


def test_a_stack_file_that_docker_refuses_is_told_with_its_words(swarm, ports):
    """And the token is not lost with it."""
    swarm.answers({"when": "stack deploy", "err": "services.gateway.ports must be a list\n", "code": 1})
    told = swarm("up", *ports)
    assert told.exit_code == 1
    assert "docker stack deploy failed: services.gateway.ports must be a list; mend " in told.output
    assert "git checkout docker-stack.yml" in told.output
    assert "changes ask for this token" in told.output
