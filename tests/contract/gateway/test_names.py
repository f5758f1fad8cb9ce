"""What goes by a name: the aggregator behind the second port, and the rack manager. Both move."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp.abc import ResolveResult

from gateway import names as gateway_names
from tests.contract.gateway.rack_api import RackApi
from tests.contract.gateway.stage import Replica, Stage, hello, running_gateway
from tests.contract.gateway.wires import Message, Wire, answer, error_of, eventually

NAME = "aggregator.test"
RACK = "rack.test"


class Names:
    """A name server of the test's own. A name without hosts is unknown; ``away``: it does not answer."""

    def __init__(self) -> None:
        self.hosts: dict[str, list[str]] = {}
        self.away = False
        self.asked = 0

    async def resolve(self, host: str, port: int, family: int) -> list[ResolveResult]:
        """As aiohttp's resolvers do."""
        self.asked += 1
        if self.away:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if not self.hosts.get(host):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0)
            for one in self.hosts[host]
        ]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """What the gateway's look-ups find, and often."""
    server = Names()

    async def resolve(_: object, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return await server.resolve(host, port, family)

    monkeypatch.setattr(aiohttp.ThreadedResolver, "resolve", resolve)
    monkeypatch.setattr(gateway_names, "EVERY", 0.02)
    return server


@pytest.fixture
def port() -> Iterator[int]:
    """The port of every aggregator; their addresses are on loopback, which has many."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        yield int(free.getsockname()[1])


@pytest.fixture
def stage(names: Names, port: int) -> Iterator[Stage]:
    """A gateway with two ports; the aggregator is nowhere yet."""
    names.hosts[NAME] = []
    with running_gateway(aggregator=f"{NAME}:{port}") as stage:
        yield stage


@pytest.fixture
def second(stage: Stage) -> Stage:
    """Its second port."""
    assert stage.second is not None
    return stage.second


def aggregator(wire: Wire, request: Message) -> None:
    """Answer with what was asked for."""
    answer(wire, 200, json.dumps({"asked": request.target}).encode())


def test_the_second_port_leads_to_the_aggregator(stage: Stage, second: Stage, names: Names, port: int):
    """Wholly: its own health and metrics too. The first port is as ever."""
    there = Replica(aggregator, 1, at=("127.0.0.2", port))
    names.hosts[NAME] = ["127.0.0.2"]
    eventually(lambda: second.get("/").status == 200, "it was found")
    for path in ("/api/scoreboard?x=1", "/healthz", "/livez", "/metrics"):
        message = second.get(path)
        assert json.loads(message.body) == {"asked": path}
        assert message.get("X-Served-By") == f"127.0.0.2:{port}"
    assert json.loads(second.get("/readyz").body) == {"ok": True, "checks": {}}
    assert stage.metric('clawbucket_gateway_aggregators{state="ready"}') == 1
    assert there.seen[-1].get("X-Forwarded-For") == "127.0.0.1"
    assert error_of(stage.get("/healthz")) == "no_replica"
    there.kill()


def test_while_nobody_answers_it_is_503(stage: Stage, second: Stage, names: Names):
    """Unknown or refused: definite, in the contract's form, and it says when to ask again."""
    for hosts in ([], ["127.0.0.9"]):
        names.hosts[NAME] = hosts
        for message in (second.get("/api/scoreboard"), second.post("/api/scoreboard")):
            assert (message.status, error_of(message), message.get("Retry-After")) == (503, "no_replica", "1")
            assert b"aggregator" in message.body
    assert stage.get("/livez").status == 200


def test_an_aggregator_that_moved_is_found(second: Stage, names: Names, port: int):
    """A new address is taken up without a request that notices."""
    old = Replica(hello, 1, at=("127.0.0.2", port))
    names.hosts[NAME] = ["127.0.0.2"]
    eventually(lambda: second.get().status == 200, "it was found")
    new = Replica(hello, 2, at=("127.0.0.3", port))
    names.hosts[NAME] = ["127.0.0.2", "127.0.0.3"]
    eventually(lambda: second.get().get("X-Served-By") == f"127.0.0.3:{port}", "both are used")
    old.kill()
    assert {second.get().status for _ in range(10)} == {200}
    names.hosts[NAME] = ["127.0.0.3"]
    assert {second.get().status for _ in range(10)} == {200}
    new.kill()


def test_the_last_addresses_stay_while_names_are_away(second: Stage, names: Names, port: int):
    """A name server that does not answer says nothing about the aggregator; one that denies the name does."""
    there = Replica(hello, 1, at=("127.0.0.2", port))
    names.hosts[NAME] = ["127.0.0.2"]
    eventually(lambda: second.get().status == 200, "it was found")
    names.away = True
    asked = names.asked
    eventually(lambda: names.asked > asked + 3, "it was looked up")
    assert second.get().status == 200
    names.away, names.hosts[NAME] = False, []
    eventually(lambda: second.get().status == 503, "it is gone")
    there.kill()


@pytest.mark.slow
def test_a_rack_manager_that_moved_is_found(names: Names):
    """It has another address after a restart, and perhaps a clock that is behind: both are no matter."""
    old = RackApi("127.0.0.2")
    names.hosts[RACK] = ["127.0.0.2"]
    replica = Replica(hello, 1)
    with running_gateway(old, RACK) as stage:
        stage.publish(replica.task())
        old.down()
        new = RackApi("127.0.0.3", old.port)
        stage.rack = new
        names.hosts[RACK] = ["127.0.0.3"]
        other = Replica(hello, 2)
        stage.publish(other.task(), seq=7)
        assert stage.get().get("X-Served-By") == other.name
        names.away = True
        assert stage.get().status == 200
    new.down()
    replica.kill()
    other.kill()
