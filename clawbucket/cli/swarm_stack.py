"""A stack on a swarm as docker tells it: its services, their tasks, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clawbucket.cli.docker_cli import LABEL, Docker, Row
from clawbucket.core.model import short_alias

GATEWAY_PORT, AGGREGATOR_PORT = 8080, 8090
"""Where the gateway listens in its container; what they are published as is the stack's to say."""
_ENDED_BADLY = {"failed", "rejected"}
_UNDER_WAY = {"updating", "rollback_started"}
_GONE_WRONG = {"paused", "rollback_paused", "rollback_completed"}
"""UpdateStatus.State: the update was given up (moby, api/types/swarm/service.go)."""


@dataclass(frozen=True, slots=True)
class StackTask:
    """One task. ``place`` is its slot, or its node's id where the service has one on every node.

    ``current``: it is of the service's newest version. ``error`` and ``message`` are docker's words.
    """

    id: str
    service: str
    place: str
    node_id: str
    node: str
    state: str
    desired: str
    error: str
    message: str
    created: str
    current: bool

    @property
    def running(self) -> bool:
        """It runs, and is meant to."""
        return self.state == "running" == self.desired

    @property
    def failed(self) -> bool:
        """It ended otherwise than it was told to."""
        return self.state in _ENDED_BADLY

    @property
    def slot(self) -> str:
        """Alias and slot, or the node's name where the service has one task on every node."""
        return f"{short_alias(self.service)}.{self.place if self.place.isdigit() else self.node}"

    @property
    def label(self) -> str:
        """Its short name: with the beginning of its id."""
        return f"{self.slot}.{self.id[:6]}"


@dataclass(frozen=True, slots=True)
class StackService:
    """One service. ``update`` is the state of an update or rollback (empty: none since it was deployed)."""

    name: str
    desired: int
    image: str
    update: str
    update_message: str
    ports: Mapping[int, int]
    tasks: tuple[StackTask, ...] = field(default=())

    @property
    def running(self) -> int:
        """Tasks that run in its newest version."""
        return sum(task.running and task.current for task in self.tasks)

    @property
    def converged(self) -> bool:
        """As many run as are wanted, and nothing is being changed or was given up."""
        leaving = any(task.running and not task.current for task in self.tasks)
        return self.running >= self.desired and not leaving and not self.under_way and not self.given_up

    @property
    def under_way(self) -> bool:
        """Swarm is changing it to another version, or back."""
        return self.update in _UNDER_WAY

    @property
    def given_up(self) -> bool:
        """Swarm stopped the update, or went back to what was before."""
        return self.update in _GONE_WRONG

    @property
    def trouble(self) -> str:
        """What is wrong in docker's own words: the last failure, or why a task waits. Empty: nothing is."""
        failed = [task for task in self.tasks if task.failed]
        waiting = [task for task in self.tasks if task.desired == "running" and not task.running]
        for task in sorted(failed, key=lambda each: each.created, reverse=True) or waiting:
            return f"{task.label}{_on(task.node)}: {task.state}, {_words(task.error or task.message)}"
        return ""

    def failures(self, since: frozenset[str]) -> int:
        """How often the place that fails most has failed, tasks of ``since`` left out."""
        places = [task.place for task in self.tasks if task.failed and task.id not in since]
        return max(map(places.count, set(places)), default=0)


@dataclass(frozen=True, slots=True)
class Stack:
    """All services of a stack, by name."""

    name: str
    services: tuple[StackService, ...]

    @property
    def converged(self) -> bool:
        """Every service is."""
        return bool(self.services) and all(service.converged for service in self.services)

    @property
    def task_ids(self) -> frozenset[str]:
        """Every task that docker still knows of."""
        return frozenset(task.id for service in self.services for task in service.tasks)

    @property
    def ports(self) -> frozenset[int]:
        """The ports that it publishes."""
        return frozenset(port for service in self.services for port in service.ports.values())

    def service(self, name: str) -> StackService | None:
        """The service of that full name or alias."""
        return next((s for s in self.services if name in {s.name, alias(s.name, self.name)}), None)


def alias(service: str, stack: str) -> str:
    """A service's name without its stack's."""
    return service.removeprefix(f"{stack}_")


def look(docker: Docker, name: str) -> Stack | None:
    """The stack as it is now; None where there is none of that name. Five calls of docker, some 0.3 s."""
    ids = docker.ask("service", "ls", "--quiet", "--filter", f"label={LABEL}={name}").split()
    services = docker.inspect("service", ids)
    if not services:
        return None
    tasks: list[Row] = []
    listed = docker.attempt("stack", "ps", name, "--quiet", "--no-trunc")
    if listed.code == 0:  # it fails where a stack has no task yet
        tasks = docker.inspect("task", listed.out.split())
    nodes = {str(row.get("ID")): str(row.get("Hostname")) for row in docker.rows("node", "ls")}
    found = [_service(row, tasks, nodes) for row in services]
    return Stack(name, tuple(sorted(found, key=lambda service: service.name)))


def _service(row: Row, tasks: list[Row], nodes: Mapping[str, str]) -> StackService:
    spec = _part(row, "Spec")
    update = _part(row, "UpdateStatus")
    name = str(spec.get("Name"))
    version = _version(_part(spec, "TaskTemplate"))
    mine = tuple(
        sorted(
            (_task(task, name, version, nodes) for task in tasks if task.get("ServiceID") == row.get("ID")),
            key=lambda task: (task.place.zfill(8), task.created),
        )
    )
    mode = _part(spec, "Mode")
    if "Global" in mode:  # Swarm makes one for each node that may have it
        desired = max(1, len({task.place for task in mine if task.desired == "running"}))
    else:
        desired = int(_part(mode, "Replicated").get("Replicas") or 0)
    ports = _part(spec, "EndpointSpec").get("Ports") or []
    return StackService(
        name=name,
        desired=desired,
        image=str(_part(_part(spec, "TaskTemplate"), "ContainerSpec").get("Image", "")),
        update=str(update.get("State", "")),
        update_message=str(update.get("Message", "")),
        ports={
            int(port["TargetPort"]): int(port["PublishedPort"]) for port in ports if port.get("PublishedPort")
        },
        tasks=mine,
    )


def _task(row: Row, service: str, version: tuple[str, ...], nodes: Mapping[str, str]) -> StackTask:
    status = _part(row, "Status")
    node = str(row.get("NodeID") or "")
    return StackTask(
        id=str(row.get("ID")),
        service=service,
        place=str(row.get("Slot") or node),
        node_id=node,
        node=nodes.get(node, node),
        state=str(status.get("State", "")),
        desired=str(row.get("DesiredState", "")),
        error=str(status.get("Err") or ""),
        message=str(status.get("Message") or ""),
        created=str(row.get("CreatedAt", "")),
        current=_version(_part(row, "Spec")) == version,
    )


def _version(template: Row) -> tuple[str, ...]:
    """What tells a task's version from another's.

    Not all of the template: docker shows what was left out in one way in a service and in another in a task.
    """
    container = _part(template, "ContainerSpec")
    told = [container.get(part) or "" for part in ("Image", "Command", "Args", "Env")]
    return tuple(map(str, [*told, template.get("ForceUpdate") or 0]))


def _part(row: Row, name: str) -> Row:
    found = row.get(name)
    return found if isinstance(found, dict) else {}


def _on(node: str) -> str:
    return f" on {node}" if node else ""


def _words(said: str) -> str:
    """On one line, and no longer than one reads."""
    return " ".join("".join(c if c.isprintable() else " " for c in said).split())[:200]
