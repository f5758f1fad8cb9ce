"""What people ask: carried out, or refused in plain words."""

from __future__ import annotations

import pytest

from clawbucket import codecs, keys
from clawbucket.actions import Actions
from clawbucket.board import BoardReader
from clawbucket.core.callsign import name_of
from clawbucket.core.model import ArmState
from clawbucket.journal import Journal
from clawbucket.loops.trooper import Journals
from clawbucket.ports import BusDown, Conflict, EngineDown, ServiceUnknown, TaskElsewhere, TaskUnknown
from clawbucket.settings import Settings
from tests.hive import PRIMARY, SECOND, Hive


class Rack:
    """An Orders that notes what it is asked and fails as told."""

    def __init__(self) -> None:
        self.killed: list[str] = []
        self.scaled: dict[str, int] = {}
        self.failure: Exception | None = None

    def kill(self, task_id: str) -> None:
        if self.failure:
            raise self.failure
        self.killed.append(task_id)

    def scale(self, service: str, replicas: int) -> None:
        if self.failure:
            raise self.failure
        self.scaled[service] = replicas

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        raise NotImplementedError

    def restart(self, service: str) -> None: ...

    def set_availability(self, node_id: str, availability: str) -> None: ...


class Desk:
    """A settled hive and the acts upon it."""

    def __init__(self) -> None:
        self.hive = Hive(services=(PRIMARY, SECOND))
        self.hive.run(4)
        self.rack = Rack()
        self.own = self.hive.running_in(PRIMARY, 2)
        self.ended_itself = 0
        hive, settings = (
            self.hive,
            Settings(service_name=PRIMARY, task_id=self.own, swarm_services=(PRIMARY, SECOND)),
        )
        self.board = BoardReader(hive.bus, hive.gate, hive.clock, settings)
        journals = Journals.on(hive.bus, hive.gate, hive.clock)
        self.acts = Actions(
            hive.bus, hive.gate, hive.clock, settings, self.rack, self.board, journals, self._end_own
        )  # fmt: skip

    def _end_own(self) -> None:
        self.ended_itself += 1


@pytest.fixture
def desk() -> Desk:
    """A fresh one."""
    return Desk()


def test_an_outage_kills_the_manager_and_names_the_next_slot(desk):
    """The override slot is set to the next candidate's, which is what is told, and it then manages."""
    manager = desk.hive.leader()
    assert desk.acts.outage(PRIMARY, manager) == 2
    assert desk.rack.killed == [manager]
    assert desk.hive.bus.get(keys.OVERRIDE.of(PRIMARY)) == b"2"
    desk.hive.kill(manager)
    desk.hive.start(PRIMARY, 1)
    desk.hive.run(3)
    assert desk.hive.tasks[desk.hive.leader()].slot == 2


def test_an_outage_is_for_the_manager_only(desk):
    """Another task is refused with the reason, and nothing is changed."""
    other = next(who for who in desk.hive.tasks if who != desk.hive.leader())
    with pytest.raises(Conflict, match="does not manage"):
        desk.acts.outage(PRIMARY, other)
    assert desk.rack.killed == []
    assert desk.hive.bus.get(keys.OVERRIDE.of(PRIMARY)) is None


def test_an_outage_of_the_last_replica_is_refused(desk):
    """With nobody to take over there is no outage."""
    manager = desk.hive.leader()
    for who in [t.id for t in desk.hive.tasks.values() if t.service == PRIMARY and t.id != manager]:
        desk.hive.kill(who)
    desk.hive.run(0.5)
    with pytest.raises(Conflict, match="scale it up first"):
        desk.acts.outage(PRIMARY, manager)


def test_an_outage_that_the_rack_refuses_leaves_no_override(desk):
    """A definite failure is undone, and stays undone when the bus is wiped."""
    desk.hive.run(4)
    manager = desk.hive.leader()
    desk.rack.failure = EngineDown("the rack manager refuses connections")
    with pytest.raises(EngineDown):
        desk.acts.outage(PRIMARY, manager)
    assert desk.hive.bus.get(keys.OVERRIDE.of(PRIMARY)) == b"0"
    assert desk.board.board(max_age=0).squad(PRIMARY).override_slot is None
    desk.hive.run(0.5)
    desk.hive.bus.wipe()
    desk.hive.run(12)
    assert desk.hive.bus.get(keys.OVERRIDE.of(PRIMARY)) is None
    assert desk.hive.leader() == manager


def test_a_task_on_another_node_is_reached_by_an_order(desk):
    """Where the rack manager has no hand, an order on the bus ends the task, once."""
    who = desk.hive.leader()
    desk.rack.failure = TaskElsewhere("it runs on node-2")
    desk.acts.self_destruct(PRIMARY, who)
    desk.hive.run(1.5)
    assert desk.hive.destroyed == [who]
    acks = Journal(desk.hive.bus, desk.hive.gate, desk.hive.clock, codecs.ACKS, who)
    assert [ack.result for ack in acks.read()] == ["applied"]


def test_a_replica_ends_its_own_task_itself(desk):
    """Its own task is ended after the answer, not by the rack manager in the middle of it."""
    desk.acts.self_destruct(PRIMARY, desk.own)
    assert (desk.ended_itself, desk.rack.killed) == (1, [])


def test_unknown_tasks_and_services_are_told(desk):
    """TaskUnknown for an id that does not run; a task of another service is not of this one."""
    with pytest.raises(TaskUnknown, match="no task nobody"):
        desk.acts.self_destruct(PRIMARY, "nobody")
    with pytest.raises(TaskUnknown):
        desk.acts.self_destruct(SECOND, desk.hive.leader(PRIMARY))
    with pytest.raises(ServiceUnknown):
        desk.acts.self_destruct("nowhere", "nobody")


def test_acts_upon_tasks_need_a_bus_that_answers(desk):
    """A stale board is no ground to kill anybody on."""
    desk.board.board()
    desk.hive.bus.down = True
    with pytest.raises(BusDown):
        desk.acts.self_destruct(PRIMARY, desk.hive.leader() or "")
    assert desk.rack.killed == []


def test_arming_is_an_event_and_the_board_shows_it(desk):
    """The event carries the trooper's callsign where none is given."""
    who = desk.hive.leader()
    event = desk.acts.arm(who, None, ArmState.ON)
    assert (event.bot, event.state, event.source) == (name_of(who), ArmState.ON, "dashboard")
    trooper = next(t for t in desk.board.board().squad(PRIMARY).replicas if t.id == who)
    assert trooper.arm is ArmState.ON


def test_a_message_is_cut_to_280_characters(desk):
    """What is beyond is not kept."""
    message, _ = desk.acts.say("  " + "x" * 300, "Bold Bat")
    assert message.text == "x" * 280
    assert [m.id for m in desk.board.board().chat] == [message.id]


def test_an_interval_is_clamped_and_shown(desk):
    """2 to 120 seconds, in effect at once."""
    assert desk.acts.set_interval(1) == 2
    assert desk.acts.set_interval(999) == 120
    assert desk.board.board().interval_seconds == 120


def test_scaling_is_the_racks_business(desk):
    """The count goes to the rack manager."""
    desk.acts.scale(SECOND, 5)
    assert desk.rack.scaled == {SECOND: 5}
