"""Who can do what in the deployed stack: secrets, networks, users, and the Docker socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.docker.deployed import Deployed

pytestmark = pytest.mark.slow

ROOTS = {"rack", "ollama"}
"""The rack manager needs the Docker socket, which is root's; Ollama keeps its models under /root."""
KNOCK = """
import socket
try:
    with socket.create_connection(({host!r}, {port}), timeout=2) as it:
        it.sendall({say!r})
        print("heard", it.recv(512))
except OSError as error:
    print("refused", error)
"""
"""What answers need not be who was meant: some machines' way out has a proxy that takes every connection."""


def inspected(stack: Deployed, kind: str, *names: str) -> list[dict[str, Any]]:
    """What ``docker inspect`` tells of these."""
    return list(json.loads(stack.engine.docker("inspect", "--type", kind, *names)))


def test_no_secret_is_told(stack):
    """Neither ``docker inspect`` of services, tasks and containers nor any log has one; they are files."""
    services = inspected(stack, "service", *map(stack.full, stack.containers()))
    containers = [c for found in stack.containers().values() for c in found]
    tasks = [seat.id for service in stack.services for seat in stack.seats(service)]
    told = [json.dumps(services)]
    told += [
        json.dumps(inspected(stack, "container", *containers)),
        json.dumps(inspected(stack, "task", *tasks)),
    ]
    told += [said for _, said in stack.engine.logs(stack.name, lines="all")]
    assert len("".join(told)) > 10_000
    for kind, value in stack.secrets.items():
        assert not [text[:80] for text in told if value in text], kind
    _, said = stack.run_in(
        stack.containers()["clawbucket"][0], "print(open('/run/secrets/clawbucket_token').read())"
    )
    assert said.strip() == stack.secrets["token"]
    for service in ("gateway", "rack"):
        code, _ = stack.run_in(
            stack.containers()[service][0], "print(open('/run/secrets/clawbucket_token').read())"
        )
        assert code != 0, f"{service} has the operator's token"


def address_on(stack: Deployed, service: str, network: str) -> str:
    """The address of a service's container on one of the stack's networks."""
    told = inspected(stack, "container", stack.containers()[service][0])[0]
    return str(told["NetworkSettings"]["Networks"][stack.full(network)]["IPAddress"])


@pytest.mark.parametrize(("service", "network", "port", "say", "mark", "users"), [
    (
        "memcached", "bus", 11211, b"version\r\n", "VERSION",
        {"clawbucket", "clawbucket-b", "clawbucket-aggregator", "rack"},
    ),
    (  # the rack manager uses the bus as well, so that the scoreboard's neighbour is not hidden from it
        "rack", "control", 8070, b"GET /v1/snapshot HTTP/1.0\r\n\r\n", "HTTP/1.0 401",
        {"clawbucket", "clawbucket-b", "gateway", "clawbucket-aggregator"},
    ),
])  # fmt: skip
def test_only_its_users_reach(stack, service, network, port, say, mark, users):
    """Memcached and the rack manager's API answer those on their networks alone, the latter for its token."""
    address = address_on(stack, service, network)
    for other, containers in stack.containers().items():
        if other in {"memcached", service}:  # the former's image has no Python
            continue
        knocks = [KNOCK.format(host=host, port=port, say=say) for host in (service, address)]
        heard = [mark in stack.run_in(containers[0], knock)[1] for knock in knocks]
        assert any(heard) is (other in users), (other, heard)


def test_nothing_but_the_gateway_and_ollama_is_published(stack):
    """Nobody on the node's own addresses answers for the bus or the rack manager."""
    published = {
        service: sorted(
            int(binding["HostPort"])
            for bindings in inspected(stack, "container", *found)[0]["NetworkSettings"]["Ports"].values()
            for binding in bindings or ()
            if binding["HostIp"] != "::"
        )
        for service, found in stack.containers().items()
    }
    assert {name: ports for name, ports in published.items() if ports} == {
        "gateway": sorted((stack.port, stack.aggregator_port)),
        "ollama": [int(stack.variables["OLLAMA_PORT"])],
    }


def test_the_rack_manager_alone_has_the_docker_socket(stack):
    """No other container of the stack has anything of the node's mounted."""
    holders = set()
    for service, containers in stack.containers().items():
        for told in inspected(stack, "container", *containers):
            binds = [
                mount["Source"] for mount in told["Mounts"]
                if mount["Type"] == "bind" and not mount["Destination"].startswith("/run/secrets/")
            ]  # fmt: skip
            holders |= {service} if binds else set()
            assert not told["HostConfig"]["Privileged"]
    assert holders == {"rack"}


def test_nobody_is_root_who_need_not_be(stack):
    """As the node's kernel sees it: every process of the others belongs to a user without a name there."""
    for service, containers in stack.containers().items():
        for container in containers:
            rows = stack.engine.docker("top", container, "-eo", "pid,uid,args").splitlines()[1:]
            users = {int(row.split()[1]) for row in rows}
            assert rows
            assert (users == {0}) is (service in ROOTS), (service, users)
            if service not in {*ROOTS, "memcached"}:
                assert users == {10001}, (service, users)


def test_programs_of_ours_can_write_nothing_but_tmp(stack):
    """The image is read-only in all of our containers."""
    for service in ("clawbucket", "clawbucket-aggregator", "gateway", "rack"):
        code, said = stack.run_in(stack.containers()[service][0], "open('/srv/clawbucket/x', 'w')")
        assert code != 0, service
        assert "Read-only file system" in said
        code, said = stack.run_in(stack.containers()[service][0], "open('/tmp/x', 'w')")
        assert code == 0, said
