"""The local engine's decisions, played without processes."""

from __future__ import annotations

import pytest

from clawbucket.core.model import TaskState
from clawbucket.ports import Conflict, NodeUnknown, ServiceUnknown, TaskElsewhere, TaskUnknown
from rack.engines.ledger import KEPT_DEAD, NO_NODE, Start, Stop
from tests.unit.ledger_play import A, B, Play


def test_fills_every_slot_at_once() -> None:
    """A new rack starts all replicas of all services in one turn, and they run once they answer."""
    play = Play()
    started = play.turn()
    assert [(task.service, task.slot) for task in started] == [(s, n) for s in (A, B) for n in (1, 2, 3)]
    assert all(task.running for task in play.tasks())
    assert play.turn() == []


def test_task_is_named_as_swarm_names_it() -> None:
    """A task's name is service, slot and id."""
    play = Play()
    play.turn()
    task = play.slot(2)
    assert task.name == f"{A}.2.{task.id}"


def test_a_task_runs_only_when_it_answers() -> None:
    """A process that exists is STARTING; its first 200 on /livez makes it RUNNING."""
    play = Play()
    play.turn(answer=False)
    assert play.slot(1).state is TaskState.STARTING
    play.ledger.healthy(play.slot(1).id)
    assert play.slot(1).state is TaskState.RUNNING


def test_a_death_is_replaced_in_the_same_turn() -> None:
    """The first death of a slot is followed at once by a new task, and kept in the history."""
    play = Play()
    play.turn()
    dead = play.slot(2)
    play.ledger.exited(dead.id, 137)
    assert [task.slot for task in play.turn()] == [2]
    (kept,) = play.ledger.history(A)
    assert (kept.id, kept.state, kept.exit_code) == (dead.id, TaskState.FAILED, 137)
    assert kept.error == "task: non-zero exit (137)"
    assert play.ledger.snapshot("rack").ended == {dead.id: TaskState.FAILED}
    assert play.ledger.restarts[A] == 1


def test_a_slot_that_goes_on_failing_waits() -> None:
    """While it waits, the next task is shown READY with the reason, and starts when its time has come."""
    play = Play()
    play.turn()
    for wait in (0.0, 0.5, 1.0):
        play.ledger.exited(play.slot(1).id, 1)
        if wait:
            assert play.turn() == []
            assert play.slot(1).state is TaskState.READY
            assert play.ledger.due() == play.clock.monotonic() + wait
        else:
            assert [task.slot for task in play.turn()] == [1]
            continue
        assert f"restarts in {wait:.1f} s" in play.slot(1).message
        assert play.later(wait - 0.1) == []
        assert [task.slot for task in play.later(0.11)] == [1]


def test_clean_exit_is_complete_and_replaced() -> None:
    """A replica that exits with 0 is COMPLETE, and its slot is filled again (restart condition any)."""
    play = Play()
    play.turn()
    play.ledger.exited(play.slot(1).id, 0)
    assert [task.slot for task in play.turn()] == [1]
    assert play.ledger.history(A)[0].state is TaskState.COMPLETE


def test_unknown_exit_code_is_said_to_be_unknown() -> None:
    """The death of an adopted process has no exit code, and its error says why."""
    play = Play()
    play.turn()
    play.ledger.exited(play.slot(1).id, None)
    dead = play.ledger.history(A)[0]
    assert dead.exit_code is None
    assert dead.error is not None
    assert "exit code unknown" in dead.error


def test_scale_down_sends_the_highest_slots_away_in_order() -> None:
    """First the news, then SIGTERM after the drain delay, then SIGKILL after the grace period."""
    play = Play()
    play.turn()
    ids = [play.slot(n).id for n in (2, 3)]
    play.ledger.scale(A, 1)
    assert [task.desired_state for task in play.tasks()] == [
        TaskState.RUNNING,
        TaskState.SHUTDOWN,
        TaskState.SHUTDOWN,
    ]
    play.turn()
    assert play.stops == []
    play.later(0.2)
    assert play.stops == [Stop(task_id, hard=False) for task_id in ids]
    play.later(9.9)
    assert len(play.stops) == 2
    play.later(0.1)
    assert play.stops[2:] == [Stop(task_id, hard=True) for task_id in ids]
    for task_id in ids:
        play.ledger.exited(task_id, 137)
    assert play.turn() == []
    assert {task.state for task in play.ledger.history(A)} == {TaskState.SHUTDOWN}
    assert play.ledger.restarts[A] == 0


def test_a_slot_is_not_filled_while_its_old_process_lives() -> None:
    """Scaled down and up again at once, the slot waits for its old process to be gone."""
    play = Play()
    play.turn()
    old = play.slot(3)
    play.ledger.scale(A, 2)
    play.ledger.scale(A, 3)
    assert play.turn() == []
    play.ledger.exited(old.id, 0)
    assert [task.slot for task in play.turn()] == [3]


def test_scale_is_safe_to_repeat_and_knows_its_services() -> None:
    """The same count again changes nothing; an unknown service is refused with those that there are."""
    play = Play()
    play.turn()
    version = play.ledger.version
    play.ledger.scale(A, 3)
    assert play.ledger.version == version
    with pytest.raises(ServiceUnknown, match=A):
        play.ledger.scale("nobody", 1)


def test_keeps_five_dead_tasks_a_slot_newest_first() -> None:
    """Swarm's task history limit."""
    play = Play(replicas=1)
    play.turn()
    ids = []
    for _ in range(7):
        ids.append(play.slot(1).id)
        play.clock.advance(10.0)
        play.ledger.exited(ids[-1], 1)
        play.turn()
    assert [task.id for task in play.ledger.history(A)] == ids[:1:-1][:KEPT_DEAD]


def test_three_misses_in_a_row_end_a_task() -> None:
    """Two misses and an answer are forgiven; three misses in a row are SIGKILL and FAILED, unhealthy."""
    play = Play()
    play.turn()
    task_id = play.slot(1).id
    for reason in ("late", "late", None, "late", "late"):
        if reason is None:
            play.ledger.healthy(task_id)
        else:
            play.ledger.unhealthy(task_id, reason)
    play.turn()
    assert play.stops == []
    play.ledger.unhealthy(task_id, "late")
    play.turn()
    assert play.stops == [Stop(task_id, hard=True)]
    play.ledger.exited(task_id, 137)
    dead = play.ledger.history(A)[0]
    assert dead.state is TaskState.FAILED
    assert dead.error == "unhealthy: /livez failed 3 times in a row (late)"


def test_a_task_that_never_answers_is_replaced() -> None:
    """Silence for the whole start time is one miss too many."""
    play = Play()
    play.turn(answer=False)
    play.ledger.unhealthy(play.slot(1).id, "no answer in time")
    play.turn()
    assert play.stops == [Stop(play.slot(1).id, hard=True)]


def test_a_task_on_its_way_out_is_not_judged() -> None:
    """A replica that drains may have closed its door already."""
    play = Play()
    play.turn()
    task_id = play.slot(3).id
    play.ledger.scale(A, 2)
    for _ in range(5):
        play.ledger.unhealthy(task_id, "connection refused")
    play.turn()
    assert play.stops == []


def test_spreads_over_the_nodes() -> None:
    """Six tasks on three nodes: two each, and those of one service on three different nodes."""
    play = Play(nodes=3)
    play.turn()
    for service in (A, B):
        assert len({task.node_id for task in play.tasks(service)}) == 3


def test_kill_reaches_the_leaders_node_alone() -> None:
    """A task on another node is TaskElsewhere; one that nobody knows is TaskUnknown."""
    play = Play(nodes=3)
    play.turn()
    leader = play.ledger.snapshot("rack").leader_node_id
    for task in play.tasks():
        if task.node_id == leader:
            assert play.ledger.pid_to_kill(task.id) >= 100
        else:
            with pytest.raises(TaskElsewhere):
                play.ledger.pid_to_kill(task.id)
    with pytest.raises(TaskUnknown):
        play.ledger.pid_to_kill("nobody")


def test_a_drained_node_is_emptied_onto_the_others() -> None:
    """Its tasks leave, and once they are gone their slots are filled elsewhere; active again, it may fill."""
    play = Play(nodes=2)
    play.turn()
    drained = play.slot(1).node_id
    leaving = [task for s in (A, B) for task in play.tasks(s) if task.node_id == drained]
    play.ledger.set_availability(drained, "drain")
    play.turn()
    for task in leaving:
        play.ledger.exited(task.id, 0)
    assert {task.slot for task in play.turn()} == {task.slot for task in leaving}
    assert all(task.node_id != drained for s in (A, B) for task in play.tasks(s))


def test_without_an_active_node_tasks_are_pending() -> None:
    """They say why, and are placed as soon as a node is active again."""
    play = Play(replicas=1)
    play.turn()
    node = play.slot(1).node_id
    play.ledger.set_availability("node-1", "drain")
    for service in (A, B):
        play.ledger.exited(play.slot(1, service).id, 0)
    play.turn()
    assert (play.slot(1).state, play.slot(1).error) == (TaskState.PENDING, NO_NODE)
    version = play.ledger.version
    play.turn()
    assert play.ledger.version == version
    play.ledger.set_availability(node, "active")
    assert len(play.turn()) == 2
    assert play.slot(1).error is None


def test_availability_is_checked() -> None:
    """An unknown node and an unknown word are refused with what there is."""
    play = Play()
    with pytest.raises(NodeUnknown, match="node-1"):
        play.ledger.set_availability("node-9", "drain")
    with pytest.raises(Conflict, match="active or drain"):
        play.ledger.set_availability("node-1", "pause")


def test_rolling_restart_replaces_one_after_another() -> None:
    """The next task leaves only when the last one's replacement runs; asked again, it is the same restart."""
    play = Play()
    play.turn()
    before = [play.slot(n).id for n in (1, 2, 3)]
    play.ledger.restart(A)
    for old in before:
        play.turn()
        play.ledger.restart(A)
        play.turn()
        assert [t.id for t in play.tasks() if t.desired_state is TaskState.SHUTDOWN] == [old]
        play.later(0.2)
        play.ledger.exited(old, 0)
        play.turn(answer=False)
        fresh = next(task for task in play.tasks() if task.state is TaskState.STARTING)
        play.turn()
        assert len([task for task in play.tasks() if task.running]) == 2
        play.ledger.healthy(fresh.id)
    play.turn()
    assert {task.id for task in play.tasks()}.isdisjoint(before)
    assert all(task.running for task in play.tasks())
    assert play.ledger.state().rolling == {}


def test_rolling_restart_gives_up_on_a_service_that_does_not_come_back() -> None:
    """When a replacement does not run in time, the tasks not yet touched are left alone."""
    play = Play()
    play.turn()
    play.ledger.restart(A)
    play.later(0.2)
    play.later(0.2)
    play.ledger.exited(play.slot(1).id, 0)
    play.turn(answer=False)
    play.clock.advance(play.timing.rolling)
    play.turn(answer=False)
    assert play.ledger.state().rolling == {}
    assert len([task for task in play.tasks() if task.running]) == 2


def test_a_command_that_cannot_run_is_rejected_and_tried_again_later() -> None:
    """REJECTED with the reason, and the next try waits as after any failure."""
    play = Play(replicas=1)
    for _ in range(2):
        deeds = play.ledger.decide()
        for deed in deeds:
            assert isinstance(deed, Start)
            play.ledger.rejected(deed.task.id, "No such file or directory")
    assert play.ledger.decide() == []
    assert play.slot(1).state is TaskState.READY
    dead = play.ledger.history(A)[0]
    assert (dead.state, dead.error) == (TaskState.REJECTED, "No such file or directory")


def test_state_survives_a_change_of_ledger() -> None:
    """What one ledger saved another takes up: counts, history, running tasks; the lost are FAILED."""
    play = Play()
    play.turn()
    play.ledger.scale(B, 5)
    play.turn()
    play.ledger.exited(play.slot(1).id, 3)
    play.turn()
    kept, lost = play.slot(1), play.slot(2)
    after = Play(state=play.ledger.state())
    for task in [*after.tasks(A), *after.tasks(B)]:
        if task.id == lost.id:
            after.ledger.vanished(task.id, "gone")
        else:
            after.ledger.adopted(task.id, 1, 1.0)
    assert [(task.service, task.slot) for task in after.turn()] == [(A, 2)]
    assert after.slot(1).id == kept.id
    assert len(after.tasks(B)) == 5
    assert {task.error for task in after.ledger.history(A)} == {"gone", "task: non-zero exit (3)"}


def test_shut_down_decides_nothing_more() -> None:
    """When the rack goes down, deaths are SHUTDOWN and no slot is filled again."""
    play = Play()
    play.turn()
    ids = [task.id for service in (A, B) for task in play.tasks(service)]
    play.ledger.shut_down()
    for task_id in ids:
        play.ledger.exited(task_id, 0)
    assert play.later(60.0) == []
    assert set(play.ledger.snapshot("rack").ended.values()) == {TaskState.SHUTDOWN}
    assert play.stops == []
