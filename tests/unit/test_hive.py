"""The whole swarm's behaviour, real loops on a memory bus."""

from __future__ import annotations

from clawbucket import codecs, keys
from clawbucket.core.model import ArmState
from clawbucket.core.records import ArmEvent, Order, Throw
from clawbucket.journal import Journal
from tests.hive import PRIMARY, SECOND, Hive


def settled(**options) -> Hive:
    """A hive whose first managers lead."""
    hive = Hive(**options)
    hive.run(4)
    return hive


def throw_of(hive: Hive) -> Throw | None:
    """The running round on the bus."""
    return hive.gate.read(codecs.THROW, "throw", hive.bus.get(keys.RPS_STATE.of()))


def test_a_cold_start_elects_the_lowest_slot_of_each_service():
    """A cold start elects the lowest slot of each service."""
    hive = settled(services=(PRIMARY, SECOND))
    for service in (PRIMARY, SECOND):
        leader = hive.leader(service)
        assert leader is not None
        assert hive.tasks[leader].slot == 1


def test_a_killed_manager_is_followed_within_a_second():
    """A killed manager is followed by the next slot within a second, in a higher epoch."""
    hive = settled()
    ((old, epoch),) = hive.leaders().items()
    hive.kill(old)
    hive.run(0.6)
    ((new, higher),) = hive.leaders().items()
    assert hive.clock  # the hive still runs
    assert (new != old, higher > epoch) == (True, True)


def test_the_preferred_slot_takes_over_again_when_it_is_back():
    """A new task in slot 1 gets the lease back once it beats."""
    hive = settled()
    hive.kill(hive.leader())
    hive.run(1)
    back = hive.start(PRIMARY, 1)
    hive.run(3)
    assert hive.leader() == back


def test_a_stopped_manager_is_replaced_once_and_nothing_flaps():
    """A manager that is stopped (SIGSTOP) for five seconds is replaced once; it gets the lease back awake."""
    hive = settled()
    old = hive.leader()
    hive.stopped.add(old)
    hive.run(2.5)
    heir = hive.leader()
    epoch = hive.leaders()[heir]
    hive.run(2.5)
    assert hive.leaders() == {heir: epoch}
    hive.stopped.clear()
    hive.run(3)
    assert hive.leader() == old


def test_a_released_lease_is_taken_within_a_tick():
    """A manager that is told to end releases its lease, and the next leads within 0.4 s."""
    hive = settled()
    old = hive.leader()
    hive.troopers[old].runner.stop()
    hive.stopped.add(old)
    hive.run(0.4)
    assert hive.leader() not in {None, old}


def test_each_trooper_but_the_manager_scores_each_round_once():
    """Every trooper but the primary's manager scores each round exactly once."""
    hive = settled(services=(PRIMARY, SECOND))
    hive.run(30)
    throw = throw_of(hive)
    leader = hive.leader()
    for who, trooper in hive.troopers.items():
        if who == leader:
            assert trooper.memory.card.round == 0
        else:
            assert trooper.memory.card.round == throw.round
            assert abs(trooper.memory.card.score) <= throw.round


def test_a_wiped_bus_has_everything_back_within_twelve_seconds():
    """Scores, managers, ARM state, chat and interval are as before within 12 s of a wipe."""
    hive = settled(services=(PRIMARY, SECOND))
    hive.bus.set(keys.RPS_INTERVAL.of(), b"60", 86_400)
    armed = next(iter(hive.troopers))
    journal = Journal[ArmEvent](hive.bus, hive.gate, hive.clock, codecs.ARM_EVENTS)
    journal.append(lambda seq: ArmEvent("e1", seq, armed, "x", ArmState.ON, hive.clock.iso(), "test"))
    hive.run(20)
    before = (hive.leaders(PRIMARY).keys(), hive.leaders(SECOND).keys(), hive.scores(), throw_of(hive).round)
    hive.bus.wipe()
    hive.run(12)
    assert (hive.leaders(PRIMARY).keys(), hive.leaders(SECOND).keys(), hive.scores()) == before[:3]
    assert throw_of(hive).round >= before[3]
    for who, score in hive.scores().items():
        assert hive.bus.get(keys.SCORE.of(who)) == b"%d" % score
    assert hive.bus.get(keys.RPS_INTERVAL.of()) == b"60"
    assert [e.id for e in journal.read()] == ["e1"]
    assert hive.troopers[armed].memory.arm.state is ArmState.ON


def test_a_bus_that_is_down_ends_every_leadership_and_one_comes_back():
    """Nobody leads while the bus is down; somebody does when it is back."""
    hive = settled()
    hive.bus.down = True
    hive.run(2)
    assert hive.leaders() == {}
    hive.bus.down = False
    hive.run(2.5)
    assert hive.leader() is not None


def test_an_older_leaders_prepared_write_fails():
    """What a stopped leader had prepared to write before a later leader's stamp does not survive."""
    hive = settled()
    old = hive.leader()
    _, token = hive.bus.gets(keys.RPS_STATE.of())
    hive.stopped.add(old)
    hive.run(3)
    assert hive.leader() != old
    stale = Throw("rock", "Old Manager", "", 99, 1)
    assert not hive.bus.cas(keys.RPS_STATE.of(), codecs.THROW.encode(stale), token, 20)
    assert throw_of(hive).by != "Old Manager"


def test_an_order_is_applied_once_and_acknowledged():
    """An order in the inbox is applied once, by its id, and acknowledged."""
    hive = settled()
    who = hive.leader()
    inbox = Journal(hive.bus, hive.gate, hive.clock, codecs.ORDERS, who)
    inbox.append(lambda seq: Order("o1", seq, "self_destruct", hive.clock.iso()))
    hive.run(3)
    assert hive.destroyed == [who]
    acks = Journal(hive.bus, hive.gate, hive.clock, codecs.ACKS, who)
    assert [ack.id for ack in acks.read()] == ["o1"]


def test_the_interval_is_adjusted_live():
    """A shorter interval takes effect within a few seconds."""
    hive = settled()
    before = throw_of(hive).round
    hive.bus.set(keys.RPS_INTERVAL.of(), b"2", 86_400)
    hive.run(12)
    assert throw_of(hive).round >= before + 4


def test_the_running_round_outlives_its_time_to_live():
    """With an interval longer than the state's 20 s the round stays on the bus, and stays one round."""
    hive = settled()
    hive.bus.set(keys.RPS_INTERVAL.of(), b"120", 86_400)
    hive.run(15)
    running = throw_of(hive).round
    hive.run(60)
    assert throw_of(hive).round == running


def test_candidates_on_the_swarm_leaders_node_come_first():
    """The tasks on the Swarm leader's node are preferred, whatever their slot."""
    hive = Hive()
    first, second, _ = hive.tasks
    hive.move(first, "n2")
    hive.run(4)
    assert hive.leader() == second


def test_the_override_slot_comes_before_all():
    """The slot that an outage named manages as long as the override holds."""
    hive = settled()
    hive.bus.set(keys.OVERRIDE.of(PRIMARY), b"3", 300)
    hive.run(4)
    assert hive.tasks[hive.leader()].slot == 3
