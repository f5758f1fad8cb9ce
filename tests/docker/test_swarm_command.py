"""``./claw swarm`` as a process on a real engine: up, status, logs and down of a stack of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from bench.rack import free_port
from tests.docker.conftest import Images
from tests.docker.host import Engine
from tests.docker.images import ROOT

pytestmark = pytest.mark.slow

LABEL = "com.docker.stack.namespace"
UP = 240.0
"""Seconds for one command; a rack is up in some twenty."""


@dataclass(frozen=True)
class Typing:
    """``./claw swarm …`` about one stack with one replica of each service, on ports of its own."""

    engine: Engine
    variables: dict[str, str]
    name: str
    ports: tuple[str, ...]

    def __call__(self, command: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Type it in an empty terminal."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "clawbucket", "swarm", command, "--name", self.name, *words],
            env=self.engine.environment(**self.variables, PYTHONPATH=str(ROOT)), cwd="/", capture_output=True,
            text=True, timeout=UP, check=False,
        )  # fmt: skip

    def up(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``up`` without an Ollama."""
        return self("up", *self.ports, "--no-ollama", "--replicas", "1", "--timeout", str(UP - 60), *words)

    def left(self) -> list[str]:
        """What the engine has of the stack: services, containers, networks, volumes, secrets."""
        found = []
        for kind, column in (
            ("service", "Name"), ("container", "Names"), ("network", "Name"), ("volume", "Name"),
        ):  # fmt: skip
            every = ["--all"] if kind == "container" else []
            label = f"label={LABEL}={self.name}"
            found += self.engine.docker(
                kind, "ls", *every, "--filter", label, "--format", f"{{{{.{column}}}}}"
            ).split()
        secrets = self.engine.docker("secret", "ls", "--format", "{{.Name}}").split()
        return found + [secret for secret in secrets if secret.startswith(f"{self.name}_")]


@pytest.fixture(scope="module")
def swarm_of_one(swarm: Engine, images: Images) -> Iterator[Typing]:
    """A stack of this module's own, which is taken away whatever comes of it."""
    own = f"{swarm.prefix}/up:good"  # a name that the engine takes away with all else of this run
    variables = images.for_stack()
    swarm.docker("tag", variables["CLAWBUCKET_IMAGE"], own)
    ports = ("--port", str(free_port()), "--aggregator-port", str(free_port()))
    typed = Typing(swarm, {**variables, "CLAWBUCKET_IMAGE": own}, f"{swarm.prefix}-up", ports)
    yield typed
    typed("down", "--volumes", "--secrets")


@pytest.fixture(scope="module")
def broken(swarm_of_one: Typing) -> str:
    """An image whose programs end at once."""
    tag = f"{swarm_of_one.engine.prefix}/up:broken"
    dockerfile = f'FROM {swarm_of_one.variables["CLAWBUCKET_IMAGE"]}\nENTRYPOINT ["false"]\n'
    swarm_of_one.engine.docker("build", "--quiet", "--tag", tag, "-", given=dockerfile, DOCKER_BUILDKIT="0")
    return tag


@dataclass(frozen=True)
class Never:
    """Another stack, of that image alone, and what ``up`` will have said of it."""

    typed: Typing
    up: Future[subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", autouse=True)
def never(swarm_of_one: Typing, broken: str) -> Iterator[Never]:
    """It goes up while the good one does and is asked about: both wait for Swarm most of the time."""
    ports = ("--port", str(free_port()), "--aggregator-port", str(free_port()))
    other = Typing(swarm_of_one.engine, swarm_of_one.variables, f"{swarm_of_one.engine.prefix}-never", ports)
    with ThreadPoolExecutor(1) as pool:
        told = pool.submit(other.up, "--image", broken)
        try:
            yield Never(other, told)
        finally:
            told.exception()  # ended, whatever came of it
            other("down", "--volumes", "--secrets")


@pytest.fixture(scope="module")
def deployed(swarm_of_one: Typing) -> Typing:
    """The good one, up, while the other tries in vain."""
    done = swarm_of_one.up()
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"dashboard    http://127.0.0.1:{swarm_of_one.ports[1]}" in done.stdout
    assert "changes ask for this token" in done.stderr
    return swarm_of_one


def test_the_addresses_that_up_ends_with_answer(deployed):
    """Both, and with what they are for."""
    for port, path in ((deployed.ports[1], "/api/swarms"), (deployed.ports[3], "/api/scoreboard")):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            assert answer.status == 200


def test_up_again_changes_nothing(deployed):
    """The same tasks run on, and no secret is made."""
    before = json.loads(deployed("status", "--json").stdout)
    done = deployed.up()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "secrets made" not in done.stdout
    after = json.loads(deployed("status", "--json").stdout)
    assert [task["id"] for task in after["tasks"]] == [task["id"] for task in before["tasks"]]


def test_status_tells_services_and_tasks(deployed):
    """With status 0 when all is well."""
    done = deployed("status")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(deployed("status", "--json").stdout)
    prefix = f"{deployed.name}_"
    assert {s["name"].removeprefix(prefix): (s["running"], s["desired"]) for s in told["services"]} == {
        "clawbucket": (1, 1), "clawbucket-b": (1, 1), "clawbucket-aggregator": (1, 1), "gateway": (1, 1),
        "memcached": (1, 1), "ollama": (0, 0), "rack": (1, 1),
    }  # fmt: skip
    assert all(task["label"] in done.stdout for task in told["tasks"])
    assert [port["ready"] for port in told["ports"]] == [True, True]


@pytest.mark.parametrize(("which", "event"), [("gateway", "gateway listens"), ("rack", "rack manager runs")])
def test_logs_are_those_of_the_service(deployed, which, event):
    """And of no other."""
    done = deployed("logs", which, "--lines", "1000")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(event in line for line in lines)
    assert {line.split()[0].split(".")[0] for line in lines} == {which}


def test_a_stack_that_never_runs_is_told_with_its_task_errors(never):
    """Where there is nothing to go back to, up ends once a slot has failed again and again."""
    done = never.up.result(UP)
    assert done.returncode == 1
    assert "rack: 0 of 1 run; rack.1." in done.stderr
    assert "task: non-zero exit (1)" in done.stderr
    assert "Swarm goes on trying" in done.stderr
    assert never.typed.left() != []
    never.typed("down", "--volumes", "--secrets")
    assert never.typed.left() == []


def test_a_broken_version_is_told_and_the_one_before_runs_on(deployed, broken):
    """With the error of its task, and Swarm's rollback."""
    done = deployed.up("--image", broken)
    assert done.returncode == 1
    assert "task: non-zero exit (1)" in done.stderr
    assert "this version was given up" in done.stderr
    assert deployed("status").returncode == 1  # it says so until something else is deployed
    again = deployed.up()
    assert again.returncode == 0, again.stdout + again.stderr


def test_down_leaves_nothing(deployed):
    """But what it was not told to take; with both options, nothing at all."""
    done = deployed("down")
    assert done.returncode == 0, done.stdout + done.stderr
    kept = {name.removeprefix(f"{deployed.name}_") for name in deployed.left()}
    assert kept == {"revolt_snapshots", "token", "rack_token", "peer_key"}
    done = deployed("down", "--volumes", "--secrets")
    assert done.returncode == 0, done.stdout + done.stderr
    assert deployed.left() == []
    assert deployed("down").returncode == 2
