"""The election rule under every schedule that hypothesis can think of.

Each candidate's step is cut into its two halves, the look and the write, and anything may come between
them: time, another's write, a lost answer, the end of a process. A model-based test in the manner of
Claessen and Hughes' QuickCheck state machines, here with hypothesis.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from clawbucket import codecs
from clawbucket.bus.memory import MemoryBus
from clawbucket.codecs import Gate
from clawbucket.core.election import Bid, Candidacy, How, Ranking, Timing
from clawbucket.core.records import Lease
from clawbucket.ports import BusInDoubt, CasToken
from tests.fakes import FakeClock

KEY = "clawbucket:leader:s"
WHO = st.sampled_from(["t1", "t2", "t3"])


@dataclass
class Pending:
    """A bid between the look that decided it and the write."""

    bid: Bid
    token: CasToken | None


class Election(RuleBasedStateMachine):
    """Three slots, one lease."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.bus = MemoryBus(self.clock)
        self.gate = Gate(self.clock)
        self.names = {slot: f"{slot}.0" for slot in ("t1", "t2", "t3")}
        self.candidates = {slot: Candidacy(name) for slot, name in self.names.items()}
        self.pending: dict[str, Pending] = {}
        self.ended: set[str] = set()
        self.beats: dict[str, int] = defaultdict(int)
        self.epoch_owner: dict[int, str] = {}
        self.highest = 0
        self.everybody_looks()

    @rule(seconds=st.sampled_from([0.001, 0.05, 0.1, 0.4, 0.99, 1.0, 1.5, 1.7, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(slot=WHO)
    def looks(self, slot: str) -> None:
        me = self.candidates[slot]
        now = self.clock.monotonic()
        found = self.bus.gets(KEY)
        lease = self.gate.read(codecs.LEASE, KEY, found[0]) if found else None
        me.see(lease, now, holder_ended=lease is not None and lease.task_id in self.ended)
        order = tuple(self.names[s] for s in sorted(self.names))
        bid = me.decide(now, self.clock.wall_ms(), order, dict(self.beats))
        if bid is not None:
            self.pending[slot] = Pending(bid, found[1] if found else None)
        else:
            self.pending.pop(slot, None)

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.7, 5.0]))
    def everybody_looks(self, seconds: float = 0.0) -> None:
        """As happens when a lease dies: all see it before anybody has written."""
        self.clock.advance(seconds)
        for slot in self.names:
            self.looks(slot)

    @rule(awake=st.sets(WHO, min_size=1), ticks=st.sampled_from([3, 10, 25]))
    def they_go_on(self, awake: set[str], ticks: int) -> None:
        """Ordinary life of those that are not stopped: a look and a write each tenth of a second."""
        for _ in range(ticks):
            self.clock.advance(0.1)
            for slot in sorted(awake):
                self.looks(slot)
                self.writes(slot, answer_lost=False)
                self.no_two_lead_at_once()
                self.an_epoch_has_one_leader()

    @rule(order=st.permutations(["t1", "t2", "t3"]))
    def everybody_writes(self, order: list[str]) -> None:
        """The race that follows."""
        for slot in order:
            self.writes(slot, answer_lost=False)

    @rule(slot=WHO, answer_lost=st.booleans())
    def writes(self, slot: str, answer_lost: bool) -> None:
        pending = self.pending.pop(slot, None)
        if pending is None:
            return
        me = self.candidates[slot]
        self.bus.in_doubt = int(answer_lost)
        encoded = codecs.LEASE.encode(pending.bid.lease)
        try:
            if pending.bid.how is How.ADD:
                stored = self.bus.add(KEY, encoded, 86_400)
            else:
                stored = self.bus.cas(KEY, encoded, pending.token or CasToken(b"0"), 86_400)
        except BusInDoubt:
            me.in_doubt()
            return
        if stored:
            me.confirmed(dict(self.beats), self.clock.monotonic())
        else:
            me.refused()

    @rule(slot=WHO)
    def beats_again(self, slot: str) -> None:
        self.beats[self.names[slot]] += 1

    @rule(slot=WHO)
    def dies_and_is_replaced(self, slot: str) -> None:
        self.ended.add(self.names[slot])
        generation = int(self.names[slot].split(".")[1]) + 1
        self.names[slot] = f"{slot}.{generation}"
        self.candidates[slot] = Candidacy(self.names[slot])
        self.pending.pop(slot, None)

    @rule()
    def bus_is_wiped(self) -> None:
        """At any moment, also between a look and the write that it led to."""
        self.bus.wipe()

    @rule(
        raw=st.sampled_from(
            [b"", b"null", b"[]", b'{"task_id": 3}', b"\xff", b'{"task_id":"x","epoch":-1,"renewal":0}']
        )
    )
    def is_poisoned(self, raw: bytes) -> None:
        self.bus.set(KEY, raw, 86_400)

    @invariant()
    def no_two_lead_at_once(self) -> None:
        now = self.clock.monotonic()
        leading = {s: e for s, c in self.candidates.items() if (e := c.leads(now)) is not None}
        assert len(leading) <= 1, leading

    @invariant()
    def an_epoch_has_one_leader(self) -> None:
        now = self.clock.monotonic()
        for slot, candidate in self.candidates.items():
            epoch = candidate.leads(now)
            if epoch is None:
                continue
            owner = self.epoch_owner.setdefault(epoch, self.names[slot])
            assert owner == self.names[slot], f"epoch {epoch} had {owner} and {self.names[slot]}"
            assert epoch >= self.highest, f"epoch {epoch} after {self.highest}"
            self.highest = epoch


TestElection = pytest.mark.slow(Election.TestCase)
TestElection.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip


def test_a_wipe_makes_no_second_leader_beside_one_that_is_stopped():
    """The leader stops, the bus is wiped, another takes what is not there: not while the first may lead."""
    for stalled_write in (False, True):
        machine = Election()
        machine.they_go_on({"t1"}, 25)
        assert machine.candidates["t1"].leads(machine.clock.monotonic()) is not None
        if stalled_write:
            machine.bus.wipe()
            machine.clock.advance(0.6)
            machine.looks("t2")
            machine.they_go_on({"t1"}, 3)
        machine.bus_is_wiped()
        machine.writes("t2", answer_lost=False)
        machine.they_go_on({"t2"}, 40)
        assert machine.candidates["t2"].leads(machine.clock.monotonic()) is not None


def driven(slots: int = 2) -> tuple[FakeClock, list[Candidacy], tuple[str, ...]]:
    """Some candidates that have looked at an empty bus."""
    clock = FakeClock()
    order = tuple(f"t{n}" for n in range(slots))
    candidates = [Candidacy(name) for name in order]
    for candidate in candidates:
        candidate.see(None, clock.monotonic())
    return clock, candidates, order


def elected(candidate: Candidacy, clock: FakeClock, order: tuple[str, ...], ahead_ms: int = 0) -> None:
    """Have it win an absent lease and serve its probation."""
    clock.advance(2)
    candidate.decide(clock.monotonic(), clock.wall_ms() + ahead_ms, order, {})
    candidate.confirmed({}, clock.monotonic())
    assert candidate.leads(clock.monotonic()) is None
    clock.advance(1.5)
    candidate.decide(clock.monotonic(), clock.wall_ms(), order, {})
    candidate.confirmed({}, clock.monotonic())
    assert candidate.leads(clock.monotonic()) is not None


def test_an_absent_lease_is_left_to_its_former_leader_for_a_moment():
    """Half a second passes before anybody else bids for what is not there; then the first does."""
    clock, (first, second), order = driven()
    clock.advance(0.49)
    assert first.decide(clock.monotonic(), clock.wall_ms(), order, {}) is None
    clock.advance(0.02)
    assert first.decide(clock.monotonic(), clock.wall_ms(), order, {}).how is How.ADD
    assert second.decide(clock.monotonic(), clock.wall_ms(), order, {}) is None


def test_the_second_candidate_bids_a_rank_later():
    """The k-th candidate bids k x 150 ms after the first may."""
    clock, (_, second), order = driven()
    clock.advance(0.66)
    assert second.decide(clock.monotonic(), clock.wall_ms(), order, {}).how is How.ADD


def test_a_lease_put_where_none_was_is_on_probation():
    """It leads only by a renewal sent 1.5 s after the bus took it: a leader of before has stopped then."""
    clock, (first, _), order = driven()
    clock.advance(2)
    first.decide(clock.monotonic(), clock.wall_ms(), order, {})
    first.confirmed({}, clock.monotonic())
    for _ in range(3):
        clock.advance(0.45)
        assert first.decide(clock.monotonic(), clock.wall_ms(), order, {}) is not None
        first.confirmed({}, clock.monotonic())
        assert first.leads(clock.monotonic()) is None
    clock.advance(0.2)
    first.decide(clock.monotonic(), clock.wall_ms(), order, {})
    first.confirmed({}, clock.monotonic())
    assert first.leads(clock.monotonic()) is not None


def test_a_leader_steps_down_a_second_after_its_last_confirmed_renewal():
    """Counted from before the renewal left, whatever became of the next one."""
    clock, (first, _), order = driven()
    elected(first, clock, order)
    clock.advance(0.5)
    sent_at = clock.monotonic()
    first.decide(sent_at, clock.wall_ms(), order, {})
    clock.advance(0.3)
    first.confirmed({}, clock.monotonic())
    assert first.leads(sent_at + 0.99) is not None
    assert first.leads(sent_at + 1.0) is None


def test_an_epoch_is_above_the_highest_seen_even_when_the_wall_clock_is_behind():
    """An epoch is max(highest seen + 1, unix milliseconds)."""
    clock, (first, second), order = driven()
    elected(first, clock, order, ahead_ms=5_000_000)
    lease = first.lease
    second.see(lease, clock.monotonic())
    clock.advance(2)
    second.see(lease, clock.monotonic())
    bid = second.decide(clock.monotonic(), clock.wall_ms(), order, {})
    assert bid.lease.epoch == lease.epoch + 1


def test_timings_that_could_let_two_lead_are_refused():
    """A follower may never start before a leader must have stopped."""
    with pytest.raises(ValueError, match="step_down < dead_after"):
        Timing(step_down=1.6)


def test_a_ranking_tells_ranks_as_a_tuple_does():
    """It is the tuple of its ids, and finds each at once."""
    ranking = Ranking(f"t{number}" for number in range(100))
    assert ranking == tuple(f"t{number}" for number in range(100))
    assert [ranking.rank(who) for who in ranking] == list(range(100))
    assert "t42" in ranking
    assert "nobody" not in ranking
    assert Ranking() == ()


@pytest.mark.parametrize("holder", ["a", "b", "c", "d", "z"])
@pytest.mark.parametrize("released", [False, True])
def test_a_follower_waits_for_its_rank_among_the_others(holder, released):
    """Whoever held the lease last is not counted, unless it gave it up and is a candidate still."""
    order, clock = ("a", "b", "c", "d"), FakeClock()
    for me in order:
        if me == holder and not released:
            continue
        candidate = Candidacy(me)
        now = clock.monotonic()
        candidate.see(Lease(holder, 5, 1, released), now)
        others = [who for who in order if released or who != holder]
        free_at = now + (0.0 if released else Timing().dead_after)
        turn = free_at + others.index(me) * Timing().by_rank
        assert candidate.decide(turn - 0.001, clock.wall_ms(), order, {}) is None
        assert candidate.decide(turn + 0.001, clock.wall_ms(), order, {}) is not None
