"""How long a service is without a confirmed manager when the manager is killed, or told to end."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import datetime

from bench.figures import Figure, at_most, percentile
from bench.rack import RunningRack, rack, wait_until

SERVICE = "clawbucket_clawbucket"


def measure(kills: int = 20, ends: int = 10) -> list[Figure]:
    """The figures for SIGKILL and for SIGTERM, each of the primary service's manager."""
    with rack("--replicas", "3") as running:
        running.wait_running(6)
        killed = [takeover(running, signal.SIGKILL) for _ in range(kills)]
        ended = [takeover(running, signal.SIGTERM) for _ in range(ends)]
    return [
        at_most("manager killed -> next confirmed, p50", percentile(killed, 0.50), "s", 1.0, killed),
        at_most("manager killed -> next confirmed, p99", percentile(killed, 0.99), "s", 2.2, killed),
        at_most("manager told to end -> next confirmed, worst", max(ended), "s", 0.4, ended),
    ]


def takeover(running: RunningRack, number: signal.Signals) -> float:
    """Seconds from the signal to the next manager's own word that it is confirmed."""
    manager = settled(running)
    pid = running.pid_of(manager)
    at = time.time()
    if number is signal.SIGKILL:
        os.killpg(pid, number)
    else:
        os.kill(pid, number)
    return wait_until("the next manager is confirmed", lambda: _confirmed_after(running, manager, at)) - at


def settled(running: RunningRack) -> str:
    """The confirmed manager, once the service is whole and slot 1 manages it again."""

    def whole() -> str | None:
        swarm = running.swarm(SERVICE)
        if swarm["running_count"] != swarm["desired_replicas"]:
            return None
        managers = [r for r in swarm["replicas"] if r["is_manager"] and r["manager_confirmed"]]
        return managers[0]["id"] if managers and managers[0]["slot"] == 1 else None

    return str(wait_until("slot 1 manages the whole service", whole, timeout=40.0))


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
