"""What ``./claw swarm`` needs before it begins: an engine that answers, which is a manager of a swarm."""

from __future__ import annotations

import re
import socket
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from clawbucket.cli import ports_check
from clawbucket.cli.docker_cli import Docker, Row, last_line, understood
from clawbucket.cli.ports_check import Wanted
from clawbucket.cli.refusal import Refusal

_PERMISSION = re.compile(r"permission denied", re.IGNORECASE)
_UNIX = "unix://"
_DESKTOP = "Docker Desktop"
"""A virtual machine whose own address nobody reaches; it forwards published ports to this machine's."""


@dataclass(frozen=True, slots=True)
class Manager:
    """The engine that docker asks, which is a manager of a swarm.

    ``address`` is its node's as the swarm knows it; ``nodes`` how many the swarm has. ``socket_path`` is
    where the engine listens on this very machine, None when it may be on another. ``reach`` are the URLs of
    dashboard and aggregator where the person says that they are not the node's own.
    """

    node_id: str
    address: str
    nodes: int
    socket_path: str | None
    reach: tuple[str, str] | None = None


def manager(docker: Docker, reach: tuple[str, str] | None = None) -> Manager:
    """Return when docker reaches a manager of a swarm. Refusal says what is missing and how to mend it."""
    endpoint = docker.attempt("context", "inspect", "--format", "{{.Endpoints.docker.Host}}").out.strip()
    done = docker.attempt("info", "--format", "{{json .}}")
    told = understood(done.out)
    info: Row = told if isinstance(told, dict) else {}
    errors = info.get("ServerErrors")
    complaint = "\n".join(map(str, errors)) if isinstance(errors, list) and errors else done.err
    if not info.get("ServerVersion"):
        raise _silent(complaint, endpoint)
    swarm = info.get("Swarm")
    swarm = swarm if isinstance(swarm, dict) else {}
    _check_swarm(swarm)
    here = endpoint.startswith(_UNIX) and info.get("Name") == socket.gethostname()
    in_desktop = info.get("OperatingSystem") == _DESKTOP
    return Manager(
        node_id=str(swarm.get("NodeID", "")),
        address=ports_check.LOOPBACK if in_desktop else str(swarm.get("NodeAddr") or ports_check.LOOPBACK),
        nodes=int(swarm.get("Nodes") or 1),
        socket_path=endpoint.removeprefix(_UNIX) if here else None,
        reach=reach,
    )


def _silent(complaint: str, endpoint: str) -> Refusal:
    where = endpoint or "its socket"
    if _PERMISSION.search(complaint):
        return Refusal(
            f"you may not use the Docker engine at {where}; type sudo usermod -aG docker $USER and log in "
            "again, or put sudo before ./claw"
        )
    said = last_line(complaint)
    return Refusal(
        f"no Docker engine answers at {where} ({said}); start it with sudo systemctl start docker, or say in "
        "DOCKER_HOST where one is"
    )


def _check_swarm(swarm: Mapping[str, object]) -> None:
    state = str(swarm.get("LocalNodeState") or "inactive")
    if state == "inactive":
        raise Refusal(
            "this Docker engine is in no swarm; type docker swarm init (with --advertise-addr ADDRESS where "
            "the machine has several addresses)"
        )
    if state == "locked":
        raise Refusal(
            "this node's part of the swarm is locked since its engine started; type docker swarm unlock"
        )
    if state != "active":
        said = last_line(str(swarm.get("Error") or state))
        raise Refusal(
            f"this node's part of the swarm is {state} ({said}); type docker swarm leave, then docker swarm "
            "init or docker swarm join"
        )
    if not swarm.get("ControlAvailable"):
        raise Refusal(f"this node is a worker of the swarm; type it on a manager{_managers(swarm)}")
    if swarm.get("Error"):
        raise Refusal(
            f"the swarm's managers do not agree ({last_line(str(swarm['Error']))}); start those that are "
            "down, and see docker node ls"
        )


def _managers(swarm: Mapping[str, object]) -> str:
    known = swarm.get("RemoteManagers")
    rows = known if isinstance(known, list) else []
    addresses = [str(row.get("Addr", "")).rpartition(":")[0] for row in rows if isinstance(row, dict)]
    at = f" (there is one at {', '.join(filter(None, addresses))})" if any(addresses) else ""
    return (
        f"{at}, or make this one a manager by typing there: docker node promote {swarm.get('NodeID', 'NODE')}"
    )


def check_ports(docker: Docker, found: Manager, wanted: Sequence[Wanted], own: Container[int]) -> None:
    """Return when each port is free on this node. Refusal names every one that is not.

    What the gateway publishes in host mode is a port of its node like any program's. ``own`` are those that
    the stack publishes already. Other nodes' ports are seen by the scheduler; a task that finds none says so.
    """
    if len({port.port for port in wanted}) < len(wanted):
        raise Refusal(f"{' and '.join(port.option for port in wanted)} cannot be the same port")
    sentences = [_holder(docker, found, port) for port in wanted if port.port not in own]
    if any(sentences):
        raise Refusal("; ".join(filter(None, sentences)))


def _holder(docker: Docker, found: Manager, wanted: Wanted) -> str:
    """Who has the port, as a sentence; empty when nobody has, as far as can be seen."""
    containers = docker.rows("ps", "--filter", f"publish={wanted.port}")
    if containers:
        name = containers[0].get("Names") or containers[0].get("ID")
        return (
            f"port {wanted.port} ({wanted.whose}) is taken on this node by the container {name}; choose "
            f"another with {wanted.option}"
        )
    if found.socket_path is None:
        return ""  # the engine may be on another machine
    try:
        for listener in ports_check.take("0.0.0.0", [wanted]):
            listener.close()
    except Refusal as refusal:
        return str(refusal)
    return ""
