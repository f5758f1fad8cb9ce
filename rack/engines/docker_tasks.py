"""Docker's JSON as the swarm's nouns: a pure mapping, and a memory of what Swarm forgets. No I/O.

The shapes are the Engine API's (docs.docker.com/reference/api/engine, v1.41: Task, Service, Node). A task's
record holds its environment too; nothing here reads it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clawbucket.core.model import Node, Service, Snapshot, Task, TaskState

Raw = Mapping[str, Any]
"""One object of the Engine API, as decoded from JSON."""

EDGE = "_edge"
"""How the name of the network ends on which the gateway reaches replicas (docker-stack.yml: ``edge``)."""
PORT = 8080
"""Where a replica in a container listens (docker-stack.yml: CLAWBUCKET_BIND)."""
KEPT = 5
"""Dead tasks told of a slot: what Swarm keeps itself (``docker swarm update --task-history-limit``)."""
_LONGEST = 300
"""Characters of Docker's own messages that are passed on."""
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z")


def time_of(raw: str) -> str:
    """Go's time, whose fraction has up to nine digits, in milliseconds: so it also sorts as text."""
    match = _TIME.fullmatch(raw)
    return f"{match[1]}.{(match[2] or '')[:3]:0<3}Z" if match else ""


def node_of(raw: Raw) -> Node:
    """A node. Only a manager has a ``ManagerStatus``, and only the Raft leader's says so."""
    spec = raw.get("Spec") or {}
    return Node(
        id=raw["ID"],
        hostname=(raw.get("Description") or {}).get("Hostname") or raw["ID"],
        leader=bool((raw.get("ManagerStatus") or {}).get("Leader")),
        role=spec.get("Role", ""),
        availability=spec.get("Availability", ""),
        state=(raw.get("Status") or {}).get("State", "unknown"),
    )


def service_of(name: str, raw: Raw | None) -> Service:
    """What is wanted of the service; with ``error`` when it is not deployed or not replicated."""
    if raw is None:
        return Service(name, 0, f"no service {name} runs in this swarm; type: ./claw swarm up")
    mode = raw["Spec"].get("Mode") or {}
    if "Replicated" not in mode:
        return Service(name, 0, f"service {name} is not in replicated mode, so it has no slots to count")
    return Service(name, int(mode["Replicated"].get("Replicas") or 0))


def task_of(raw: Raw, service: str) -> Task:
    """A task, its states as Swarm tells them.

    A state that this program does not know counts as ``orphaned``: neither running nor known to be gone.
    """
    status = raw.get("Status") or {}
    container = status.get("ContainerStatus") or {}
    task_id, slot = raw["ID"], int(raw.get("Slot") or 0)
    state = _state(status.get("State", ""))
    return Task(
        id=task_id,
        service=service,
        slot=slot,
        node_id=raw.get("NodeID", ""),
        state=state,
        desired_state=_state(raw.get("DesiredState", "")),
        name=f"{service}.{slot}.{task_id}",
        address=address_of(raw),
        created_at=time_of(raw.get("CreatedAt", "")),
        # The store's time, which its one leader sets; Status.Timestamp is the clock of the task's node.
        updated_at=time_of(raw.get("UpdatedAt", "")),
        message=_short(status.get("Message", "")),
        error=_short(status["Err"]) if status.get("Err") else None,
        exit_code=container.get("ExitCode") if state.ended and container.get("ContainerID") else None,
    )


def address_of(raw: Raw) -> str | None:
    """``host:port`` on the edge network, or None for a task that has no address there (yet)."""
    for attachment in raw.get("NetworksAttachments") or ():
        name = ((attachment.get("Network") or {}).get("Spec") or {}).get("Name", "")
        addresses = attachment.get("Addresses") or ()
        if name.endswith(EDGE) and addresses:
            host = str(addresses[0]).partition("/")[0]
            return f"[{host}]:{PORT}" if ":" in host else f"{host}:{PORT}"
    return None


def _state(raw: str) -> TaskState:
    try:
        return TaskState(raw)
    except ValueError:
        return TaskState.ORPHANED


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


@dataclass(frozen=True, slots=True)
class View:
    """One listing, understood: the snapshot, and the dead tasks of the services shown, newest first.

    ``wanted`` are the slots, as service and number, in which a task is meant to run, be it that its last one
    has ended a moment ago and the next is not there yet.
    """

    snapshot: Snapshot
    dead: tuple[Task, ...]
    wanted: frozenset[tuple[str, int]] = frozenset()

    def slots_of(self, service: str) -> frozenset[int]:
        """The service's slots in which a task is meant to run."""
        return frozenset(slot for name, slot in self.wanted if name == service)

    def slot_of(self, service: str, task_id: str) -> int | None:
        """Where a task of the service is or was, as far back as the dead are kept."""
        every = (*self.snapshot.tasks, *self.dead)
        return next((task.slot for task in every if task.id == task_id and task.service == service), None)

    def history(self, service: str) -> tuple[Task, ...]:
        """The service's dead tasks, newest first, at most ``KEPT`` a slot."""
        seen: Counter[int] = Counter()
        kept = []
        for task in self.dead:
            if task.service == service and seen[task.slot] < KEPT:
                seen[task.slot] += 1
                kept.append(task)
        return tuple(kept)

    @property
    def settled(self) -> bool:
        """Whether what runs is what is wanted; what is on a node out of sight is not waited for."""
        snapshot = self.snapshot
        in_sight = {"", *(node.id for node in snapshot.nodes if node.state == "ready")}
        near = [task for task in snapshot.tasks if task.node_id in in_sight]
        running = Counter(task.service for task in near if task.running)
        return all(task.running for task in near) and all(
            running[service.name] == service.desired for service in snapshot.services if not service.error
        )


class Mapper:
    """Turns one listing after another into Views. Not thread-safe.

    Swarm forgets a task of a slot that was scaled away as soon as it has ended (swarmkit, taskreaper: desired
    ``remove`` and at least ``complete``). Whoever held a lease there would never be told of as gone, so
    what vanishes is remembered here: its process has ended, which is what the reaper waits for. One
    exception: Swarm also gives up on tasks of nodes that it lost sight of (``orphaned``, after a day or
    when the node is removed). They may still run, so a task whose node is not ready is only forgotten.

    All else is told 1:1. A task on a node that went down keeps ``running`` with the desired state
    ``shutdown``: it stays among ``tasks``, is no candidate and gets no requests, and is not among the
    ``ended``, so that its lease is waited out rather than taken from a trooper that may live.
    """

    def __init__(self, rack: str, services: Sequence[str]) -> None:
        self._rack = rack
        self._services = tuple(services)
        self._names: dict[str, str] = {}
        self._last: dict[str, Task] = {}
        self._gone: dict[str, Task] = {}

    def name_of(self, service_id: str) -> str | None:
        """The name of a shown service by its id, also after it was removed; None for any other."""
        return self._names.get(service_id)

    def learn(self, services: Iterable[Raw]) -> None:
        """Take note of the ids of the services shown. The ids of the last few are kept over a new deploy."""
        for raw in services:
            if raw["Spec"]["Name"] in self._services:
                self._names[raw["ID"]] = raw["Spec"]["Name"]
        for oldest in list(self._names)[: -4 * len(self._services)]:
            del self._names[oldest]

    def tasks_of(self, tasks: Iterable[Raw]) -> dict[str, Task]:
        """The tasks of the services shown, by id."""
        found = ((raw, self._names.get(raw.get("ServiceID", ""))) for raw in tasks)
        return {raw["ID"]: task_of(raw, name) for raw, name in found if name is not None}

    def missing(self, tasks: Mapping[str, Task]) -> bool:
        """Whether a task that had not ended is not listed any more: then the nodes must be looked at too."""
        return any(task_id not in tasks and not task.state.ended for task_id, task in self._last.items())

    def view(self, at: str, services: Sequence[Raw], tasks: Mapping[str, Task], nodes: Sequence[Raw]) -> View:
        """What the listing says, with what earlier ones said of tasks that it does not list any more."""
        told = tuple(sorted((node_of(raw) for raw in nodes), key=lambda n: (n.hostname, n.id)))
        in_sight = {node.id for node in told if node.state == "ready"}
        for task_id in self._last.keys() - tasks.keys():
            task = self._last[task_id]
            if not task.state.ended and task.node_id and task.node_id not in in_sight:
                continue
            if not task.state.ended:
                task = replace(task, state=TaskState.SHUTDOWN, message="removed", updated_at=at)
            self._gone[task_id] = task
        self._last = dict(tasks)
        self._gone = {task_id: task for task_id, task in self._gone.items() if task_id not in tasks}
        self._forget()
        by_name = {raw["Spec"]["Name"]: raw for raw in services}
        dead = [task for task in tasks.values() if task.state.ended] + list(self._gone.values())
        dead.sort(key=lambda task: (task.updated_at, task.id), reverse=True)
        alive = (task for task in tasks.values() if not task.state.ended)
        snapshot = Snapshot(
            rack=self._rack,
            seq=0,
            at=at,
            engine="docker",
            nodes=told,
            services=tuple(service_of(name, by_name.get(name)) for name in self._services),
            tasks=tuple(sorted(alive, key=lambda t: (self._services.index(t.service), t.slot, t.id))),
            ended={task.id: task.state for task in dead},
        )
        wanted = frozenset((t.service, t.slot) for t in tasks.values() if not t.desired_state.ended)
        return View(snapshot, tuple(dead), wanted)

    def _forget(self) -> None:
        """Keep the newest few of each slot."""
        seen: Counter[tuple[str, int]] = Counter()
        for task in sorted(self._gone.values(), key=lambda t: (t.updated_at, t.id), reverse=True):
            seen[task.service, task.slot] += 1
            if seen[task.service, task.slot] > KEPT:
                del self._gone[task.id]
