"""Whether a rack that was started does what it is for: all replicas run, and its ports answer."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from clawbucket.cli.http_get import get
from clawbucket.core.model import Task, TaskState

_ANSWER = 1.0
"""Seconds that a program on this machine may take; it is asked again at the next look."""
_TASK = {spec.name for spec in fields(Task)}

Get = Callable[[str, float, str | None], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Progress:
    """``running`` of ``wanted`` replicas, and in words what is still waited for (empty: nothing)."""

    running: int
    wanted: int
    waits_for: str


class Readiness:
    """Asks the rack manager first, then what is behind ``ports`` (name to URL) for /readyz.

    The order matters: the launcher itself holds the listening sockets of the latter, so one that is
    not up yet does not refuse but keeps the caller waiting.
    """

    def __init__(
        self,
        rack_url: str,
        token: str,
        services: Mapping[str, int],
        ports: Mapping[str, str],
        ask: Get = get,
    ) -> None:
        self._rack_url = rack_url
        self._token = token
        self._services = services
        self._ports = ports
        self._ask = ask

    def look(self) -> Progress:
        """One look; over within a second or two."""
        wanted = sum(self._services.values())
        try:
            status, body = self._ask(f"{self._rack_url}/v1/snapshot?after=0&wait=0", _ANSWER, self._token)
        except OSError:
            return Progress(0, wanted, "the rack manager")
        if status != 200:
            return Progress(0, wanted, f"the rack manager (it answers {status})")
        found = Counter(task.service for task in tasks_in(body) if task.running)
        running = sum(min(found[name], count) for name, count in self._services.items())
        if running < wanted:
            return Progress(running, wanted, f"{wanted - running} of {wanted} troopers")
        for name, url in self._ports.items():
            if not is_ready(url, self._ask):
                return Progress(running, wanted, f"the {name}")
        return Progress(running, wanted, "")


def is_ready(url: str, ask: Get = get) -> bool:
    """Whether the program there says that it and all it needs are well."""
    try:
        return ask(f"{url}/readyz", _ANSWER, None)[0] == 200
    except OSError:
        return False


def tasks_in(body: bytes) -> list[Task]:
    """The tasks of a snapshot as the rack manager's API sends it; what cannot be understood is none.

    The launcher's own reading: rack/client.py checks every field, and takes longer to import than the
    rack takes to answer.
    """
    try:
        told: list[dict[str, Any]] = json.loads(body)["tasks"]
        return [
            Task(**{
                **{name: value for name, value in task.items() if name in _TASK},
                "state": TaskState(task["state"]),
                "desired_state": TaskState(task["desired_state"]),
            })
            for task in told
        ]  # fmt: skip
    except (ValueError, LookupError, TypeError, AttributeError):
        return []
