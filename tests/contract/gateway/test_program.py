"""``python -m gateway``: how it starts, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.contract.gateway.rack_api import RackApi
from tests.contract.gateway.stage import Replica, Stage
from tests.contract.gateway.wires import DEADLINE, Message, Wire, eventually, request_bytes


class Program:
    """``python -m gateway`` as the launcher starts it."""

    def __init__(self, environment: dict[str, str], *, lifeline: int | None = None) -> None:
        self.port = _free_port()
        bare = {name: value for name, value in os.environ.items() if not name.startswith("CLAWBUCKET_")}
        settings = {
            "CLAWBUCKET_BIND": f"127.0.0.1:{self.port}",
            "CLAWBUCKET_LOG_FORMAT": "json",
            **environment,
        }
        if lifeline is not None:
            settings["CLAWBUCKET_LIFELINE_FD"] = str(lifeline)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway"],
            env=bare | settings | environment,
            stderr=subprocess.PIPE,
            pass_fds=() if lifeline is None else (lifeline,),
        )

    def ready(self) -> Stage:
        """Wait until it answers."""
        stage = Stage(self.port)
        eventually(lambda: self._answers(stage), "the gateway serves")
        return stage

    def _answers(self, stage: Stage) -> bool:
        try:
            return stage.get("/readyz").status == 200
        except ConnectionError:
            assert self.process.poll() is None, "the gateway ended"
            return False

    def end(self) -> str:
        """Kill it if it still runs; what it said."""
        self.process.kill()
        return self.process.communicate(timeout=DEADLINE)[1].decode()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture
def rack() -> Iterator[RackApi]:
    """A rack API with one replica, which streams without end."""

    def streams(wire: Wire, _request: Message) -> bool:
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        wire.ended()
        return False

    api, replica = RackApi(), Replica(streams, 1)
    api.publish(replica.task())
    yield api
    replica.kill()
    api.down()


@pytest.mark.slow
@pytest.mark.alone
def test_sigterm_ends_the_program_within_a_second(rack: RackApi):
    """Open streams are cut, the exit code is 0, and nothing is said but that it stops."""
    program = Program(rack.settings())
    try:
        with program.ready().connect() as wire:
            wire.send(request_bytes("GET", "/stream"))
            head = wire.head()
            assert head is not None
            assert wire.chunk() == b"hi"
            start = time.monotonic()
            program.process.send_signal(signal.SIGTERM)
            assert wire.ended()
            assert program.process.wait(DEADLINE) == 0
            assert time.monotonic() - start < 1.0
    finally:
        said = program.end()
    assert [json.loads(line)["event"] for line in said.splitlines()] == ["gateway listens", "gateway stops"]


@pytest.mark.slow
@pytest.mark.alone
def test_the_program_ends_with_its_launcher(rack: RackApi):
    """A lifeline that is cut ends it at once."""
    theirs, ours = os.pipe()
    program = Program(rack.settings(), lifeline=theirs)
    os.close(theirs)
    try:
        program.ready()
        os.close(ours)
        assert program.process.wait(1.0) == 0
    finally:
        program.end()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [
        ("CLAWBUCKET_BIND", "8080", "CLAWBUCKET_BIND takes host:port"),
        ("CLAWBUCKET_BIND", "fd://nine", "fd://N for a socket"),
        ("CLAWBUCKET_BIND", "taken", "choose another port"),
        ("CLAWBUCKET_AGGREGATOR_BIND", "127.0.0.1:0", "set CLAWBUCKET_AGGREGATOR_UPSTREAM to its host:port"),
        ("CLAWBUCKET_AGGREGATOR_UPSTREAM", "aggregator", "takes host:port; 'aggregator' is not that"),
        ("CLAWBUCKET_RACK_URL", "ftp://x", "CLAWBUCKET_RACK_URL takes an http(s) URL"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(setting: str, value: str, says: str):
    """With the variable's name, what was given and what is allowed; exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = f"127.0.0.1:{taken.getsockname()[1]}" if value == "taken" else value
        program = Program({setting: given})
        code = program.process.wait(DEADLINE)
        said = program.end()
    assert code == 2
    assert says in said
    assert setting in said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_a_refused_rack_token_is_said(rack: RackApi):
    """Not ready, with a sentence that names the setting to look at."""
    program = Program(rack.settings() | {"CLAWBUCKET_RACK_TOKEN": "another token"})
    stage = Stage(program.port)

    def reason() -> str:
        try:
            return str(json.loads(stage.get("/readyz").body)["checks"]["snapshot"])
        except ConnectionError:
            return ""

    try:
        eventually(lambda: "CLAWBUCKET_RACK_TOKEN" in reason(), "/readyz says why")
    finally:
        program.end()
