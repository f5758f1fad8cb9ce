"""The whole swarm's behaviour, real loops on a memory bus."""

from __future__ import annotations

from clawbucket import codecs, keys
from clawbucket.board import BoardReader
from clawbucket.core.model import ArmState
from clawbucket.core.records import ArmEvent, Order, Throw
from clawbucket.journal import Journal
from clawbucket.loops.sight import Override
from clawbucket.settings import Settings
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


OVERRIDE = keys.OVERRIDE.of(PRIMARY)


def after_an_outage() -> Hive:
    """A hive of 3 in which slot 1 was asked for an outage 10 s ago: the heir in slot 2 leads."""
    hive = settled()
    hive.run(6)
    hive.bus.set(OVERRIDE, b"2", keys.OVERRIDE.ttl)
    hive.kill(hive.leader())
    hive.run(2)
    hive.start(PRIMARY, 1)
    hive.run(8)
    assert hive.tasks[hive.leader()].slot == 2
    return hive


def override_of(hive: Hive) -> int | None:
    """The override as a board shows it."""
    settings = Settings(service_name=PRIMARY, swarm_services=(PRIMARY,))
    return BoardReader(hive.bus, hive.gate, hive.clock, settings).board().squad(PRIMARY).override_slot


def test_an_override_outlives_a_wiped_bus():
    """Within 12 s of a wipe the heir still leads, slot 1 never did, and the bus has the override."""
    hive = after_an_outage()
    hive.bus.wipe()
    for _ in range(120):
        hive.run(0.1)
        assert hive.running_in(PRIMARY, 1) not in hive.leaders()
    assert hive.tasks[hive.leader()].slot == 2
    assert hive.bus.get(OVERRIDE) == b"2"
    assert override_of(hive) == 2


def test_an_override_ends_after_its_time():
    """After 300 s the override is gone for good, and slot 1 manages again."""
    hive = after_an_outage()
    hive.run(289)
    assert hive.bus.get(OVERRIDE) == b"2"
    hive.run(1)
    for _ in range(40):
        hive.run(0.5)
        assert hive.bus.get(OVERRIDE) is None
    assert hive.tasks[hive.leader()].slot == 1


def test_an_override_that_was_put_back_ends_when_the_lost_one_would_have():
    """Nobody takes the one put back for a new one: not who had it before, nor who came before or after."""
    hive = after_an_outage()
    hive.run(190)
    hive.bus.wipe()
    hive.start(PRIMARY, 4)
    hive.run(3)
    assert hive.bus.get(OVERRIDE) == b"2"
    hive.start(PRIMARY, 5)
    hive.run(94)
    assert hive.bus.get(OVERRIDE) == b"2"
    hive.run(3)
    for _ in range(40):
        hive.run(0.5)
        assert hive.bus.get(OVERRIDE) is None
    assert hive.tasks[hive.leader()].slot == 1


def test_an_override_that_nobody_saw_come_is_not_put_back():
    """Who found it there at its first look does not know its age, and follows it while the bus has it."""
    hive = after_an_outage()
    for slot in (2, 3):
        hive.kill(hive.running_in(PRIMARY, slot))
        hive.start(PRIMARY, slot)
    hive.run(8)
    assert hive.tasks[hive.leader()].slot == 2
    hive.bus.wipe()
    hive.run(12)
    assert hive.bus.get(OVERRIDE) is None
    assert hive.tasks[hive.leader()].slot == 1


def test_an_override_that_was_taken_back_stays_so():
    """0 ends an override: slot 1 manages again, and a wipe brings nothing back."""
    hive = after_an_outage()
    hive.bus.set(OVERRIDE, b"0", keys.OVERRIDE.ttl)
    hive.run(4)
    assert hive.tasks[hive.leader()].slot == 1
    assert override_of(hive) is None
    hive.bus.wipe()
    hive.run(12)
    assert hive.bus.get(OVERRIDE) is None
    assert hive.tasks[hive.leader()].slot == 1


def test_the_later_override_is_the_one_put_back():
    """A replaced override is remembered with a time of its own; who did not know the first knows this one."""
    hive = after_an_outage()
    hive.run(200)
    hive.bus.set(OVERRIDE, b"3", keys.OVERRIDE.ttl)
    hive.kill(hive.running_in(PRIMARY, 2))
    hive.run(150)
    hive.kill(hive.running_in(PRIMARY, 3))
    hive.start(PRIMARY, 3)
    hive.bus.wipe()
    hive.run(12)
    assert hive.bus.get(OVERRIDE) == b"3"
    assert hive.tasks[hive.leader()].slot == 3


def seen(*looks: tuple[float, int | None]) -> Override:
    """An override after these looks: when, and what the bus had."""
    override = Override()
    for now, slot in looks:
        override.see(slot, now)
    return override


def test_an_overrides_end_is_never_taken_for_later_than_it_is():
    """Who did not look for a while counts the 300 s from its last look without the override."""
    late = seen((0, None), (10, None), (110, 2), (120, None))
    assert late.lost(120) == (2, 190)
    assert late.lost(308) == (2, 2)
    assert late.lost(308.1) is None
    assert [late.see(None, now) for now in (309.9, 310)] == [2, None]


def test_an_override_that_comes_soon_after_a_gap_is_not_taken_for_new():
    """Within 6 s of an absence, or of the first look, it may be one that another trooper put back."""
    assert seen((0, 2), (1, None), (3, 2), (4, None)).lost(4) is None
    assert seen((0, None), (3, 2), (4, None)).lost(4) is None
    assert seen((0, None), (1, None), (60, 2), (61, None)).lost(61) is None, "nor where it did not look"
    assert seen((0, None), (6, None), (6.1, 2), (7, None)).lost(7) == (2, 299)


def test_a_slot_that_replaces_another_or_none_is_new():
    """Whatever the age of the one before; nobody puts back what is there."""
    assert seen((0, 2), (1, 3), (2, None)).lost(2) == (3, 298)
    assert seen((0, 2), (1, 0), (2, 2), (3, None)).lost(3) == (2, 298)
    assert seen((0, 2), (1, 3)).lost(2) is None
    assert seen((0, 2), (1, 3), (2, 0), (3, None)).lost(3) is None
