"""What one worker's troopers read together: as fresh as it must be, and never the ground of two leaders."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawbucket import codecs, keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.core.records import Lease
from clawbucket.ports import BusDown, BusInDoubt
from rack.packed.shared_bus import AGES, OUTAGE, SharedBus
from tests.fakes import FakeClock
from tests.hive import PRIMARY
from tests.unit.packed_world import World

LEADER = keys.LEADER.of(PRIMARY)
THROW = keys.RPS_STATE.of()


class Counting(MemoryBus):
    """A bus that counts who asks."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.asked: list[str] = []

    def get_many(self, keys):
        """Asked once, however many keys."""
        wanted = list(keys)
        self.asked.append("get_many")
        return super().get_many(wanted)

    def gets(self, key):
        """Asked once."""
        self.asked.append("gets")
        return super().gets(key)

    def set_many(self, values):
        """Asked once."""
        self.asked.append("set_many")
        super().set_many(values)


@pytest.fixture
def clock() -> FakeClock:
    """Time."""
    return FakeClock()


@pytest.fixture
def bus(clock) -> Counting:
    """The bus itself."""
    return Counting(clock)


@pytest.fixture
def shared(bus, clock) -> SharedBus:
    """What a worker's troopers have of it."""
    return SharedBus(bus, clock, (PRIMARY,))


def test_one_look_serves_everybody_for_its_time(bus, shared, clock):
    """However often it is read, the bus is asked once; later what is new is seen."""
    bus.set(THROW, b"1", 60)
    assert {shared.get_many([THROW])[THROW] for _ in range(50)} == {b"1"}
    assert bus.asked == ["get_many"]
    bus.set(THROW, b"2", 60)
    clock.advance(AGES["now"] / 2)
    assert shared.get(THROW) == b"1"
    clock.advance(AGES["now"] / 2 + 0.001)
    assert shared.get(THROW) == b"2"


def test_what_did_not_change_stays_the_same_object(bus, shared, clock):
    """So that whoever parses it sees at once that there is nothing new."""
    bus.set(THROW, b"as it was", 60)
    bus.set(LEADER, b"a lease", 60)
    first, lease = shared.get(THROW), shared.gets(LEADER)
    bus.set(THROW, b"".join([b"as it ", b"was"]), 60)
    bus.set(LEADER, b"".join([b"a le", b"ase"]), 60)
    clock.advance(1.0)
    assert shared.get(THROW) is first
    again = shared.gets(LEADER)
    assert again[0] is lease[0]
    assert again[1] != lease[1]


def test_a_swap_after_an_old_look_is_refused_where_somebody_wrote(bus, shared, clock):
    """The token is that of the look; memcached itself decides."""
    bus.add(LEADER, b"theirs", 60)
    value, token = shared.gets(LEADER)
    bus.set(LEADER, b"theirs, renewed", 60)
    clock.advance(AGES["lease"] / 2)
    assert shared.gets(LEADER) == (value, token)
    assert not shared.cas(LEADER, b"ours", token, 60)
    assert bus.get(LEADER) == b"theirs, renewed"


def test_who_wrote_reads_it_anew(bus, shared):
    """After a write of one's own, and after one whose answer was lost, the bus is asked at once."""
    assert shared.gets(LEADER) is None
    assert shared.add(LEADER, b"1", 60)
    _, token = shared.gets(LEADER)
    bus.in_doubt = 1
    with pytest.raises(BusInDoubt):
        shared.cas(LEADER, b"2", token, 60)
    bus.in_doubt = 0
    assert shared.gets(LEADER)[0] == bus.get(LEADER)
    assert shared.get(LEADER) == bus.get(LEADER)


def test_publications_go_out_together_and_before_what_decides(bus, shared):
    """Many wait for one flush; a write of another kind sends them before itself. Who said it reads it."""
    for number in range(3):
        shared.set_many({keys.SCORE.of(f"t{number}"): (b"1", 60)})
    assert shared.get_many([keys.SCORE.of("t1")]) == {keys.SCORE.of("t1"): b"1"}
    assert "set_many" not in bus.asked
    shared.flush()
    assert bus.asked.count("set_many") == 1
    shared.set_many({keys.SCORE.of("t9"): (b"7", 60)})
    shared.set(keys.CAPTURE.of("h"), b"state", 60)
    assert bus.get(keys.SCORE.of("t9")) == b"7"
    shared.flush()
    assert bus.asked.count("set_many") == 2


def test_lost_publications_are_counted_and_stop_no_other_write(bus, shared):
    """A flush fails as a write does; a lease is renewed all the same where the bus takes that."""
    shared.set_many({keys.SCORE.of("t"): (b"1", 60)})
    bus.down = True
    with pytest.raises(BusDown):
        shared.flush()
    assert shared.lost == 1
    shared.set_many({keys.WORDS.of("t"): (b"x" * 2_000_000, 60)})
    bus.down = False
    assert shared.add(LEADER, b"1", 60)
    assert shared.lost == 2


def test_an_outage_is_found_once_for_everybody(bus, shared, clock):
    """Who looks while the bus is known to be down is told at once, and a moment later it is asked again."""
    bus.down = True
    for _ in range(5):
        with pytest.raises(BusDown):
            shared.get(THROW)
        with pytest.raises(BusDown):
            shared.gets(LEADER)
    assert len(bus.asked) == 1
    bus.down = False
    clock.advance(OUTAGE + 0.01)
    assert shared.get(THROW) is None


def test_inboxes_are_read_together(bus, shared, clock):
    """Each trooper's own orders come with one look for all; who has left is not asked about."""
    bus.set(keys.ORDERS.of("t3"), b"[]", 60)
    for number in range(10):
        shared.join(f"t{number}")
    assert [shared.get(keys.ORDERS.of(f"t{number}")) for number in range(10)].count(b"[]") == 1
    assert bus.asked == ["get_many"]
    shared.leave("t3")
    bus.set(keys.ORDERS.of("t4"), b"[1]", 60)
    clock.advance(AGES["inbox"] + 0.01)
    assert shared.get(keys.ORDERS.of("t4")) == b"[1]"


ACTS = ("run", "kill", "kill leader", "stop", "go on", "wipe", "cut", "mend", "doubt", "poison")


SCHEDULES = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 11)), min_size=4, max_size=14)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(SCHEDULES, st.integers(0, 99), st.sampled_from((0.04, 0.1, 0.5, 1.3)))
def test_no_schedule_has_two_leaders(acts, seed, age):
    """Kills, stopped workers, a bus cut off, wiped or poisoned: one leads at most, and slot 1 at last.

    However old a look may be: the age decides how soon somebody leads, not how many. In the end it is what it
    is, and the preferred one leads.
    """
    world = World(crews=3, each=2, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(AGES, "now", age)
        patch.setitem(AGES, "lease", age)
        _play(world, acts, Random(seed))
    world.bus.down, world.bus.in_doubt = False, 0
    world.stopped.clear()
    world.run(10.0)
    leader = world.leader()
    assert leader is not None
    assert world.tasks[leader].slot == 1


def _play(world: World, acts: list[tuple[str, int]], chance: Random) -> None:
    world.run(2.0)
    for act, number in acts:
        if act == "kill":
            world.kill(sorted(world.home)[number % len(world.home)])
        elif act == "kill leader" and world.leader():
            world.kill(world.leader())
        elif act == "stop":
            world.stopped.add(number % 3)
        elif act == "go on":
            world.stopped.clear()
        elif act == "wipe":
            world.bus.wipe()
        elif act in {"cut", "mend"}:
            world.bus.down = act == "cut"
        elif act == "doubt":
            world.bus.in_doubt = number
        elif act == "poison" and not world.bus.down:
            lost, world.bus.in_doubt = world.bus.in_doubt, 0
            world.bus.set(LEADER, codecs.LEASE.encode(Lease("x", -1, 0)), 60)
            world.bus.in_doubt = lost
        world.run(chance.choice((0.1, 0.4, 0.9, 1.6)))
