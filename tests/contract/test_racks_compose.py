"""Two racks on Docker: what the compose files say, and what deploy-racks.sh types and refuses."""

from __future__ import annotations

import json
import re
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.racks_typing import FILE, IMAGE, OVERRIDE, Typing, sentence

PORTS = {
    "rack-1": {18080: 8080, 18090: 8090, 18134: 11434, 12375: 2375},
    "rack-2": {28080: 8080, 28090: 8090, 28134: 11434, 22375: 2375},
}
"""CONTRACT, section 5."""
pytestmark = pytest.mark.slow  # each types some fifty stand-ins


def filled(path: Path, **variables: str) -> dict[str, Any]:
    """The file with its variables' defaults, or these values, in their places."""

    def value(found: re.Match[str]) -> str:
        name, _, default = found[1].partition(":-")
        return variables.get(name) or default

    text = re.sub(r"(?<!\$)\$\{([^}]*)\}", value, path.read_text(encoding="utf-8"))
    return dict(yaml.safe_load(text))


# The files ----------------------------------------------------------------------------------------------


def test_the_ports_are_the_contracts():
    """The engines' own are on loopback alone."""
    for name, told in filled(FILE)["services"].items():
        pairs = [str(port).rsplit(":", 2) for port in told["ports"]]
        assert {int(pair[-2]): int(pair[-1]) for pair in pairs} == PORTS[name]
        assert [pair[0] for pair in pairs if pair[-1] == "2375"] == ["127.0.0.1"]


def test_the_containers_are_the_contracts():
    """And each node is called like its container."""
    services = filled(FILE)["services"]
    assert [told["container_name"] for told in services.values()] == ["rack-1-dind", "rack-2-dind"]
    assert [told["hostname"] for told in services.values()] == ["rack-1-dind", "rack-2-dind"]
    assert {told["image"] for told in services.values()} == {"docker:27-dind"}
    assert {told["privileged"] for told in services.values()} == {True}


def test_a_prefix_goes_before_every_name():
    """So that tests, or a second pair, meet nobody."""
    told = filled(FILE, RACKS_PREFIX="mine-")
    names = [*(each["container_name"] for each in told["services"].values())]
    names += [each["name"] for part in ("networks", "volumes") for each in told[part].values()]
    assert all(name.startswith("mine-") for name in names), names


def test_every_variable_has_a_default():
    """Compose alone can read the file, too."""
    for path in (FILE, OVERRIDE):
        found = re.findall(r"(?<!\$)\$\{([^}]*)\}", path.read_text(encoding="utf-8"))
        assert [name for name in found if ":-" not in name] == []


def test_an_engine_is_open_to_its_own_machine_alone():
    """Neither the other rack nor a trooper gets to the port that has no TLS."""
    for told in filled(FILE)["services"].values():
        (script,) = told["command"]
        assert told["entrypoint"] == ["sh", "-c"]
        assert re.search(r'-I INPUT ! -i lo -p tcp --dport 2375 ! -s "[^"]*gateway[^"]*" -j DROP', script)
        assert script.index("shut iptables") < script.index("dockerd --host")


def test_their_networks_do_not_collide():
    """Each engine has a range of its own."""
    told = filled(FILE)
    pools = [each["environment"]["RACK_POOL"] for each in told["services"].values()]
    (subnet,) = told["networks"]["racks"]["ipam"]["config"]
    assert len({*pools, subnet["subnet"].removesuffix(".0.0/24")}) == 3
    addresses = [each["networks"]["racks"]["ipv4_address"] for each in told["services"].values()]
    assert addresses == ["10.200.0.11", "10.200.0.12"]


def test_the_override_takes_privileges_away_from_both():
    """And gives what an engine needs where a privileged container is refused."""
    services = filled(OVERRIDE)["services"]
    assert set(services) == set(PORTS)
    for told in services.values():
        assert told["privileged"] is False
        assert told["cap_drop"] == ["SYS_RESOURCE"]
        assert told["device_cgroup_rules"] == ["a *:* rwm"]


# The script ---------------------------------------------------------------------------------------------


@pytest.fixture
def racks(tmp_path):
    """Type ``./deploy-racks.sh``; docker has its compose, and every image is here."""
    return Typing(tmp_path)


def test_what_it_does_not_know_is_refused(racks):
    """With what it takes."""
    assert "takes up, status, logs or down; 'fly' is none" in sentence(racks("fly"), 2)
    assert "down takes --volumes or nothing; '--all' is neither" in sentence(racks("down", "--all"), 2)
    assert "'more' is too much" in sentence(racks("up", "more"), 2)
    assert "there are rack-1 and rack-2; 'rack-3' is neither" in sentence(racks("logs", "rack-3"), 2)
    assert racks.typed("compose --project") == []
    assert racks("--help").stdout.startswith("Two racks on Docker")


@pytest.mark.parametrize("command", ["up", "status", "logs", "down"])
def test_a_machine_without_docker_is_told_how_to_get_it(racks, command):
    """Whatever is typed."""
    (racks.directory / "bin" / "docker").unlink()
    assert "docker is not on PATH; install it (Debian" in sentence(racks(command), 2)


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is it running?",
            "no Docker engine answers (Cannot connect to the Docker daemon",
        ),
        (
            "Got permission denied while trying to connect to the Docker daemon socket",
            "you may not use the Docker engine; type sudo usermod -aG docker $USER",
        ),
        ("permission denied while trying to connect to the docker API", "you may not use the Docker engine"),
    ],
)
def test_an_engine_that_will_not_do_is_told_with_what_mends_it(racks, said, wrong):
    """In both forms in which docker says it."""
    racks.answers({"when": "version", "err": said + "\n", "code": 1})
    assert wrong in sentence(racks(), 2)


def test_a_machine_without_compose_is_told_how_to_get_it(racks):
    """Neither docker's own nor the program."""
    racks.answers({"when": "compose version", "code": 1})
    assert "there is no compose; install it" in sentence(racks(), 2)


def test_a_taken_port_is_told_before_anything_is_begun(racks):
    """Whose it is to be, who has it, and the variable that chooses another."""
    with closing(socket.create_server(("0.0.0.0", 0))) as taken:
        port = str(taken.getsockname()[1])
        said = sentence(racks(RACK_2_OLLAMA_PORT=port), 2)
        assert f"port {port} (rack 2's Ollama) is taken by another program; choose" in said
        assert "another with RACK_2_OLLAMA_PORT" in said
        racks.answers({"when": f"ps --filter publish={port}", "out": "somebody\n"})
        assert "is taken by the container somebody;" in sentence(racks(RACK_1_PORT=port), 2)
    assert racks.typed("compose --project") == racks.typed("build") == []


@pytest.mark.parametrize(
    ("variable", "value", "takes"),
    [
        ("RACKS_PREFIX", "No", "takes letters a-z, digits and '-'"),
        ("RACKS_PRIVILEGED", "maybe", "takes auto, true or false"),
        ("OLLAMA_REPLICAS", "2", "takes 0 or 1 here"),
        ("RACK_1_PORT", "http", "takes a port, 1 to 65535"),
        ("RACK_1_POOL", "10", "takes the first two numbers of an address"),
        ("RACK_1_POOL", "10.1.2", "takes the first two numbers of an address"),
        ("RACKS_POOL", "10.1000", "takes the first two numbers of an address"),
        ("RACK_1_POOL", "10.202", "RACK_1_POOL and RACK_2_POOL must differ; two are 10.202"),
        ("RACKS_POOL", "10.201", "RACK_1_POOL and RACK_2_POOL must differ; two are 10.201"),
        ("CLAWBUCKET_TOKEN", "short", "must hold 8 to 512 characters"),
        ("CLAWBUCKET_TOKEN_FILE", "/nowhere", "CLAWBUCKET_TOKEN_FILE takes a readable file"),
    ],
)
def test_a_bad_variable_is_refused_by_name(racks, variable, value, takes):
    """Before anything is begun."""
    said = sentence(racks(**{variable: value}), 2)
    assert variable in said
    assert takes in said
    assert racks.typed("compose --project") == []


@pytest.mark.parametrize(
    ("image", "variable"),
    [
        ("docker:27-dind", "DIND_IMAGE"),
        ("memcached:1.6", "MEMCACHED_IMAGE"),
        ("ollama/ollama:latest", "OLLAMA_IMAGE"),
    ],
)
def test_an_image_that_cannot_be_had_is_told(racks, image, variable):
    """With the variable in which another is named; no engine is started then."""
    racks.answers(
        {"when": f"image inspect --format {{{{.Id}}}} {image}", "code": 1},
        {"when": f"pull --quiet {image}", "err": "Error response from daemon: no such host\n", "code": 1},
    )
    said = sentence(racks(), 1)
    assert f"there is no image {image} here and it cannot be pulled (Error response from daemon: no" in said
    assert f"name one that is here in {variable}" in said
    assert racks.typed("compose --project") == []


def test_a_build_that_fails_is_told_with_its_last_error(racks):
    """And with the way out where no image can be pulled."""
    racks.answers({"when": "build", "out": "Step 1\n", "err": "pull access denied for python\n", "code": 1})
    said = sentence(racks(), 1)
    assert "the image could not be built (pull access denied for python); " in said
    assert "set PYTHON_IMAGE" in said


def test_what_compose_refuses_is_told_in_its_words(racks):
    """Its last error, not its last line."""
    wrong = "ERROR: for rack-1  Cannot start service rack-1: no space\nEncountered errors\n"
    racks.answers({"when": "compose --project-name", "err": wrong, "code": 1})
    assert "docker compose failed: ERROR: for rack-1  Cannot start service rack-1: no" in sentence(racks(), 1)


def test_both_racks_are_deployed_alike(racks):
    """One image, one key and one token for both; each has the other as its peer."""
    done = racks(PYTHON_IMAGE="python:here", PICOCLAW_IMAGE="", CLAWBUCKET_PEERS="x=http://elsewhere")
    assert done.returncode == 0, done.stderr
    assert len(racks.typed("build --tag")) == 1
    assert "--build-arg PYTHON_IMAGE=python:here --build-arg PICOCLAW_IMAGE=" in racks.typed("build --tag")[0]
    port = racks.variables["RACK_1_PORT"]
    told = racks.told()
    assert [engine for _, engine, _ in told] == [f"tcp://127.0.0.1:{port}"] * 2
    assert [peer for _, _, peer in told] == ["http://10.200.0.12:8080", "http://10.200.0.11:8080"]
    for number, (words, _, _) in enumerate(told, 1):
        assert words.startswith("swarm up --image clawbucket:0123456789ab --no-build --no-pull --ollama")
        assert f"--label Machine Rack {number} --port 8080 --aggregator-port 8090" in words
        assert f"--reach-at http://127.0.0.1:{port} http://127.0.0.1:{port}" in words
    for kind in ("token", "peer_key"):
        made = [call for call in racks.calls if f"clawbucket_{kind} -" in call["typed"]]
        assert [call["typed"].split()[2] for call in made] == ["rack-1-dind", "rack-2-dind"]
        assert len({call["given"] for call in made}) == 1
        assert len(made[0]["given"]) == 64
        assert made[0]["given"] not in json.dumps(racks.typed("")) + done.stdout + done.stderr
    pools = [re.findall(r"--default-addr-pool (\S+)", call)[0] for call in racks.typed("swarm init")]
    assert pools == ["10.201.128.0/17", "10.202.128.0/17"]


def test_the_token_is_kept_where_its_owner_alone_can_read_it(racks):
    """It is told where; typed again, it is the same one."""
    done = racks()
    path = racks.directory / ".claw" / "racks-docker" / "token"
    assert str(path) in done.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    before = path.read_text()
    racks()
    assert path.read_text() == before
    assert racks("down", "--volumes").returncode == 0
    assert not path.exists()


def test_a_network_of_this_machines_own_is_told(racks):
    """Before anything is begun; ours that is there already is not one."""
    ip = racks.directory / "bin" / "ip"
    ip.write_text("#!/bin/sh\necho 10.200.0.0/24 dev br-1234\n")
    ip.chmod(0o755)
    said = sentence(racks(), 2)
    assert "this machine has a network in 10.200.0.0/16 already; choose another with RACKS_POOL" in said
    racks.answers({"when": "network inspect", "out": "[]"})
    assert racks().returncode == 0


def test_an_image_that_a_rack_has_is_not_loaded_again(racks):
    """Nor is a swarm made twice, or a secret."""
    token = "the-operators-token"
    racks.answers(
        *({"when": f"exec -i rack-{n}-dind docker image inspect", "out": IMAGE} for n in (1, 2)),
        *({"when": f"exec -i rack-{n}-dind docker info", "out": "active"} for n in (1, 2)),
    )
    racks(CLAWBUCKET_TOKEN=token, CLAWBUCKET_PEER_KEY=token)
    assert racks.typed("save ") == racks.typed("docker load") == racks.typed("swarm init") == []
    sums = {call.split("clawbucket.sum=")[1].split()[0] for call in racks.typed("secret create")}
    assert len(sums) == 1
    racks.answers(
        *({"when": f"exec -i rack-{n}-dind docker secret inspect", "out": sums.copy().pop()} for n in (1, 2)),
    )
    before = len(racks.typed("secret create"))
    assert racks(CLAWBUCKET_TOKEN=token, CLAWBUCKET_PEER_KEY=token).returncode == 0
    assert len(racks.typed("secret create")) == before


def test_a_rack_with_another_key_is_told(racks):
    """Racks that do not share one would refuse each other's troopers."""
    racks.answers({"when": "exec -i rack-2-dind docker secret inspect", "out": "1-1"})
    said = sentence(racks(), 1)
    assert "rack-2-dind has another operator token than it is to have" in said
    assert "down --volumes" in said


@pytest.mark.parametrize(("refused", "said"), [(1, "privileged containers are refused here"), (0, "")])
def test_privileges_are_tried_out(racks, refused, said):
    """The override is laid over where they are refused, and only there."""
    racks.answers({"when": "run --rm --privileged", "code": refused})
    done = racks(RACKS_PRIVILEGED="auto")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    (up,) = racks.typed("up --detach")
    assert (OVERRIDE.name in up) == bool(refused)


def test_privileges_can_be_chosen(racks):
    """Then nothing is tried out."""
    assert racks(RACKS_PRIVILEGED="false").returncode == 0
    assert racks.typed("run --rm --privileged") == []
    assert OVERRIDE.name in racks.typed("up --detach")[0]


def test_docker_compose_does_as_well(racks):
    """The program of old, where docker has no compose of its own."""
    racks.answers(
        {"when": "compose version", "code": 1},
        {"when": "container inspect", "after": "--project-name", "out": "true"},
    )
    racks.program("docker-compose")
    done = racks()
    assert done.returncode == 0, done.stderr
    assert racks.typed("up --detach")[0].startswith("--project-name clawbucket-racks --file ")


def test_a_rack_without_ollama_needs_no_image_of_it(racks):
    """OLLAMA_REPLICAS=0, as for the stack."""
    assert racks(OLLAMA_REPLICAS="0").returncode == 0
    assert racks.typed("ollama/ollama") == []
    assert "--no-ollama" in racks.told()[0][0]


def test_status_is_both_racks(racks):
    """With status 1 when one has something missing, and 2 where there are none."""
    assert "no racks run here; start them with ./deploy-racks.sh" in racks("status").stderr
    assert racks("status").returncode == 2
    racks.answers({"when": "container inspect", "out": "true"})
    assert racks("status").returncode == 0
    assert [words.split()[:2] for words, _, _ in racks.told()] == [["swarm", "status"]] * 2
    racks.claw(1)
    assert racks("status").returncode == 1
    racks.claw(0)
    racks.answers(
        {"when": "container inspect --format {{.State.Running}} rack-2-dind", "out": "false"},
        {"when": "container inspect", "out": "true"},
    )
    done = racks("status")
    assert (done.returncode, "rack-2-dind does not run; ./deploy-racks.sh starts it" in done.stdout) == (
        1,
        True,
    )


def test_logs_are_one_racks_or_boths(racks):
    """And take what ./claw swarm logs takes."""
    racks.answers({"when": "container inspect", "out": "true"})
    assert racks("logs").returncode == 0
    assert racks("logs", "rack-2", "-n", "5", "gateway").returncode == 0
    assert [(words, peer) for words, _, peer in racks.told()] == [
        ("swarm logs", "http://10.200.0.12:8080"),
        ("swarm logs", "http://10.200.0.11:8080"),
        ("swarm logs -n 5 gateway", "http://10.200.0.11:8080"),
    ]


def test_down_is_composes(racks):
    """Volumes go only where it is said."""
    assert racks("down").returncode == 0
    assert racks("down", "--volumes").returncode == 0
    plain, all_of_it = racks.typed(" down ")
    assert "--volumes" not in plain
    assert all_of_it.endswith("down --remove-orphans --volumes")


def test_a_stack_that_does_not_run_is_the_scripts_own_failure(racks):
    """./claw swarm up has said why."""
    racks.claw(1)
    assert racks().returncode == 1
    assert len(racks.told()) == 1
