"""How long a service is without a confirmed manager when the manager is killed, or told to end."""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import dataclass
from datetime import datetime

from bench.figures import Figure, at_most, percentile
from bench.rack import RunningRack, rack, wait_until
from clawbucket.core.model import Task

SERVICE = "clawbucket_clawbucket"
_A_WHILE = 5.2
"""Seconds; after five the restart policy forgets a slot's failures."""


def measure(kills: int = 20, ends: int = 8) -> list[Figure]:
    """The figures for SIGKILL and for SIGTERM, each of the primary service's manager."""
    with rack("--replicas", "3") as running:
        running.wait_running(6)
        killed = [takeover(running, settled(running), signal.SIGKILL).seconds for _ in range(kills)]
        ended = [takeover(running, settled(running), signal.SIGTERM).seconds for _ in range(ends)]
    return [
        at_most("manager killed -> next confirmed, p50", percentile(killed, 0.50), "s", 1.0, killed),
        at_most("manager killed -> next confirmed, p99", percentile(killed, 0.99), "s", 2.2, killed),
        at_most("manager told to end -> next confirmed, worst", max(ended), "s", 0.4, ended),
    ]


@dataclass(frozen=True, slots=True)
class Takeover:
    """The manager was signalled ``at`` (unix seconds); ``seconds`` later another was confirmed."""

    at: float
    seconds: float


def takeover(running: RunningRack, manager: str, number: signal.Signals) -> Takeover:
    """Signal the manager, and wait for the next one's own word."""
    pid = running.pid_of(manager)
    at = time.time()
    if number is signal.SIGKILL:
        os.killpg(pid, number)
    else:
        os.kill(pid, number)
    next_at = wait_until("the next manager is confirmed", lambda: _confirmed_after(running, manager, at))
    return Takeover(at, next_at - at)


def settled(running: RunningRack) -> str:
    """The confirmed manager, once the service is whole and slot 1 manages it again.

    And has run for a while: a slot whose task ends sooner waits longer before each next start
    (rack/engines/restart_policy.py), which is right, and not what is measured here.
    """

    def whole() -> str | None:
        tasks = {
            task.id: task for task in running.running(SERVICE)
        }  # a board may be a quarter of a second old
        swarm = running.swarm(SERVICE)
        if {r["id"] for r in swarm["replicas"]} != set(tasks) or len(tasks) != swarm["desired_replicas"]:
            return None
        manager = next((r for r in swarm["replicas"] if r["is_manager"] and r["manager_confirmed"]), None)
        if manager is None or manager["slot"] != 1 or _age(tasks[manager["id"]]) < _A_WHILE:
            return None
        return str(manager["id"])

    return str(wait_until("slot 1 manages the whole service", whole, timeout=40.0))


def _age(task: Task) -> float:
    """Seconds since the task came to run."""
    return time.time() - datetime.fromisoformat(task.updated_at).timestamp()


def _confirmed_after(running: RunningRack, manager: str, at: float) -> float | None:
    """When another task logged that it leads, if one did after ``at`` (unix seconds)."""
    for path in running.logs():
        if manager in path.name or SERVICE + "." not in path.name:
            continue
        for line in path.read_text(errors="replace").splitlines():
            if '"leadership confirmed"' not in line:
                continue
            when = datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
            if when > at:
                return when
    return None
