"""What the tests of ``./claw swarm`` type, and how a stand-in for docker is told what to answer."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from clawbucket.cli import swarm_down, swarm_progress
from clawbucket.cli.main import claw
from tests.contract import stand_in_docker

SWARM = {
    "LocalNodeState": "active", "ControlAvailable": True, "NodeID": "node1", "NodeAddr": "127.0.0.1",
    "Nodes": 1, "Error": "",
}  # fmt: skip
IMAGE = "sha256:0123456789abcdef"
SPEC = {
    "ContainerSpec": {"Image": "clawbucket:0123456789ab", "Env": ["A=1"]},
    "Networks": [],
    "ForceUpdate": 0,
}
SERVICE: dict[str, Any] = {
    "ID": "s1",
    "Spec": {
        "Name": "clawbucket_clawbucket",
        "Mode": {"Replicated": {"Replicas": 1}},
        "TaskTemplate": SPEC,
    },
}


def task(number=1, state="running", desired="running", **status):
    """A task as ``docker inspect`` shows it; its template lacks what is empty."""
    return {
        "ID": f"{number}abcdefghijklmnopqrstuvwx", "ServiceID": "s1", "Slot": 1, "NodeID": "node1",
        "CreatedAt": f"2026-01-01T00:00:0{number}Z", "DesiredState": desired,
        "Status": {"State": state, **status}, "Spec": {**SPEC, "Networks": None},
    }  # fmt: skip


def info(**changes):
    """What ``docker info`` says of a manager on this machine, with changes in its part of the swarm."""
    return {"ServerVersion": "20.10.24", "Name": socket.gethostname(), "Swarm": {**SWARM, **changes}}


def stack(*tasks, service=SERVICE, after="stack deploy"):
    """The answers of an engine that has the stack once it was deployed."""
    return [
        {"when": "service ls", "after": after, "out": "s1\n"},
        {"when": "inspect --type service", "out": [service]},
        {"when": "stack ps", "out": "\n".join(each["ID"] for each in tasks)},
        {"when": "inspect --type task", "out": list(tasks)},
        {"when": "node ls", "out": '{"ID":"node1","Hostname":"one"}'},
    ]


class Typing:
    """``./claw swarm …`` with a docker that answers as it was told to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        source = Path(stand_in_docker.__file__).read_text(encoding="utf-8")
        program = directory / "docker"
        program.write_text(f"#!{sys.executable} -ISB\n{source}")
        program.chmod(0o755)

    def answers(self, *entries) -> None:
        """These come before what a well engine answers."""
        well = [
            {"when": "context inspect", "out": "unix:///var/run/docker.sock\n"},
            {"when": "info", "out": info()},
            {"when": "image inspect", "out": json.dumps(IMAGE)},
        ]
        (self.directory / "table.json").write_text(json.dumps([*entries, *well]))

    def __call__(self, *words: str) -> Result:
        """Type it."""
        return CliRunner().invoke(claw, ["swarm", *words])

    @property
    def calls(self) -> list[dict[str, str]]:
        """What docker was asked."""
        log = self.directory / "calls.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def typed(self, beginning: str) -> list[str]:
        """The calls that begin so."""
        return [call["typed"] for call in self.calls if call["typed"].startswith(beginning)]


def typing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Typing:
    """A well engine without a stack; nothing in the environment has a say, and nobody waits long."""
    for name in ("HOST", "SOCKET"):
        monkeypatch.delenv(f"DOCKER_{name}", raising=False)
    for name in ("IMAGE", "SECRETS", "TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(f"CLAWBUCKET_{name}", raising=False)
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setenv("OLLAMA_REPLICAS", "0")
    monkeypatch.setattr(swarm_progress, "_LOOK", 0.01)
    monkeypatch.setattr(swarm_down, "_LOOK", 0.01)
    typed = Typing(directory)
    typed.answers()
    return typed


def free_ports() -> tuple[str, str, str, str]:
    """Two options with ports of this machine that are free."""
    with (
        closing(socket.create_server(("0.0.0.0", 0))) as one,
        closing(socket.create_server(("0.0.0.0", 0))) as two,
    ):
        return "--port", str(one.getsockname()[1]), "--aggregator-port", str(two.getsockname()[1])
