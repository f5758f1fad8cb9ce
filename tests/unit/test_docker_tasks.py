"""Docker's JSON, recorded on a real swarm of two nodes (docker_recorded.json), as the swarm's nouns."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from clawbucket import codecs
from clawbucket.core.election import preference
from clawbucket.core.model import Service, Task, TaskState
from rack.engines.docker_tasks import KEPT, Mapper, View, address_of, node_of, service_of, task_of, time_of

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("docker_recorded.json").read_text("utf-8"))
A = "clawbucket_clawbucket"
AT = "2026-11-21T11:00:00.000Z"
ID = "abcdefghijklmnopqrstuvwx"


def recorded(state: str, desired: str) -> dict[str, Any]:
    """A copy of the recorded task that was in that state while the other was desired."""
    found = next(
        t for t in RECORDED["tasks"] if (t["Status"]["State"], t["DesiredState"]) == (state, desired)
    )
    return deepcopy(found)


def raw_task(slot: int, state: str = "running", desired: str = "running", number: int = 0) -> dict[str, Any]:
    """A task like the recorded ones, on the node that may go down."""
    raw = recorded("running", "running")
    raw |= {
        "ID": f"{ID[: 23 - number // 10]}{number:02}".ljust(25, "0"),
        "Slot": slot,
        "DesiredState": desired,
    }
    raw["UpdatedAt"] = f"2026-11-21T10:00:{number:02}.000000001Z"
    raw["Status"]["State"] = state
    return raw


class Listing:
    """A Mapper, and what it is given."""

    def __init__(self) -> None:
        self.mapper = Mapper("BOT 1", (A, "clawbucket_clawbucket-b"))
        self.mapper.learn(RECORDED["services"])

    def view(self, *tasks: dict[str, Any], nodes: str = "nodes") -> View:
        return self.mapper.view(AT, RECORDED["services"], self.mapper.tasks_of(tasks), RECORDED[nodes])


def test_a_running_task_as_recorded():
    """Every field of the swarm's noun comes from its place in Docker's."""
    raw = recorded("running", "running")
    assert task_of(raw, A) == Task(
        id=raw["ID"], service=A, slot=2, node_id=raw["NodeID"], state=TaskState.RUNNING,
        desired_state=TaskState.RUNNING, name=f"{A}.2.{raw['ID']}", address="10.0.2.3:8080",
        created_at=raw["CreatedAt"][:23] + "Z", updated_at=raw["UpdatedAt"][:23] + "Z", message="started",
    )  # fmt: skip


def test_a_failed_task_says_why():
    """Its error and exit code are Docker's."""
    task = task_of(recorded("failed", "shutdown"), A)
    assert (task.state, task.error, task.exit_code) == (TaskState.FAILED, "task: non-zero exit (137)", 137)


def test_a_task_without_a_container_has_no_exit_code():
    """Docker says 0 of a container that never was; that is not repeated."""
    task = task_of(recorded("rejected", "shutdown"), A)
    assert (task.state, task.exit_code) == (TaskState.REJECTED, None)
    assert "No such image" in (task.error or "")


def test_a_task_that_no_node_takes_has_neither_node_nor_end():
    """It waits, and says for what."""
    task = task_of(recorded("pending", "running"), A)
    assert (task.state, task.node_id) == (TaskState.PENDING, "")
    assert "no suitable node" in (task.error or "")


@pytest.mark.parametrize("state", TaskState)
def test_every_state_is_told_as_it_is(state):
    """Actual and desired state keep Swarm's words."""
    raw = recorded("running", "running")
    raw["Status"]["State"] = raw["DesiredState"] = state.value
    task = task_of(raw, A)
    assert (task.state, task.desired_state) == (state, state)


def test_a_state_of_a_later_docker_is_neither_running_nor_ended():
    """What is not understood frees no lease and gets no request."""
    raw = recorded("running", "running")
    raw["Status"]["State"] = "levitating"
    assert task_of(raw, A).state is TaskState.ORPHANED
    assert not task_of(raw, A).state.ended


def test_the_address_is_the_one_on_the_edge_network():
    """Other networks' addresses are not the gateway's business; without the edge there is none."""
    raw = recorded("running", "running")
    other = deepcopy(raw["NetworksAttachments"][0])
    other["Network"]["Spec"]["Name"], other["Addresses"] = "clawbucket_bus", ["10.0.9.9/24"]
    raw["NetworksAttachments"] = [other, *raw["NetworksAttachments"]]
    assert address_of(raw) == "10.0.2.3:8080"
    raw["NetworksAttachments"] = [other]
    assert address_of(raw) is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("2026-11-21T10:36:26.620109408Z", "2026-11-21T10:36:26.620Z"),
        ("2026-11-21T10:37:01.6Z", "2026-11-21T10:37:01.600Z"),
        ("2026-11-21T10:37:01Z", "2026-11-21T10:37:01.000Z"),
        ("0001-01-01T00:00:00+02:00", ""),
    ],
)
def test_times_have_milliseconds(given, told):
    """Go leaves trailing zeros out; with them, times sort as text."""
    assert time_of(given) == told


def test_the_raft_leader_is_the_leader():
    """One node leads; a worker has no ManagerStatus at all."""
    manager, worker = sorted((node_of(raw) for raw in RECORDED["nodes"]), key=lambda n: n.hostname)
    assert (manager.hostname, manager.leader, manager.role, manager.state) == (
        "node-1",
        True,
        "manager",
        "ready",
    )
    assert (worker.hostname, worker.leader, worker.role) == ("node-2", False, "worker")


def test_a_service_that_is_not_there_says_so():
    """With what to type; one that is global has no slots."""
    assert service_of(A, RECORDED["services"][0]) == Service(A, 2)
    assert "./claw swarm up" in (service_of(A, None).error or "")
    everywhere = deepcopy(RECORDED["services"][0])
    everywhere["Spec"]["Mode"] = {"Global": {}}
    assert "replicated" in (service_of(A, everywhere).error or "")


def test_other_services_are_not_shown():
    """Neither they nor their tasks."""
    other = raw_task(1)
    other["ServiceID"] = "somebodyelse"
    assert Listing().view(other).snapshot.tasks == ()


def test_a_task_on_a_lost_node_neither_runs_nor_has_ended():
    """Swarm leaves it running and wants it shut down: no candidate, no lease freed, no end waited for."""
    lost = raw_task(2, "running", "shutdown", 1)
    heir = raw_task(2, number=2) | {"NodeID": RECORDED["nodes"][0]["ID"]}
    first = raw_task(1, number=3) | {"NodeID": RECORDED["nodes"][0]["ID"]}
    view = Listing().view(lost, heir, first, nodes="nodes_one_down")
    snapshot = view.snapshot
    assert lost["ID"] in {task.id for task in snapshot.tasks}
    assert lost["ID"] not in snapshot.ended
    assert [task.id for task in preference(snapshot, A, None)] == [first["ID"], heir["ID"]]
    assert next(node for node in snapshot.nodes if node.id == lost["NodeID"]).state == "down"
    assert view.settled


def test_an_orphaned_task_has_not_ended():
    """Swarm gave up on it; whether its process lives, nobody here can tell."""
    raw = recorded("orphaned", "shutdown")
    snapshot = Listing().view(raw).snapshot
    assert snapshot.task(raw["ID"]).state is TaskState.ORPHANED
    assert raw["ID"] not in snapshot.ended


def test_what_swarm_forgets_after_its_end_is_remembered():
    """A task of a slot that was scaled away is told of as SHUTDOWN, in ended and history."""
    listing = Listing()
    kept, leaving = raw_task(1, number=1), raw_task(2, "running", "remove", 2)
    listing.view(kept, leaving)
    assert listing.mapper.missing(listing.mapper.tasks_of([kept]))
    view = listing.view(kept)
    assert view.snapshot.ended == {leaving["ID"]: TaskState.SHUTDOWN}
    assert [(task.id, task.state) for task in view.history(A)] == [(leaving["ID"], TaskState.SHUTDOWN)]
    assert listing.view(kept).snapshot.ended == {leaving["ID"]: TaskState.SHUTDOWN}


def test_what_vanishes_with_its_node_is_not_called_ended():
    """Swarm also forgets orphans, whose processes may live."""
    listing = Listing()
    lost = raw_task(2, "running", "remove", 2)
    listing.view(lost)
    view = listing.view(nodes="nodes_one_down")
    assert view.snapshot.ended == {}
    assert view.snapshot.tasks == ()


def test_at_most_five_dead_are_kept_of_a_slot():
    """Newest first; what is remembered is bounded too, however often a slot comes and goes."""
    listing = Listing()
    for number in range(10, 40):
        listing.view(raw_task(2, "failed", "shutdown", number))
    view = listing.view(*(raw_task(1, "failed", "shutdown", number) for number in range(40, 48)))
    history = view.history(A)
    assert [task.slot for task in history] == [1] * KEPT + [2] * KEPT
    assert [task.updated_at for task in history] == sorted((t.updated_at for t in history), reverse=True)
    assert len(view.snapshot.ended) <= 8 + KEPT


def test_a_snapshot_fits_the_bus():
    """Its codec takes what Swarm says, with everything recorded in it and a message that is too long."""
    raws = {raw["ID"]: deepcopy(raw) for raw in RECORDED["tasks"]}
    for raw in raws.values():
        raw["Status"]["Err"] = "x" * 5_000
    snapshot = Listing().view(*raws.values()).snapshot
    assert codecs.SNAPSHOT.decode(codecs.SNAPSHOT.encode(snapshot)) == snapshot
    assert "not to be read" not in codecs.SNAPSHOT.encode(snapshot).decode()
    assert snapshot.service("clawbucket_clawbucket-b").error


def test_settled_means_what_runs_is_what_is_wanted():
    """One that waits, starts or leaves unsettles; so does one too few."""
    first, second = raw_task(1, number=1), raw_task(2, number=2)
    assert Listing().view(first, second).settled
    assert not Listing().view(first).settled
    assert not Listing().view(first, raw_task(2, "starting", "running", 2)).settled
    assert not Listing().view(first, second, raw_task(3, "running", "remove", 3)).settled
