"""One rack of real processes, and one thing after another killed: the rest goes on, the dead one returns."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from bench.election import settled
from bench.rack import RunningRack, wait_until
from clawbucket import codecs, keys
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.codecs import Gate
from tests.cluster.conftest import SECOND, SERVICE

WHOLE = 6


def whole(running: RunningRack, *, without: str = "") -> set[str]:
    """Wait until every slot is filled by a running task other than ``without``; their ids."""

    def filled() -> set[str] | None:
        now = ids(running)
        return now if len(now) == WHOLE and without not in now else None

    return wait_until("every slot is filled", filled, timeout=30.0)


pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def ids(running: RunningRack, service: str | None = None) -> set[str]:
    """The running tasks' ids."""
    return {task.id for task in running.running(service)}


def pids(running: RunningRack) -> dict[str, int]:
    """Each running task's main process."""
    return {task.id: running.pid_of(task.id) for task in running.running()}


def test_scaling_up_and_down_keeps_the_lower_slots(running):
    """3 -> 6 -> 2: new slots are filled, the highest go first, and those that stay are untouched."""
    before = [task.id for task in running.running(SECOND)]
    status, body = running.ask("POST", "/api/scale", {"service": "clawbucket-b", "replicas": 6})
    assert (status, body["desired_replicas"], body["status"]) == (202, 6, "scaling")
    wait_until("six run", lambda: len(running.running(SECOND)) == 6)
    assert [task.id for task in running.running(SECOND)][:3] == before
    assert [task.slot for task in running.running(SECOND)] == [1, 2, 3, 4, 5, 6]
    running.ask("POST", "/api/scale", {"service": SECOND, "replicas": 2})
    wait_until("two run", lambda: [task.id for task in running.running(SECOND)] == before[:2])
    running.ask("POST", "/api/scale", {"service": SECOND, "replicas": 3})
    whole(running)


def test_a_killed_replica_is_replaced_within_a_second(running):
    """Its slot is filled by a new task; the other tasks are the same as before; the dead one is kept."""
    settled(running)
    victim = running.running(SERVICE)[-1]
    others = ids(running) - {victim.id}
    running.signal_task(victim.id, signal.SIGKILL)
    at = time.monotonic()
    wait_until(
        "another task fills the slot",
        lambda: any(
            t.slot == victim.slot and t.id != victim.id for t in running.snapshot().tasks_of(SERVICE)
        ),
    )
    assert time.monotonic() - at < 1.0
    assert others < whole(running, without=victim.id)
    kept = running.client.history(SERVICE)
    assert victim.id in {task.id for task in kept}


def test_a_killed_manager_is_followed_by_another(running):
    """The next in order is confirmed, in a higher epoch, before the slot is filled again."""
    manager = settled(running)
    before = running.swarm(SERVICE)["manager_epoch"]
    running.signal_task(manager, signal.SIGKILL)

    def another() -> bool:
        swarm = running.swarm(SERVICE)
        return bool(swarm["manager_confirmed"] and swarm["manager_epoch"] > before)

    wait_until("another manages", another, timeout=5.0)
    settled(running)


def test_a_killed_rack_manager_adopts_what_runs(running):
    """It comes back, doubles none and orphans none: the same tasks in the same processes."""
    settled(running)
    before, old = pids(running), running.pid_of_program("rack")
    os.kill(old, signal.SIGKILL)
    wait_until("the rack manager is back", lambda: running.pid_of_program("rack") != old)
    wait_until("it knows the tasks again", lambda: pids(running) == before)
    assert running.ask("GET", "/api/swarms")[0] == 200
    victim = running.running(SERVICE)[-1]
    running.signal_task(victim.id, signal.SIGKILL)
    whole(running, without=victim.id)
    tasks = [p.environ()["TASK_ID"] for p in running.left() if _leads_a_task(p)]
    assert sorted(tasks) == sorted(ids(running))


def _leads_a_task(process: psutil.Process) -> bool:
    try:
        return bool(process.environ().get("TASK_ID")) and os.getpgid(process.pid) == process.pid
    except (psutil.Error, OSError):
        return False


@pytest.mark.parametrize("program", ["gateway", "aggregator"])
def test_a_killed_program_returns_on_its_port(running, program):
    """The replicas are the same as before, and the address is the same."""
    before, old = ids(running), running.pid_of_program(program)
    os.kill(old, signal.SIGKILL)
    wait_until(f"the {program} is back", lambda: running.pid_of_program(program) != old)
    wait_until("it answers", lambda: running.answers(program))
    assert ids(running) == before


def test_a_self_destruct_is_answered_whichever_replica_takes_it(running):
    """Twelve orders through the gateway, some of which reach their own target: each is answered 202."""
    settled(running)
    for turn in range(12):
        victim = running.running(SECOND)[turn % 3]
        status, body = running.ask("POST", "/api/self_destruct", {"service": SECOND, "task_id": victim.id})
        assert (status, body.get("removed_task_id")) == (202, victim.id), body
        whole(running, without=victim.id)


def test_a_request_in_flight_outlives_its_replica(running):
    """GETs through the gateway go on without an error while a replica is killed."""
    settled(running)
    victim = running.running(SERVICE)[-1]
    statuses = []
    deadline = time.monotonic() + 3.0
    running.signal_task(victim.id, signal.SIGKILL)
    while time.monotonic() < deadline:
        statuses.append(running.ask("GET", "/api/whoami")[0])
    assert set(statuses) == {200}
    whole(running, without=victim.id)


def test_a_wiped_memcached_loses_nothing(running):
    """Killed and started empty: scores, managers and ARM state are as before within 12 s."""
    settled(running)
    armed = running.running(SECOND)[0].id
    running.ask("POST", "/api/rps/config", {"interval_seconds": 120})
    assert running.ask("POST", "/api/arm", {"task_id": armed, "state": "on"})[0] == 201
    running.ask("POST", "/api/chat", {"text": "remember me"})

    def round_scored_by_all() -> bool:
        rounds = {r["round"] for r in running.replicas()}
        return len(rounds) == 1

    wait_until("everybody is in the same round", round_scored_by_all)
    before = _truth(running)
    os.kill(running.pid_of_program("memcached"), signal.SIGKILL)
    wait_until("the bus is back and everything with it", lambda: _truth(running) == before, timeout=12.0)
    texts = [m["text"] for m in running.ask("GET", "/api/chat")[1]["messages"]]
    assert "remember me" in texts
    running.ask("POST", "/api/rps/config", {"interval_seconds": 10})


def _truth(running: RunningRack) -> dict[str, tuple[int, int, bool, bool, str]]:
    """What must survive: score, round, manager, confirmed, ARM state of each replica."""
    status, body = running.ask("GET", "/api/swarms")
    if status != 200 or body.get("stale_seconds") is not None:
        return {}
    return {
        r["id"]: (r["score"], r["round"], r["is_manager"], r["manager_confirmed"], r["arm"])
        for swarm in body["swarms"] for r in swarm["replicas"]
    }  # fmt: skip


def _manager(running: RunningRack, former: str) -> str | None:
    """The service's confirmed manager, if it is not the former one."""
    swarm = running.swarm(SERVICE)
    who = next((r["id"] for r in swarm["replicas"] if r["is_manager"] and r["manager_confirmed"]), None)
    return str(who) if who not in {None, former} else None


def test_a_stopped_manager_is_fenced_out(running):
    """SIGSTOP for 5 s: another takes over; after SIGCONT the old one writes nothing that survives."""
    old = settled(running)
    running.signal_task(old, signal.SIGSTOP)
    try:
        heir = wait_until("another manages", lambda: _manager(running, old))
        epoch = running.swarm(SERVICE)["manager_epoch"]
        pause = time.monotonic() + 3.0
        wait_until("five seconds are over", lambda: time.monotonic() > pause)
    finally:
        running.signal_task(old, signal.SIGCONT)
    epochs = _fenced_epochs(running, seconds=2.0)
    assert heir != old
    for seen in epochs:
        assert min(seen) >= epoch
        assert seen == sorted(seen)
    settled(running)


def _fenced_epochs(running: RunningRack, seconds: float) -> tuple[list[int], list[int]]:
    """The epochs under the lease and under the running round, read from the bus itself again and again."""
    bus, gate = MemcachedBus("127.0.0.1", running.memcached_port()), Gate(SystemClock())
    lease_key, throw_key = keys.LEADER.of(SERVICE), keys.RPS_STATE.of()
    leases: list[int] = []
    throws: list[int] = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        lease = gate.read(codecs.LEASE, lease_key, bus.get(lease_key))
        throw = gate.read(codecs.THROW, throw_key, bus.get(throw_key))
        leases += [lease.epoch] if lease else []
        throws += [throw.epoch] if throw else []
    bus.close()
    return leases, throws
