"""How long a service is without a confirmed manager: killed, told to end, and when the preferred one is back.

Beside it stand the two things that bound it: the time for which a lease holds (nobody may take over sooner
without the rack manager's word that its holder has ended), and what a CAS costs on the bare memcached of that
very rack. And what standing for election costs everybody while nothing happens.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from bench import bus
from bench.bus_tap import ELECTION, LEASE
from bench.figures import Figure, at_most, percentile
from bench.memcached import Raw
from bench.rack import RunningRack, rack, wait_until
from bench.trooper_logs import entries, unix
from clawbucket.core.election import Timing
from clawbucket.core.model import Task

SERVICE = "clawbucket_clawbucket"
_A_WHILE = 5.2
"""Seconds; after five the restart policy forgets a slot's failures."""
_SECONDS = 10.0
"""Seconds for which the traffic at rest is counted."""
_ROUND_TRIPS = 500


def measure(kills: int = 20, ends: int = 8, seconds: float = _SECONDS) -> list[Figure]:
    """SIGKILL and SIGTERM, each of the primary service's manager; the ways back; the traffic at rest."""
    with rack("--replicas", "3") as running:
        running.wait_running(6)
        killed, back = _killed(running, kills)
        ended = [takeover(running, settled(running), signal.SIGTERM).seconds for _ in range(ends)]
        round_trips = cas_seconds(running.memcached_port())
    holds, cas = Timing().dead_after, median(round_trips)
    p50 = percentile(killed, 0.50)
    return [
        at_most("manager killed -> next confirmed, p50", p50, "s", 1.0, killed),
        at_most("manager killed -> next confirmed, p99", percentile(killed, 0.99), "s", 2.2, killed),
        at_most("manager told to end -> next confirmed, worst", max(ended), "s", 0.4, ended),
        Figure("preferred one back: given up -> confirmed, p50", percentile(back, 0.50), "s", raw=back),
        Figure("preferred one back: given up -> confirmed, worst", max(back), "s", raw=back),
        Figure("a lease holds unmoved", holds, "s"),
        Figure("killed, p50, as a share of that", p50 / holds, "x", raw=[took / holds for took in killed]),
        Figure(
            "a gets and a cas on a bare socket, the limit", 1000 * cas, "ms",
            raw=[1000 * took for took in round_trips],
        ),
        Figure("killed, p50, in those", p50 / cas, ""),
        *_at_rest(seconds),
    ]  # fmt: skip


def _killed(running: RunningRack, kills: int) -> tuple[list[float], list[float]]:
    """Seconds of each takeover, and of each way back to the preferred one.

    A slot is filled so soon again that its new task may take over before the others: then nobody hands
    anything back. That one is killed too, as young as it is, and now its slot waits (the restart policy),
    another leads meanwhile, and there is a way back; it counts as no takeover.

    The logs are read after each: the rack keeps those of the last few dead only.
    """
    killed: list[float] = []
    back: list[float] = []
    manager = settled(running)
    for _ in range(kills):
        took = takeover(running, manager, signal.SIGKILL)
        killed.append(took.seconds)
        newcomer = settled(running, aged=0.0, other_than=manager)
        ways = list(handed_back(running, took.at))
        if not ways:
            again = takeover(running, newcomer, signal.SIGKILL)
            settled(running, aged=0.0, other_than=newcomer)
            ways = list(handed_back(running, again.at))
        back += ways
        manager = settled(running)
    return killed, back


def handed_back(running: RunningRack, since: float) -> Iterator[float]:
    """Seconds from each leader's giving up, after ``since`` (unix), to the next one's confirmation.

    Who is killed gives nothing up, so each is a way back to the preferred one.
    """
    told = sorted(
        (unix(entry), str(entry["event"]))
        for path in running.logs()
        if SERVICE + "." in path.name
        for entry in entries(path)
        if entry.get("event") in {"leadership ended", "leadership confirmed"}
    )
    gave_up: float | None = None
    for at, event in told:
        if at < since:
            continue
        if event == "leadership ended":
            gave_up = at
        elif gave_up is not None:
            yield at - gave_up
            gave_up = None


def cas_seconds(port: int, times: int = _ROUND_TRIPS) -> list[float]:
    """What each of so many takes on a socket of its own, beside a rack at work."""
    raw, took = Raw(port), []
    raw.set("bench:election", b"x")
    for _ in range(times):
        began = time.perf_counter()
        raw.cas("bench:election", b"x")
        took.append(time.perf_counter() - began)
    raw.close()
    return took


def _at_rest(seconds: float) -> list[Figure]:
    """Commands for the election's sake by each of six replicas: two lead a service each, four follow."""
    with bus.tapped("--replicas", "3", running=6) as (running, made, port):
        seen = bus.rest(running, made, port, seconds)
        leading = {running.pid_of(swarm["manager_task_id"]) for swarm in running.swarms()}
        masters = {process.pid: process.ppid() for process in running.left()}
    rates: dict[bool, list[float]] = {True: [], False: []}
    leases = []
    for pid, tally in seen.tallies.items():
        if seen.kinds[pid] == "fronts":
            leads = pid in leading or masters.get(pid) in leading
            rates[leads].append(sum(tally.commands[what] for what in ELECTION) / seen.seconds)
            leases += [] if leads else [tally.commands[LEASE] / seen.seconds]
    return [
        Figure(
            "at rest: commands of a follower for the election", median(rates[False]), "1/s", raw=rates[False]
        ),
        Figure("at rest: of them for the lease itself", median(leases), "1/s", raw=leases),
        Figure("at rest: commands of a leader for the election", median(rates[True]), "1/s", raw=rates[True]),
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


def settled(running: RunningRack, aged: float = _A_WHILE, other_than: str = "") -> str:
    """The confirmed manager, once the service is whole and slot 1 manages it again, by another task.

    And has run for ``aged`` seconds: a slot whose task ends sooner than after a while waits longer before
    each next start (rack/engines/restart_policy.py), which is right, and not what is measured here.
    """

    def whole() -> str | None:
        tasks = {
            task.id: task for task in running.running(SERVICE)
        }  # a board may be a quarter of a second old
        swarm = running.swarm(SERVICE)
        if {r["id"] for r in swarm["replicas"]} != set(tasks) or len(tasks) != swarm["desired_replicas"]:
            return None
        manager = next((r for r in swarm["replicas"] if r["is_manager"] and r["manager_confirmed"]), None)
        if manager is None or manager["slot"] != 1 or manager["id"] == other_than:
            return None
        if _age(tasks[manager["id"]]) < aged:
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
