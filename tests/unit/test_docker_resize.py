"""The engine on Swarm where a service has one replica more, or one less: marks, kills and refusals."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from clawbucket.ports import Conflict, EngineDown, EngineInDoubt, ServiceUnknown, TaskElsewhere, TaskUnknown
from rack.engines.docker_holds import HELD
from rack.engines.docker_orders import RESIZED
from rack.engines.docker_pace import MOST
from rack.engines.slots import KEPT_MARKS
from tests.fake_docker import FAR, HERE, id_of
from tests.unit.docker_desk import A, B, Desk, eventually, followed

desk = pytest.fixture(followed)


def marks_of(desk: Desk) -> str | None:
    """The label that the marks are kept in."""
    labels: dict[str, str] = desk.docker.services[0]["Spec"].get("Labels") or {}
    return labels.get(RESIZED)


def updates(desk: Desk) -> int:
    """How often a service was updated."""
    return sum(path.startswith("/services/") for path, _ in desk.docker.posts)


def slots(desk: Desk) -> list[int]:
    """Of the first service, as the next snapshot tells."""
    return [task.slot for task in desk.engine.snapshot().tasks_of(A)]


def crowd(desk: Desk, count: int = 3) -> None:
    """All of the first service is on this node, and there is no other."""
    with desk.docker.guard:
        del desk.docker.nodes[1]
        for slot in range(3, count + 1):
            desk.docker.run(desk.docker.services[0], slot)
        desk.docker.services[0]["Spec"]["Mode"]["Replicated"]["Replicas"] = count
        for task in desk.docker.tasks:
            task["NodeID"] = HERE


def test_count_and_mark_are_one_update(desk: Desk):
    """One more, once for each mark; other labels and the rest of the specification stay."""
    with desk.docker.guard:
        desk.docker.services[0]["Spec"]["Labels"] = {"com.docker.stack.namespace": "clawbucket"}
    assert desk.engine.resize(A, 1, "x:grow") == 3
    assert updates(desk) == 1
    assert desk.docker.services[0]["Spec"]["Labels"] == {
        "com.docker.stack.namespace": "clawbucket",
        RESIZED: "x:grow",
    }
    assert desk.engine.resize(A, 1, "x:grow") == 3
    assert desk.engine.resize(A, -1, "x:grow", "nobody") == 3
    assert updates(desk) == 1
    assert desk.engine.resize(A, 1, "y:grow") == 4
    assert marks_of(desk) == "x:grow,y:grow"


@pytest.mark.slow
def test_one_mark_asked_for_by_many_is_one_change(desk: Desk):
    """Swarm refuses who read before another wrote; they read again, and find the mark."""
    told: list[int] = []
    threads = [threading.Thread(target=lambda: told.append(desk.engine.resize(A, 1, "x"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    assert told == [3] * 8
    assert desk.docker.services[0]["Spec"]["Mode"]["Replicated"]["Replicas"] == 3


def test_a_mark_in_doubt_is_found_when_asked_again(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """The update landed and its answer was lost: the same mark changes nothing more."""
    post = desk.docker.post

    def lose(*args) -> None:
        post(*args)
        raise EngineInDoubt("Docker stopped answering after the order left")

    monkeypatch.setattr(desk.docker, "post", lose)
    with pytest.raises(EngineInDoubt):
        desk.engine.resize(A, 1, "x")
    monkeypatch.undo()
    assert desk.engine.resize(A, 1, "x") == 3
    assert updates(desk) == 1


@pytest.mark.parametrize("length", [45, 80])
def test_the_label_keeps_the_newest_marks_and_stays_small(desk: Desk, length: int):
    """The last 64, or as many as fit in four thousand characters, each whole."""
    marks = [f"{number:0{length}d}" for number in range(KEPT_MARKS + 10)]
    for number, mark in enumerate(marks):
        desk.engine._hand.resize(A, -1 if number % 2 else 1, mark)
    kept = (marks_of(desk) or "").split(",")
    assert len(",".join(kept)) <= 4000
    assert kept == marks[-len(kept) :]
    assert len(kept) == (KEPT_MARKS if length == 45 else 4000 // 81)


@pytest.mark.slow
def test_the_slot_of_who_leaves_is_given_up(desk: Desk):
    """What runs in it is killed, and the count follows before the replacement runs; the rest stays."""
    crowd(desk)
    with capture_logs() as logs:
        assert desk.engine.resize(A, -1, "x:shrink", id_of(A, 1)) == 2
    assert [path for path, _ in desk.docker.posts] == [
        "/services/service0/update",
        f"/containers/container-{id_of(A, 1)}/kill",
        "/services/service0/update",
    ]
    snapshot = desk.engine.snapshot()
    assert [(task.id, task.slot) for task in snapshot.tasks_of(A)] == [(id_of(A, 2), 2), (id_of(A, 3), 3)]
    assert snapshot.service(A).desired == 2
    assert not [entry for entry in logs if entry["log_level"] == "warning"]
    assert desk.engine.resize(A, -1, "x:shrink", id_of(A, 1)) == 2
    assert slots(desk) == [2, 3]


@pytest.mark.slow
def test_who_leaves_may_have_ended(desk: Desk):
    """A replacement that runs is killed too."""
    crowd(desk)
    with desk.docker.guard:
        desk.docker.hasty = True
        desk.docker.end(id_of(A, 1))
    assert desk.engine.resize(A, -1, "x:shrink", id_of(A, 1)) == 2
    assert slots(desk) == [2, 3]
    assert [path for path, _ in desk.docker.posts if path.startswith("/containers/")] == [
        f"/containers/container-{id_of(A, 1, 1)}/kill"
    ]


@pytest.mark.slow
def test_who_leaves_is_remembered_when_swarm_has_forgotten(desk: Desk):
    """Swarm keeps five dead of a slot, and none of one that it gave up: for that one nobody else goes."""
    crowd(desk)
    desk.engine.snapshot()
    with desk.docker.guard:
        desk.docker.hasty = True
        desk.docker.end(id_of(A, 1))
        desk.docker.tasks.remove(desk.docker.task(id_of(A, 1)))
    assert desk.engine.resize(A, -1, "x:shrink", id_of(A, 1)) == 2
    assert slots(desk) == [2, 3]
    with desk.docker.guard:
        desk.docker.tasks[:] = [task for task in desk.docker.tasks if task["DesiredState"] != "remove"]
    assert desk.engine.resize(A, -1, "y:shrink", id_of(A, 1)) == 2
    assert marks_of(desk) == "x:shrink,y:shrink"
    assert slots(desk) == [2, 3]


@pytest.mark.slow
def test_a_slot_that_swarm_chose_instead_is_told_of(desk: Desk):
    """Another one's task ended in the same moment, and waits too: a warning says whose slot went."""
    crowd(desk)
    desk.engine._hand.hold(A, [])
    with desk.docker.guard:
        desk.docker.end(id_of(A, 3))
    with capture_logs() as logs:
        assert desk.engine.resize(A, -1, "x:shrink", id_of(A, 1)) == 2
    (warning,) = (entry for entry in logs if entry["log_level"] == "warning")
    assert (warning["event"], warning["slot"], warning["given_up"]) == ("swarm gave up another slot", 1, [3])


# On several nodes ---------------------------------------------------------------------------------------

OURS = {"Constraints": ["node.role==worker"]}


def spread(desk: Desk, *nodes: str, placement: dict[str, object] | None = None) -> None:
    """The first service has a replica on each of those nodes, in the order of the slots."""
    with desk.docker.guard:
        service = desk.docker.services[0]
        if placement is not None:
            service["Spec"]["TaskTemplate"]["Placement"] = placement
        for slot in range(3, len(nodes) + 1):
            desk.docker.run(service, slot)
        service["Spec"]["Mode"]["Replicated"]["Replicas"] = len(nodes)
        for slot, node in enumerate(nodes, 1):
            desk.docker.task(id_of(A, slot))["NodeID"] = node


def as_before(desk: Desk, placement: dict[str, object] | None = None) -> bool:
    """Whether new tasks are placed as they were before anybody left, and nothing is left of it."""
    spec = desk.docker.services[0]["Spec"]
    return HELD not in (spec.get("Labels") or {}) and spec["TaskTemplate"].get("Placement") == placement


@pytest.mark.slow
@pytest.mark.parametrize("placement", [None, OURS], ids=["placed anywhere", "placed on workers"])
@pytest.mark.parametrize(
    "nodes", [(HERE, FAR, FAR), (HERE, HERE, FAR)], ids=["alone on its node", "beside another"]
)
def test_the_slot_is_given_up_whatever_swarms_balance_says(desk: Desk, nodes, placement):
    """Its next task finds no place and goes, though a node has more; placement is as before after."""
    spread(desk, *nodes, placement=placement)
    with capture_logs() as logs:
        assert desk.engine.resize(A, -1, "x:shrink", id_of(A, 1)) == 2
    assert slots(desk) == [2, 3]
    assert not [entry for entry in logs if entry["log_level"] == "warning"]
    assert as_before(desk, placement)
    assert updates(desk) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "nodes", [(HERE, FAR), (HERE, FAR, HERE, FAR)], ids=["alone there", "beside another"]
)
def test_who_leaves_from_another_node_has_to_end_first(desk: Desk, nodes):
    """Out of reach it is refused, and no task takes its slot from then on; once it has ended that goes."""
    spread(desk, *nodes)
    with pytest.raises(TaskElsewhere):
        desk.engine.resize(A, -1, "x:shrink", id_of(A, 2))
    assert desk.docker.services[0]["Spec"]["Mode"]["Replicated"]["Replicas"] == len(nodes)
    with desk.docker.guard:
        desk.docker.hasty = True
        desk.docker.end(id_of(A, 2))
    assert desk.engine.resize(A, -1, "x:shrink", id_of(A, 2)) == len(nodes) - 1
    assert slots(desk) == [slot for slot in range(1, len(nodes) + 1) if slot != 2]
    assert as_before(desk)


@pytest.mark.slow
def test_a_replacement_that_found_a_place_before_is_killed(desk: Desk):
    """Who leaves had died, and the next in its slot runs here: it has to go as well."""
    spread(desk, HERE, HERE, FAR)
    with desk.docker.guard:
        desk.docker.hasty = True
        desk.docker.end(id_of(A, 1))
    assert desk.engine.resize(A, -1, "x:shrink", id_of(A, 1)) == 2
    assert slots(desk) == [2, 3]
    assert as_before(desk)


@pytest.mark.slow
def test_nobody_elses_slot_is_given_up_instead(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Swarm places the next task all the same: the count stays, and new tasks find their places."""
    monkeypatch.setattr("rack.engines.docker._EMPTIED", 0.3)
    spread(desk, HERE, FAR, FAR)
    desk.docker.stubborn = desk.docker.hasty = True
    with pytest.raises(Conflict, match="stays as large"):
        desk.engine.resize(A, -1, "x:shrink", id_of(A, 1))
    assert slots(desk) == [1, 2, 3]
    assert as_before(desk)


@pytest.mark.slow
def test_whoever_forgets_to_let_go_keeps_nobody_out(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """A rack manager that ended in between, or a rollback: new tasks are placed again after a while."""
    desk.engine._hand.hold(A, [FAR])
    assert not as_before(desk)
    monkeypatch.setattr("rack.engines.docker._FORGOTTEN", 0.0)
    seen = 0

    def looked() -> bool:
        nonlocal seen
        seen = desk.engine.wait_change(seen, 0.1)
        return as_before(desk)

    eventually(looked)
    eventually(lambda: slots(desk) == [1, 2])


@pytest.mark.slow
def test_letting_go_in_vain_keeps_nobody_from_looking(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Swarm's answer to that was lost: what runs is told all the same, and it is tried again."""
    desk.engine._hand.hold(A, [])
    monkeypatch.setattr("rack.engines.docker._FORGOTTEN", 0.0)
    desk.docker.fails["post"] = EngineInDoubt("Docker stopped answering after the order left")
    assert len(desk.engine.snapshot().tasks_of(B)) == 2
    assert not as_before(desk)
    desk.docker.fails.clear()
    desk.engine.wait_change(0, 0.1)
    eventually(lambda: desk.engine.wait_change(0, 0.1) >= 0 and bool(slots(desk)) and as_before(desk))


@pytest.mark.slow
def test_a_container_that_does_not_end_gives_nothing_up(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """After a bounded wait that is said, and the count is as it was; the lists asked for stay few."""
    monkeypatch.setattr("rack.engines.docker_orders.ENDING", 0.3)
    crowd(desk)
    desk.docker.deaf = True
    with pytest.raises(EngineDown, match="ask again"):
        desk.engine.resize(A, -1, "x:shrink", id_of(A, 1))
    assert desk.docker.services[0]["Spec"]["Mode"]["Replicated"]["Replicas"] == 3
    assert len(desk.docker.lists) <= MOST
    desk.docker.deaf = False
    assert desk.engine.resize(A, -1, "x:shrink", id_of(A, 1)) == 2


@pytest.mark.slow
def test_resize_refuses_what_it_cannot_do(desk: Desk):
    """Before anything is changed or killed."""
    with desk.docker.guard:
        desk.docker.services[0]["Spec"]["Mode"]["Replicated"]["Replicas"] = 1
        desk.docker.services[1]["Spec"]["Mode"]["Replicated"]["Replicas"] = 20
    with pytest.raises(Conflict, match="0 is not from 1 to 20"):
        desk.engine.resize(A, -1, "x")
    with pytest.raises(Conflict, match="0 is not from 1 to 20"):
        desk.engine.resize(A, -1, "x", id_of(A, 1))
    with pytest.raises(Conflict, match="21 is not from 1 to 20"):
        desk.engine.resize(B, 1, "x")
    for stranger in ("nobody", id_of(B, 1)):
        with pytest.raises(TaskUnknown, match=stranger):
            desk.engine.resize(A, -1, "x", stranger)
    with pytest.raises(ServiceUnknown, match="nobody"):
        desk.engine.resize("nobody", 1, "x")
    assert desk.docker.posts == []
