"""Two hundred troopers of the sim engine: they do what troopers do, and outlive managers and nodes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from bench.rack import RunningRack, rack, wait_until
from clawbucket import codecs, keys
from clawbucket.bus.memcached import MemcachedBus
from tests.cluster.conftest import SERVICE

pytestmark = pytest.mark.slow

COUNT = 200


@pytest.fixture(scope="module")
def running() -> Iterator[RunningRack]:
    """Two hundred on three nodes, which leave nothing behind."""
    options = ("--engine", "sim", "--services", SERVICE, "--replicas", str(COUNT), "--nodes", "3")
    with rack(*options) as started:
        started.wait_running(COUNT, timeout=40.0)
        yield started
    assert started.left() == []


@pytest.fixture
def bus(running: RunningRack) -> Iterator[MemcachedBus]:
    """The rack's memcached."""
    made = MemcachedBus("127.0.0.1", running.memcached_port())
    yield made
    made.close()


def leader(bus: MemcachedBus) -> str | None:
    """Who holds the lease and has stamped the round with its epoch."""
    raw, throw = bus.get(keys.LEADER.of(SERVICE)), bus.get(keys.RPS_STATE.of())
    if raw is None or throw is None:
        return None
    lease = codecs.LEASE.decode(raw)
    confirmed = codecs.THROW.decode(throw).epoch == lease.epoch
    return lease.task_id if confirmed and not lease.released else None


def other(bus: MemcachedBus, than: set[str]) -> str | None:
    """Who leads, if it is none of those."""
    who = leader(bus)
    return None if who in than else who


def test_every_trooper_scores_and_is_shown(running: RunningRack, bus: MemcachedBus):
    """The page's API shows all of them alive on three nodes, at the same round; one front serves it."""

    def played() -> bool:
        replicas = running.swarm(SERVICE)["replicas"]
        rounds = {replica["round"] for replica in replicas}
        alive = all(replica["freshness"] == "alive" for replica in replicas)
        return len(replicas) == COUNT and alive and rounds == {max(rounds)} and 0 not in rounds

    wait_until("all two hundred have scored the same round", played, timeout=25.0, every=0.25)
    snapshot = running.snapshot()
    assert [task.slot for task in snapshot.tasks if task.address is not None] == [1]
    assert {task.node_id for task in snapshot.tasks} == {node.id for node in snapshot.nodes}
    scored = bus.get_many([keys.LAST_SEEN.of(task.id) for task in snapshot.tasks])
    assert len(scored) >= COUNT - 1


def test_a_killed_manager_is_replaced(running: RunningRack, bus: MemcachedBus):
    """Another is confirmed within the failover's bound, packed as it is; slot 1 leads again in the end."""
    first = wait_until("somebody leads", lambda: leader(bus))
    running.client.kill(first)
    second = wait_until("another leads", lambda: other(bus, {first}), timeout=2.2)
    running.client.kill(second)
    wait_until("a third leads", lambda: other(bus, {first, second}), timeout=2.2)

    def whole() -> bool:
        tasks = running.running(SERVICE)
        return len(tasks) == COUNT and leader(bus) == tasks[0].id

    wait_until("slot 1 leads the whole service", whole, timeout=15.0, every=0.25)


def test_a_lost_node_moves_its_troopers(running: RunningRack):
    """SIGKILL to a node's worker: it is down, all run elsewhere, and nobody else was touched."""
    before = running.snapshot()
    lost = next(node for node in before.nodes if not node.leader)
    worker = next(
        process.pid
        for process in running.left()
        if "rack.packed" in process.cmdline() and process.environ().get("SWARM_NODE") == lost.hostname
    )
    os.kill(worker, signal.SIGKILL)

    def moved() -> bool:
        said = running.snapshot()
        down = any(node.id == lost.id and node.state == "down" for node in said.nodes)
        running_now = [task for task in said.tasks if task.running]
        return down and len(running_now) == COUNT and all(task.node_id != lost.id for task in running_now)

    wait_until("all run on the other two nodes", moved, timeout=10.0)
    stayed = {task.id for task in before.tasks if task.node_id != lost.id}
    assert stayed <= {task.id for task in running.snapshot().tasks}
    wait_until("the node is back", lambda: all(n.state == "ready" for n in running.snapshot().nodes))
    assert not psutil.pid_exists(worker)
