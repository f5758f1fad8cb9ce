"""What the commands of ``claw swarm`` have in common: which stack, by which docker, and where it answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from clawbucket.cli import ports_check, swarm_stack
from clawbucket.cli.docker_cli import Docker
from clawbucket.cli.options import Setting
from clawbucket.cli.readiness import is_ready
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.swarm_preflight import Manager
from clawbucket.cli.swarm_stack import AGGREGATOR_PORT, GATEWAY_PORT, Stack
from clawbucket.settings import environment

F = TypeVar("F", bound=Callable[..., Any])

NAME = "clawbucket"
"""The stack, unless told otherwise (CONTRACT, section 5)."""


def name_option(command: F) -> F:
    """``--name``: which stack is meant, where a swarm has several."""
    return click.option(
        "--name", type=Setting("service_name", "name"), default=NAME, show_default=True, metavar="NAME",
        help="The stack's name, where a swarm has several.",
    )(command)  # fmt: skip


def reach_option(command: F) -> F:
    """``--reach-at``: where the two ports are reached, where that is not on a node of the swarm itself."""
    return click.option(
        "--reach-at", "reach", nargs=2, type=Setting("peer_url", "url"), default=None, metavar="URL URL",
        help="Where dashboard and scoreboard are reached from here, where not at the nodes' addresses.",
    )(command)  # fmt: skip


def docker_here() -> Docker:
    """The docker program, in this environment."""
    return Docker(environment({}))


def secrets_prefix(stack: str) -> str:
    """What the names of the stack's secrets begin with."""
    return environment({}).get("CLAWBUCKET_SECRETS") or stack


def stack_named(docker: Docker, name: str) -> Stack:
    """The stack as it is now. Refusal where there is none of that name."""
    found = swarm_stack.look(docker, name)
    if found is None:
        more = "" if name == NAME else f" --name {name}"
        raise Refusal(f"there is no stack {name} on this swarm; start it with ./claw swarm up{more}")
    return found


def urls(docker: Docker, manager: Manager, stack: Stack) -> dict[str, str]:
    """Where the dashboard and the aggregator are: on this node if it has a gateway, else on one that has.

    Or where the person says.
    """
    if manager.reach is not None:
        return dict(zip(("dashboard", "aggregator"), manager.reach, strict=True))
    gateway = next((service for service in stack.services if GATEWAY_PORT in service.ports), None)
    if gateway is None:
        return {}
    nodes = [task.node_id for task in gateway.tasks if task.running]
    host = manager.address
    if nodes and manager.node_id not in nodes:
        for node in docker.inspect("node", nodes[:1]):
            host = str(node.get("Status", {}).get("Addr") or host)
    ports = {"dashboard": gateway.ports[GATEWAY_PORT], "aggregator": gateway.ports.get(AGGREGATOR_PORT)}
    return {name: ports_check.as_url(host, port) for name, port in ports.items() if port}


def silent(addresses: dict[str, str]) -> str:
    """The first of these that does not say that it is ready; empty when all do."""
    return next((f"{url}/readyz" for url in addresses.values() if not is_ready(url)), "")
