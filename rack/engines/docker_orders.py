"""Orders to Swarm: read the object, change one field, write it back as it was read.

Swarm refuses a change of what was changed since it was read ("update out of sequence"). Then it is read
again, a few times.
"""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from typing import Any
from urllib.parse import quote

import structlog

from clawbucket.core.model import TASK_ID_ALPHABET, TASK_ID_LENGTH, TaskState
from clawbucket.ports import Conflict, EngineDown, NodeUnknown, ServiceUnknown, TaskElsewhere, TaskUnknown
from rack.engines import docker_holds
from rack.engines.docker_daemon import NO_SWARM, NOT_A_MANAGER, Daemon, Missing, OutOfSequence
from rack.engines.docker_tasks import Raw
from rack.engines.slots import KEPT_MARKS, resized

log = structlog.get_logger(__name__)

ATTEMPTS = 6
"""Tries at a change that somebody else gets in the way of. Swarm itself writes to a service while it
updates it, so a few in a row are usual."""
_PAUSE = 0.02
"""Seconds before the second try, doubling, half of it by chance."""
RESIZED = "clawbucket.resized"
"""The service's label with the marks of the changes of its count by one, oldest first."""
_LONGEST_LABEL = 4000
"""Characters of it: a service has one specification, which every manager of the swarm keeps."""
ENDING = 5.0
"""Seconds for Swarm to hear that a container has ended which was killed."""
_ASK = 0.05
"""Seconds between two questions whether it has."""
_TASK_ID = re.compile(f"[{TASK_ID_ALPHABET}]{{{TASK_ID_LENGTH}}}")
_ENDED = {state.value for state in TaskState if state.ended}
_STATES = {"locked": "this manager's swarm is locked; type: docker swarm unlock"}

Edit = Callable[[dict[str, Any]], bool]
"""Changes a specification in place; False where there is nothing to change."""


def own_node(daemon: Daemon) -> str:
    """The id of this daemon's node. EngineDown where it manages no swarm."""
    swarm = daemon.get("/info").get("Swarm") or {}
    state = swarm.get("LocalNodeState")
    if state != "active":
        raise EngineDown(_STATES.get(str(state), NO_SWARM))
    if not swarm.get("ControlAvailable"):
        raise EngineDown(NOT_A_MANAGER)
    return str(swarm["NodeID"])


class Hand:
    """Carries out orders on the services shown. Thread-safe. ``closed`` ends its pauses."""

    def __init__(
        self,
        daemon: Daemon,
        services: Sequence[str],
        closed: threading.Event,
        rng: random.Random | None = None,
    ) -> None:
        self._daemon = daemon
        self._services = tuple(services)
        self._closed = closed
        self._rng = rng or random.Random()  # noqa: S311 - it spreads retries

    def known(self, service: str) -> None:
        """Return when the service is one of those shown. ServiceUnknown."""
        if service not in self._services:
            shown = ", ".join(self._services)
            raise ServiceUnknown(f"no service {service[:64]!r} is shown here; there are {shown}")

    def scale(self, service: str, replicas: int) -> int:
        """Make ``replicas`` the desired count; returns what it was."""
        before = 0

        def edit(spec: dict[str, Any]) -> bool:
            nonlocal before
            before = _count(service, spec)
            spec["Mode"]["Replicated"]["Replicas"] = replicas
            return before != replicas

        self._change("services", lambda: self._service(service), edit)
        return before

    def present(self, service: str, mark: str) -> tuple[int, bool]:
        """The service's count, and whether the mark was seen. ServiceUnknown."""
        spec = self._service(service)["Spec"]
        return _count(service, spec), mark in _marks(spec)

    def hold(self, service: str, empty_nodes: Iterable[str]) -> None:
        """Give the service's new tasks no place until ``let_go``, or a ``resize`` of what is held."""
        nodes = sorted(empty_nodes)

        def edit(spec: dict[str, Any]) -> bool:
            before = deepcopy(spec)
            docker_holds.hold(spec, nodes)
            return spec != before

        self._change("services", lambda: self._service(service), edit)

    def let_go(self, service: str) -> None:
        """Place the service's new tasks again as before."""
        self._change("services", lambda: self._service(service), docker_holds.let_go)

    def resize(self, service: str, by: int, mark: str, *, held: bool = False) -> int:
        """Change the count ``by`` one (0: by none) and note the mark, in one update; the count. Conflict.

        ``held``: new tasks are held up, and let go in the same update; Conflict where they are not any more.

        Swarm takes an update for the version that was read and no other. So of two who come with one mark
        the second is refused, reads again, and finds the mark.
        """
        count = 0

        def edit(spec: dict[str, Any]) -> bool:
            nonlocal count
            count, marks = _count(service, spec), _marks(spec)
            if mark in marks:
                return False
            if held and not docker_holds.let_go(spec):
                raise Conflict(f"somebody changed service {service} meanwhile; it stays as large as it is")
            if by:
                count = resized(service, count, by)
            spec["Mode"]["Replicated"]["Replicas"] = count
            spec["Labels"] = {**(spec.get("Labels") or {}), RESIZED: _label([*marks, mark])}
            return True

        self._change("services", lambda: self._service(service), edit)
        return count

    def vacate(self, task_ids: Iterable[str], leaving: str) -> None:
        """SIGKILL to those of the tasks that are on this node; returns when Swarm knows that none runs.

        TaskElsewhere where ``leaving``, which comes first, runs on another node. Another that does is let be.
        """
        here = []
        for task_id in sorted(task_ids, key=lambda one: one != leaving):
            try:
                self.kill(task_id)
            except TaskUnknown:
                log.debug("there is nothing to kill", task_id=task_id)
            except TaskElsewhere:
                if task_id == leaving:
                    raise
                continue
            here.append(task_id)
        for _ in range(round(ENDING / _ASK)):
            # One task by its id is no request for a list.
            here = [task_id for task_id in here if self._runs(task_id)]
            if not here:
                return
            self._closed.wait(_ASK)
        raise EngineDown(
            f"task {here[0]} was killed, and Swarm says after {ENDING:g} s that it runs; ask again"
        )

    def restart(self, service: str) -> None:
        """Have Swarm replace every task: a new value of ``ForceUpdate`` is a change like any other."""

        def edit(spec: dict[str, Any]) -> bool:
            template = spec["TaskTemplate"]
            template["ForceUpdate"] = int(template.get("ForceUpdate") or 0) + 1
            return True

        self._change("services", lambda: self._service(service), edit)

    def set_availability(self, node_id: str, availability: str) -> None:
        """``active`` or ``drain``, for a node's id or host name. NodeUnknown; Conflict for another word."""
        if availability not in {"active", "drain"}:
            raise Conflict(f"a node's availability is active or drain, not {availability[:32]!r}")

        def edit(spec: dict[str, Any]) -> bool:
            unlike: bool = spec.get("Availability") != availability
            spec["Availability"] = availability
            return unlike

        self._change("nodes", lambda: self._node(node_id), edit)

    def kill(self, task_id: str) -> None:
        """SIGKILL to the task's container, where it is on this daemon's node. TaskUnknown, TaskElsewhere."""
        raw = self._read(f"/tasks/{task_id}") if _TASK_ID.fullmatch(task_id) else {}
        if raw.get("ID") != task_id or not self._is_shown(raw.get("ServiceID", "")):
            raise TaskUnknown(f"no task {task_id[:64]!r} runs here")
        status = raw.get("Status") or {}
        if status.get("State") in _ENDED:
            raise TaskUnknown(f"task {task_id} has ended already: it is {status['State']}")
        if raw.get("NodeID") and raw["NodeID"] != own_node(self._daemon):
            raise TaskElsewhere(f"task {task_id} runs on another node, beyond this rack manager's reach")
        container = (status.get("ContainerStatus") or {}).get("ContainerID")
        if not container:
            raise TaskUnknown(f"task {task_id} has no process yet; there is nothing to kill")
        try:
            self._daemon.post(f"/containers/{container}/kill", {"signal": "SIGKILL"})
        except (Missing, Conflict):
            raise TaskUnknown(f"task {task_id} has ended already") from None

    def _change(self, kind: str, read: Callable[[], Raw], edit: Edit) -> None:
        pause = _PAUSE
        for attempt in range(1, ATTEMPTS + 1):
            raw = read()
            spec = deepcopy(dict(raw["Spec"]))
            if not edit(spec):
                return
            version = {"version": str(raw["Version"]["Index"])}
            try:
                self._daemon.post(f"/{kind}/{raw['ID']}/update", version, spec)
            except OutOfSequence:
                log.debug("somebody else changed it meanwhile", kind=kind, id=raw["ID"], attempt=attempt)
                self._closed.wait(pause * self._rng.uniform(0.5, 1.0))
                pause *= 2
            else:
                return
        raise EngineDown(f"others keep changing this at the same time ({ATTEMPTS} attempts); ask again")

    def _runs(self, task_id: str) -> bool:
        status = self._read(f"/tasks/{task_id}").get("Status") or {}
        return bool(status.get("State") == TaskState.RUNNING)

    def _read(self, path: str) -> Raw:
        try:
            found: Raw = self._daemon.get(path)
        except Missing:
            return {}
        return found

    def _service(self, service: str) -> Raw:
        self.known(service)
        raw = self._read(f"/services/{quote(service, safe='')}")
        if not raw or raw["Spec"]["Name"] != service:
            raise ServiceUnknown(f"no service {service} runs in this swarm; type: ./claw swarm up")
        return raw

    def _node(self, node_id: str) -> Raw:
        raw = self._read(f"/nodes/{quote(node_id, safe='')}") if node_id else {}
        # Docker also takes the beginning of an id.
        if not node_id or node_id not in {raw.get("ID"), (raw.get("Description") or {}).get("Hostname")}:
            raise NodeUnknown(f"no node {node_id[:64]!r} in this swarm; type: docker node ls")
        return raw

    def _is_shown(self, service_id: str) -> bool:
        raw = self._read(f"/services/{quote(service_id, safe='')}") if service_id else {}
        return raw.get("ID") == service_id and raw["Spec"]["Name"] in self._services


def _count(service: str, spec: Raw) -> int:
    """How many replicas the specification asks for."""
    mode = spec["Mode"].get("Replicated")
    if mode is None:
        raise ServiceUnknown(f"service {service} is not in replicated mode, so it cannot be scaled")
    return int(mode.get("Replicas") or 0)


def _marks(spec: Raw) -> list[str]:
    """The marks in the specification, oldest first."""
    label = (spec.get("Labels") or {}).get(RESIZED, "")
    return label.split(",") if label else []


def _label(marks: Sequence[str]) -> str:
    """The newest of the marks, as many as are kept and fit."""
    label = ",".join(marks[-KEPT_MARKS:])
    return label if len(label) <= _LONGEST_LABEL else label[-_LONGEST_LABEL:].partition(",")[2]
