"""Troopers packed into one worker: the same loops, stepped in turn."""

from __future__ import annotations

from itertools import pairwise

import pytest

from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.core.model import ArmState
from clawbucket.core.records import Order
from clawbucket.journal import Journal
from clawbucket.loops.trooper import inbox
from rack.packed import talk
from rack.packed.crew import KILLED, SOFTWARE_ERROR
from rack.packed.wheel import CYCLE, SLICES, Wheel
from tests.hive import PRIMARY
from tests.unit.packed_world import World


@pytest.fixture
def world() -> World:
    """Two workers of ten troopers that have settled."""
    world = World(crews=2, each=10)
    world.run(4.0)
    return world


def test_all_of_them_do_what_a_trooper_does(world):
    """Each beats, speaks and scores the round that the one manager threw; each says once that it runs."""
    assert world.running == set(world.tasks)
    assert world.tasks[world.leader()].slot == 1
    rounds = set(world.scores().values())
    assert len(rounds) == 1
    assert rounds.pop() >= 1
    for task in world.tasks.values():
        beat = world.gate.read(codecs.HEARTBEAT, "beat", world.bus.get(keys.HEARTBEAT.of(task.name)))
        assert (beat.task_id, beat.slot, beat.node) == (task.id, task.slot, "node-1")
        assert world.bus.get(keys.WORDS.of(task.id)) is not None
        assert world.bus.get(keys.LAST_SEEN.of(task.id)) is not None


def test_beats_are_spread_over_time():
    """A crowd that begins at once does not beat at once: no tenth of a second has more than a quarter."""
    world = World(crews=1, each=300)
    world.run(3.0)
    seqs: list[int] = []
    for _ in range(20):
        world.run(0.1)
        beats = [
            world.gate.read(codecs.HEARTBEAT, "b", world.bus.get(keys.HEARTBEAT.of(t.name)))
            for t in world.tasks.values()
        ]
        seqs.append(sum(beat.seq for beat in beats))
    assert max(later - sooner for sooner, later in pairwise(seqs)) <= 75


def test_a_killed_manager_is_replaced_at_once(world):
    """The next in rank leads as soon as the snapshot tells of the death, the new task of slot 1 after it."""
    first = world.leader()
    world.kill(first)
    world.run(0.5)
    second = world.leader()
    assert second is not None
    assert second != first
    world.run(5.0)
    assert world.tasks[world.leader()].slot == 1
    assert (first, KILLED) in world.said[0] + world.said[1]


def test_who_is_told_to_end_releases_its_lease(world):
    """It exits 0, and the next leads without waiting for the snapshot."""
    leader = world.leader()
    home = world.home.pop(leader)
    world.crews[home].stop([leader])
    lease = world.gate.read(codecs.LEASE, "lease", world.bus.get(keys.LEADER.of(PRIMARY)))
    assert lease.released
    world.run(0.5)
    assert (leader, 0) in world.said[home]
    assert world.leader() not in {None, leader}


def test_orders_reach_each_by_its_own_inbox(world):
    """An ARM event arms one, and the order to self-destruct ends one, with a crash's exit code."""
    victim = next(who for who in world.home if who != world.leader())
    orders: Journal[Order] = inbox(world.bus, world.gate, world.clock, victim)
    orders.append(lambda seq: Order("o1", seq, "self_destruct", "now"))
    world.run(2.0)
    assert (victim, SOFTWARE_ERROR) in world.said[world.home[victim]]
    acks = world.gate.read(codecs.ACKS, "acks", world.bus.get(keys.ACKS.of(victim)))
    assert [ack.id for ack in acks] == ["o1"]


def test_one_that_is_asked_says_that_it_has_no_agent(world):
    """Why not is told in a sentence, and waited for by nobody."""
    asked = next(iter(world.home))
    orders: Journal[Order] = inbox(world.bus, world.gate, world.clock, asked)
    orders.append(lambda seq: Order("o1", seq, "ask", "now", text="who are you", asker="me"))
    world.run(2.0)
    (answer,) = world.gate.read(codecs.ANSWERS, "answers", world.bus.get(keys.ANSWERS.of(asked)))
    assert (answer.id, answer.failed) == ("o1", "agent_off")
    assert "packed with others" in answer.sentence


def test_a_frozen_trooper_tells_its_state_and_holds_still(world):
    """The parts of a handoff that are the trooper's own are there too."""
    held = next(who for who in world.home if who != world.leader())
    orders: Journal[Order] = inbox(world.bus, world.gate, world.clock, held)
    orders.append(lambda seq: Order("o1", seq, "freeze", "now", text="h1"))
    world.run(2.0)
    state = world.gate.read(codecs.CAPTURE, "capture", world.bus.get(keys.CAPTURE.of("h1")))
    assert state.arm is ArmState.OFF
    assert world.loops(held).memory.frozen == "h1"


def test_one_that_has_not_begun_can_be_ended(world):
    """It is taken out of the row, and told of as any other."""
    new = world.start(99)
    home = world.home.pop(new)
    world.crews[home].kill([new])
    assert new not in world.crews[home].here
    assert world.crews[home].news().ended == [(new, KILLED)]


def test_the_bus_is_asked_little(world):
    """Ten in a worker cost the bus some eighty calls a second, not the six hundred of ten replicas."""
    calls = 0
    whole = MemoryBus.get_many

    def counted(self, wanted):
        nonlocal calls
        calls += 1
        return whole(self, wanted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryBus, "get_many", counted)
        world.run(2.0)
    assert calls / 2.0 / len(world.crews) < 40
    before = sum(crew.asked for crew in world.crews)
    world.run(10.0)
    # Two crews' looks at what all share are some ninety keys a second, whatever their size.
    assert (sum(crew.asked for crew in world.crews) - before) / 10.0 < 2 * 60 + 20 * 4


def test_what_happens_to_a_crowd_is_told_by_a_few(world):
    """The manager tells of a death and of who came instead; the others do not all try to tell it too."""
    writes = 0
    swap = MemoryBus.cas

    def counted(self, key, *rest):
        nonlocal writes
        writes += key == keys.EVENTS.of()
        return swap(self, key, *rest)

    victim = next(who for who in world.home if who != world.leader())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryBus, "cas", counted)
        world.kill(victim)
        world.run(8.0)
    told = world.gate.read(codecs.EVENTS, "events", world.bus.get(keys.EVENTS.of()))
    assert [event.kind for event in told if event.task_id == victim and event.kind == "ended"] == ["ended"]
    assert writes <= 6


def test_a_wheel_steps_everybody_once_a_cycle():
    """A part in each slice, evenly; one that is late goes on without making up for what it missed."""
    wheel: Wheel[int] = Wheel(0.0)
    for number in range(40):
        wheel.add(str(number), number)
    wheel.remove("7")
    turns = [wheel.turn(index * CYCLE / SLICES + 1e-6) for index in range(SLICES)]
    assert sorted(item for turn in turns for _, item in turn) == [n for n in range(40) if n != 7]
    assert {len(turn) for turn in turns} <= {9, 10}
    assert wheel.at == pytest.approx((SLICES - 1) * CYCLE / SLICES)
    late = [bool(wheel.turn(100.0)) for _ in range(4)]
    assert late == [True, True, True, False]


def test_messages_come_in_pieces():
    """Lines are put together again; what is no object is refused."""
    lines, whole = talk.Lines(), talk.line({"start": [1]}) + talk.line({"kill": []})
    assert [m for piece in (whole[:5], whole[5:17], whole[17:]) for m in lines.feed(piece)] == [
        {"start": [1]}, {"kill": []}
    ]  # fmt: skip
    with pytest.raises(ValueError, match="object"):
        list(talk.Lines().feed(b"[]\n"))
    with pytest.raises(ValueError, match="literal"):
        list(talk.Lines().feed(b"nonsense\n"))
