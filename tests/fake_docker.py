"""A Docker manager in memory, in the place of the way to one: for what real ones rarely do."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from clawbucket.ports import ClawError, EngineDown
from rack.engines.docker_daemon import Missing, OutOfSequence, Quiet

SERVICES = ("clawbucket_clawbucket", "clawbucket_clawbucket-b")
HERE, FAR = "here".ljust(25, "0"), "far".ljust(25, "0")
LISTS = {"/tasks": "tasks", "/services": "services", "/nodes": "nodes"}


def id_of(service: str, slot: int, life: int = 0) -> str:
    """The id of the fake's task; ``life`` counts the replacements in its slot."""
    return f"{'b' if service.endswith('-b') else 'a'}{slot}{'r' * life}".ljust(25, "0")


class FakeStream:
    """Events as a test puts them; None is the stream's end, an exception is raised."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[Mapping[str, Any] | Exception | None] = queue.SimpleQueue()
        self.closed = False

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        while (event := self.events.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    def close(self) -> None:
        """Let the reader go."""
        self.closed = True
        self.events.put(None)


class FakeDocker:
    """Two services of two tasks, one on each of two nodes. Its tasks run as soon as they are wanted.

    The replacement of one that ended waits for ever, as with a long restart delay, unless ``hasty``.
    ``stubborn``: it places tasks whatever their placement says. ``deaf``: it does not hear that a container
    ended which was killed. ``fails`` is raised by what it names: "get", "post", "events". ``overtaken``
    changes are refused as out of sequence. ``lists`` has the time of each request for a list, ``posts`` what
    was changed.
    """

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.swarm = {"LocalNodeState": "active", "ControlAvailable": True, "NodeID": HERE}
        self.fails: dict[str, ClawError] = {}
        self.overtaken = 0
        self.hasty = self.deaf = self.stubborn = False
        self.lists: list[tuple[float, str]] = []
        self.posts: list[tuple[str, Mapping[str, str]]] = []
        self.streams: list[FakeStream] = []
        self.opened = threading.Semaphore(0)
        self.closed = False
        self.nodes: list[dict[str, Any]] = [
            {
                "ID": node_id, "Version": {"Index": 1}, "Spec": {"Availability": "active", "Role": role},
                "Description": {"Hostname": name}, "Status": {"State": "ready"}, **more,
            }
            for node_id, name, role, more in (
                (HERE, "node-1", "manager", {"ManagerStatus": {"Leader": True}}),
                (FAR, "node-2", "worker", {}),
            )
        ]  # fmt: skip
        self.services: list[dict[str, Any]] = [
            {
                "ID": f"service{number}", "Version": {"Index": 10},
                "Spec": {
                    "Name": name, "Mode": {"Replicated": {"Replicas": 2}},
                    "TaskTemplate": {"ContainerSpec": {"Image": "i"}, "FieldOfTomorrow": [1]},
                },
            }
            for number, name in enumerate(SERVICES)
        ]  # fmt: skip
        self.tasks: list[dict[str, Any]] = []
        for service in self.services:
            for slot in (1, 2):
                self.run(service, slot)

    def run(self, service: Mapping[str, Any], slot: int, node: str = "", state: str = "running") -> None:
        """A task in the slot; without a node, and pending, where the service's placement has none for it."""
        before = [t for t in self.tasks if (t["ServiceID"], t["Slot"]) == (service["ID"], slot)]
        task_id = id_of(service["Spec"]["Name"], slot, len(before))
        node = node or (HERE if slot % 2 else FAR)
        if not self._fits(service, node):
            node, state = "", "pending"
        container = {"ContainerStatus": {"ContainerID": f"container-{task_id}"}} if state == "running" else {}
        self.tasks.append({
            "ID": task_id, "ServiceID": service["ID"], "Slot": slot, "NodeID": node,
            "DesiredState": "running" if state == "pending" else state, "UpdatedAt": "2026-11-21T10:00:01Z",
            "Status": {"State": state, **container},
        })  # fmt: skip

    def _fits(self, service: Mapping[str, Any], node: str) -> bool:
        placement = service["Spec"]["TaskTemplate"].get("Placement") or {}
        there = sum(task["NodeID"] == node for task in self._live(service))
        excluded = f"node.id!={node}" in (placement.get("Constraints") or ())
        return self.stubborn or (not excluded and there < (placement.get("MaxReplicas") or 99))

    def _live(self, service: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [
            task
            for task in self.tasks
            if task["ServiceID"] == service["ID"] and task["DesiredState"] in {"ready", "running"}
        ]

    def end(self, task_id: str) -> None:
        """The task's container ends by itself, and the slot gets its next task."""
        task = self.task(task_id)
        task["Status"]["State"], task["DesiredState"] = "failed", "shutdown"
        service = next(one for one in self.services if one["ID"] == task["ServiceID"])
        self.run(service, task["Slot"], task["NodeID"], "running" if self.hasty else "ready")

    def task(self, task_id: str) -> dict[str, Any]:
        """The task of that id, to be changed."""
        return next(task for task in self.tasks if task["ID"] == task_id)

    def tell(self, kind: str, **attributes: str) -> None:
        """An event on the newest stream."""
        self.streams[-1].events.put({"Type": kind, "Action": "update", "Actor": {"Attributes": attributes}})

    # Daemon ------------------------------------------------------------------------------------------

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:  # noqa: ARG002
        """What is asked for."""
        with self.guard:
            self._fail("get")
            if path in LISTS:
                self.lists.append((time.monotonic(), path))
                return deepcopy(getattr(self, LISTS[path]))
            if path == "/info":
                return {"Swarm": dict(self.swarm)}
            _, kind, name = path.split("/")
            for one in getattr(self, kind):
                names = {
                    one["ID"],
                    one.get("Spec", {}).get("Name"),
                    one.get("Description", {}).get("Hostname"),
                }
                if name in names or one["ID"].startswith(name):
                    return deepcopy(one)
            raise Missing(f"{path} not found")

    def post(self, path: str, params: Mapping[str, str], body: Any = None) -> None:
        """What is changed."""
        with self.guard:
            self._fail("post")
            self.posts.append((path, dict(params)))
            _, kind, name, _ = path.split("/")
            if kind == "containers":
                if not self.deaf:
                    self.end(name.removeprefix("container-"))
                return
            one = next(one for one in getattr(self, kind) if one["ID"] == name)
            if self.overtaken > 0:
                self.overtaken -= 1
                one["Version"]["Index"] += 1
            if int(params["version"]) != one["Version"]["Index"]:
                raise OutOfSequence("rpc error: code = Unknown desc = update out of sequence")
            one["Version"]["Index"] += 1
            one["Spec"] = deepcopy(body)
            if kind == "services":
                self._reconcile(one)

    def events(self, filters: Mapping[str, list[str]]) -> FakeStream:  # noqa: ARG002
        """A stream that a test feeds."""
        with self.guard:
            self._fail("events")
            self.streams.append(FakeStream())
            self.opened.release()
            return self.streams[-1]

    def close(self) -> None:
        """Remember it."""
        self.closed = True

    def _fail(self, what: str) -> None:
        if what in self.fails:
            raise self.fails[what]

    def _reconcile(self, service: Mapping[str, Any]) -> None:
        """Swarmkit's order: what runs before what does not, then the n-th of each node; the last go.

        Slots with no node or with two tasks go before all of those. A task whose node does not fit any more
        is updated, the new one first.
        """
        constraints = (service["Spec"]["TaskTemplate"].get("Placement") or {}).get("Constraints") or ()
        for task in self._live(service):
            if f"node.id!={task['NodeID']}" in constraints and not self.stubborn:
                self.run(service, task["Slot"], task["NodeID"], "ready")
        wanted = service["Spec"]["Mode"]["Replicated"]["Replicas"]
        by_slot: dict[int, list[dict[str, Any]]] = {}
        for task in sorted(self._live(service), key=lambda t: (t["Status"]["State"] != "running", t["Slot"])):
            by_slot.setdefault(task["Slot"], []).append(task)
        nth: Counter[str] = Counter()
        places = []
        for tasks in by_slot.values():
            node = tasks[0]["NodeID"] if len(tasks) == 1 else ""
            nth[node] += 1
            places.append((not node, nth[node], tasks))
        places.sort(key=lambda place: place[:2])
        for *_, tasks in places[wanted:]:
            for task in tasks:
                task["DesiredState"] = "remove"
        free = set(range(1, wanted + 1)) - by_slot.keys()
        for slot in sorted(free)[: max(0, wanted - len(by_slot))]:
            self.run(service, slot)
        for task in self._live(service):  # one that waited for a place has one again, if it is needed
            if not task["NodeID"] and self._fits(service, HERE):
                if len(by_slot[task["Slot"]]) > 1:
                    task["DesiredState"] = "remove"
                else:
                    task["NodeID"], task["Status"]["State"] = HERE, "running"


BROKEN = EngineDown("Docker broke off its events")
QUIET = Quiet()
