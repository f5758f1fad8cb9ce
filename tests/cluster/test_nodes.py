"""Two nodes: what the rack manager has no hand on is reached by an order on the bus."""

from __future__ import annotations

import pytest
import urllib3

from bench.rack import rack, wait_until
from clawbucket import codecs
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.codecs import Gate
from clawbucket.core.records import Ack
from clawbucket.journal import Journal
from clawbucket.ports import TaskElsewhere
from tests.cluster.conftest import SERVICE


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_task_on_another_node_is_ended_by_an_order():
    """The rack manager cannot reach it; self-destruct ends it all the same, and the order is acknowledged."""
    with rack("--replicas", "3", "--nodes", "2") as running:
        running.wait_running(6)
        snapshot = running.snapshot()
        far = next(t for t in snapshot.tasks_of(SERVICE) if t.node_id != snapshot.leader_node_id)
        with pytest.raises(TaskElsewhere):
            running.client.kill(far.id)
        bus, clock = MemcachedBus("127.0.0.1", running.memcached_port()), SystemClock()
        near = next(t for t in snapshot.tasks_of(SERVICE) if t.node_id == snapshot.leader_node_id)
        wanted = {"service": SERVICE, "task_id": far.id}
        answer = urllib3.request("POST", f"http://{near.address}/api/self_destruct", json=wanted, timeout=5.0)
        assert (answer.status, answer.json()["status"]) == (202, "self-destruct-triggered")
        wait_until("another task fills the slot", lambda: far.id not in {t.id for t in running.running()})
        acks = Journal[Ack](bus, Gate(clock), clock, codecs.ACKS, far.id).read()
        bus.close()
        assert [(ack.kind, ack.result) for ack in acks] == [("self_destruct", "applied")]
        wait_until("all slots are filled", lambda: len(running.running()) == 6)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_manager_is_on_the_swarm_leaders_node():
    """With its slots spread over two nodes, a service is managed from the leader's node."""
    with rack("--replicas", "3", "--nodes", "2") as running:
        running.wait_running(6)
        snapshot = running.snapshot()

        def confirmed() -> str | None:
            managers = [
                r for r in running.swarm(SERVICE)["replicas"] if r["is_manager"] and r["manager_confirmed"]
            ]
            return str(managers[0]["node_id"]) if managers else None

        assert wait_until("a manager is confirmed", confirmed) == snapshot.leader_node_id
