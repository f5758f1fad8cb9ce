"""The rack's journal in a whole swarm: each reign, act and task is told once, and nobody waits for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import cast

import pytest

from clawbucket import codecs, keys
from clawbucket.core.events import RackEvent
from clawbucket.journal import Journal
from clawbucket.loops.chronicle import KEEP_AWAY, MOST_NOTED, Chronicle
from clawbucket.ports import BusDown, BusInDoubt
from tests.hive import PRIMARY, SECOND, Hive

KEY = keys.EVENTS.of()


def journal_of(hive: Hive) -> list[RackEvent]:
    """What the bus has, oldest first."""
    return Journal[RackEvent](hive.bus, hive.gate, hive.clock, codecs.EVENTS).read()


def told(hive: Hive, *kinds: str) -> list[tuple[str, str, int]]:
    """The events of those kinds as (kind, task, epoch)."""
    return [(e.kind, e.task_id, e.epoch) for e in journal_of(hive) if e.kind in kinds]


@pytest.fixture
def hive() -> Hive:
    """Two services whose first managers lead."""
    settled = Hive(services=(PRIMARY, SECOND))
    settled.run(4)
    return settled


def test_each_first_reign_is_told_once(hive):
    """Each service's first manager tells its election, with its epoch."""
    leaders = {**hive.leaders(PRIMARY), **hive.leaders(SECOND)}
    assert sorted(told(hive, "election")) == sorted(("election", who, n) for who, n in leaders.items())
    assert told(hive, "released", "lost", "started", "ended") == []


def test_a_killed_manager_makes_one_election_and_one_end(hive):
    """A kill is followed by one election, whose epoch is the heir's, and the end is told once."""
    ((old, _),) = hive.leaders().items()
    hive.kill(old)
    hive.run(12)
    ((new, epoch),) = hive.leaders().items()
    assert told(hive, "election")[2:] == [("election", new, epoch)]
    assert told(hive, "ended", "released", "lost") == [("ended", old, 0)]
    assert next(e.detail for e in journal_of(hive) if e.kind == "ended") == "failed"


def test_many_kills_are_many_reigns_each_told_once(hive):
    """However often managers die and slots are filled again, no reign is told twice and none is left out."""
    reigns = {(who, epoch) for who, epoch in hive.leaders().items()}
    for _ in range(6):
        slot = hive.tasks[hive.leader()].slot
        hive.kill(hive.leader())
        for _ in range(20):
            hive.run(0.1)
            reigns |= set(hive.leaders().items())
        hive.start(PRIMARY, slot)
        for _ in range(40):
            hive.run(0.1)
            reigns |= set(hive.leaders().items())
    hive.run(10)
    elections = [(who, epoch) for _, who, epoch in told(hive, "election") if who.startswith("a")]
    assert Counter(elections) == Counter(reigns)
    ids = [e.id for e in journal_of(hive)]
    assert len(ids) == len(set(ids))


def test_who_gives_way_says_so(hive):
    """A manager that gives way to a better candidate tells that it released its lease."""
    hive.kill(hive.leader())
    hive.run(1)
    ((second, epoch),) = hive.leaders().items()
    hive.start(PRIMARY, 1)
    hive.run(5)
    assert told(hive, "released", "lost") == [("released", second, epoch)]


def test_who_is_told_to_end_tells_it_last(hive):
    """SIGTERM's last acts release the lease, and tell that."""
    ((who, epoch),) = hive.leaders().items()
    hive.troopers[who].runner.stop()
    assert told(hive, "released") == [("released", who, epoch)]


def test_a_stopped_manager_tells_when_it_really_stopped_leading(hive):
    """Awake again after SIGSTOP it tells that it lost the lease, at the time when that ran out."""
    ((who, epoch),) = hive.leaders().items()
    hive.stopped.add(who)
    stopped = hive.clock.wall_ms()
    hive.run(6)
    hive.stopped.clear()
    hive.run(1)
    (lost,) = [e for e in journal_of(hive) if e.kind == "lost"]
    assert (lost.task_id, lost.epoch) == (who, epoch)
    late = Hive().clock  # an iso of our own to compare with
    late.advance((stopped + 1_500 - late.wall_ms()) / 1000)
    assert lost.at <= late.iso()
    assert told(hive, "started", "ended") == []


def test_a_wiped_bus_has_the_journal_back_without_doubles(hive):
    """Others remember what was told, and the reign after the wipe is one more."""
    hive.kill(hive.leader())
    hive.run(6)
    before = journal_of(hive)
    hive.bus.wipe()
    hive.run(8)
    after = journal_of(hive)
    assert {e.id for e in before} <= {e.id for e in after}
    assert max(Counter(e.id for e in after).values()) == 1
    assert sorted(e.epoch for e in after if e.kind == "election")[-2:] == sorted(
        [*hive.leaders(PRIMARY).values(), *hive.leaders(SECOND).values()]
    )


def test_a_newborn_managers_predecessor_is_told_of_by_others(hive):
    """Where the heir is too young to have seen who died, another trooper tells it, once."""
    hive.bus.set(keys.OVERRIDE.of(PRIMARY), b"1", 300)
    old = hive.leader()
    hive.kill(old)
    young = hive.start(PRIMARY, 1)
    hive.run(12)
    assert hive.leader() == young
    assert told(hive, "ended", "started") == [("ended", old, 0), ("started", young, 0)]


def test_who_comes_and_goes_is_told(hive):
    """A new replica is told when it runs, one that is gone when it is gone, each once."""
    new = hive.start(SECOND, 4)
    hive.run(3)
    hive.kill(new)
    hive.run(12)
    assert told(hive, "started", "ended") == [("started", new, 0), ("ended", new, 0)]


def test_a_bus_that_is_down_does_not_lose_what_was_noted(hive):
    """The end of a reign in an outage of the bus is told when it is back."""
    ((who, epoch),) = hive.leaders().items()
    hive.bus.down = True
    hive.run(5)
    hive.bus.down = False
    hive.run(6)
    assert ("lost", who, epoch) in told(hive, "lost")
    assert len(told(hive, "lost")) == 2


def test_an_append_in_doubt_is_told_once(hive):
    """An append whose answer was lost is looked for by its id before it is tried again."""
    chronicle = Chronicle(hive.clock, Journal(hive.bus, hive.gate, hive.clock, codecs.EVENTS))
    chronicle.note("started", "x", PRIMARY, "t")
    hive.bus.in_doubt = 1
    for _ in range(60):
        hive.clock.advance(0.1)
        with suppress(BusInDoubt):
            chronicle.tick(hive.clock.monotonic())
    assert [e.id for e in journal_of(hive) if e.id == "x"] == ["x"]


class Counted:
    """A journal that counts tries and fails them."""

    def __init__(self) -> None:
        self.tries = 0

    def append(self, _make: object, attempts: int = 1) -> None:
        """Not today."""
        self.tries += attempts
        raise BusDown("the bus was cut off")


def test_a_failing_bus_is_left_alone_for_a_while():
    """After a failure there is no try for two seconds, and never more than one a tick."""
    hive = Hive(1)
    broken = Counted()
    chronicle = Chronicle(hive.clock, cast("Journal[RackEvent]", broken))
    chronicle.note("started", "x", PRIMARY, "t")
    now = hive.clock.monotonic()
    with pytest.raises(BusDown):
        chronicle.tick(now)
    chronicle.tick(now + KEEP_AWAY / 2)
    assert broken.tries == 1
    with pytest.raises(BusDown):
        chronicle.tick(now + KEEP_AWAY)
    assert broken.tries == 2


def test_what_waits_is_bounded():
    """The oldest is given up for the newest."""
    hive = Hive(1)
    journal = Journal[RackEvent](hive.bus, hive.gate, hive.clock, codecs.EVENTS)
    chronicle = Chronicle(hive.clock, journal)
    for number in range(MOST_NOTED + 5):
        chronicle.note("started", f"e{number}", PRIMARY, "t")
    chronicle.flush()
    assert [e.id for e in journal.read()] == [f"e{n}" for n in range(5, MOST_NOTED + 5)]


def test_who_has_nothing_to_tell_asks_no_bus(hive, monkeypatch):
    """A tick without anything noted costs nothing."""
    chronicle = Chronicle(hive.clock, Journal(hive.bus, hive.gate, hive.clock, codecs.EVENTS))
    monkeypatch.setattr(hive.bus, "gets", None)
    chronicle.tick(hive.clock.monotonic())


def test_an_event_costs_one_read_and_one_write(hive, monkeypatch):
    """A tick tells one event, by one read and one write, and leaves the others for the next ticks."""
    chronicle = Chronicle(hive.clock, Journal(hive.bus, hive.gate, hive.clock, codecs.EVENTS))
    for number in range(3):
        chronicle.note("started", f"e{number}", PRIMARY, "t")
    calls: list[str] = []
    for name in ("get", "gets", "add", "cas", "set"):
        inner = getattr(hive.bus, name)
        monkeypatch.setattr(hive.bus, name, partial(_counted, calls, name, inner))
    chronicle.tick(hive.clock.monotonic())
    assert calls == ["gets", "cas"]


def _counted(calls: list[str], name: str, inner: Callable[..., object], *args: object) -> object:
    calls.append(name)
    return inner(*args)


def test_poison_in_the_journal_is_replaced(hive):
    """A hostile value counts as no journal; the next event and the memories of all bring it back."""
    before = journal_of(hive)
    hive.bus.set(KEY, b'[{"id": "1", "seq": 1, "kind": "coup"}]', 60)
    assert journal_of(hive) == []
    hive.run(5)
    assert journal_of(hive) == before


def test_the_journal_is_bounded(hive):
    """The last 200 are kept, within the size that the key allows."""
    journal = Journal[RackEvent](hive.bus, hive.gate, hive.clock, codecs.EVENTS)
    long = RackEvent("", 0, hive.clock.iso(), "ended", PRIMARY, "t" * 25, 10**12, 2, 3, "d" * 40)
    for number in range(210):
        event = replace(long, id=f"{number}-{'x' * 60}")
        journal.append(partial(_with_seq, event))
    assert len(journal.read()) == keys.EVENTS.cap
    assert len(hive.bus.get(KEY)) <= keys.EVENTS.max_bytes


def _with_seq(event: RackEvent, seq: int) -> RackEvent:
    return replace(event, seq=seq)


def test_how_an_event_looks_on_the_bus():
    """``before`` and ``after`` are ``from`` and ``to`` there, and come back."""
    event = RackEvent("e", 1, "at", "scale", PRIMARY, before=3, after=6)
    raw = codecs.EVENTS.encode([event])
    assert b'"from":3,"to":6' in raw
    assert codecs.EVENTS.decode(raw) == [event]
