"""The scoring rule under every schedule: rounds, kills, stops, a bus cut off, wiped or losing answers."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from clawbucket import codecs, keys
from clawbucket.core.records import Throw
from clawbucket.core.rps import ScoreCard, clamped_interval, judge, next_round, scored
from tests.hive import PRIMARY, Hive

SLOT = st.integers(min_value=1, max_value=3)


class Scores(RuleBasedStateMachine):
    """Three troopers who play; what each has scored is followed from the outside."""

    def __init__(self) -> None:
        super().__init__()
        self.hive = Hive()
        self.hive.bus.set(keys.RPS_INTERVAL.of(), b"2", 86_400)
        self.cards: dict[str, ScoreCard] = {}
        self.highest_epoch = 0

    def _in_slot(self, slot: int) -> str:
        return self.hive.running_in(PRIMARY, slot)

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 2.5]))
    def time_passes(self, seconds: float) -> None:
        self.hive.run(seconds)

    @rule(slot=SLOT)
    def dies_and_is_replaced(self, slot: int) -> None:
        self.hive.kill(self._in_slot(slot))
        self.hive.start(PRIMARY, slot)

    @rule(slot=SLOT)
    def is_stopped(self, slot: int) -> None:
        self.hive.stopped.add(self._in_slot(slot))

    @rule()
    def all_go_on(self) -> None:
        self.hive.stopped.clear()

    @rule()
    def bus_is_wiped(self) -> None:
        self.hive.bus.wipe()

    @rule(down=st.booleans())
    def bus_is_cut_off_or_back(self, down: bool) -> None:
        self.hive.bus.down = down

    @rule(answers=st.integers(min_value=1, max_value=4))
    def answers_are_lost(self, answers: int) -> None:
        self.hive.bus.in_doubt = answers

    @invariant()
    def a_round_is_scored_at_most_once(self) -> None:
        for who, trooper in self.hive.troopers.items():
            now, before = trooper.memory.card, self.cards.get(who, ScoreCard())
            assert now.round >= before.round, f"{who} went back from {before} to {now}"
            if now.round == before.round:
                assert now == before, f"{who} scored round {now.round} again"
            assert abs(now.score - before.score) <= now.round - before.round
            self.cards[who] = now

    @invariant()
    def one_leads_in_rising_epochs(self) -> None:
        leaders = self.hive.leaders()
        assert len(leaders) <= 1
        for epoch in leaders.values():
            assert epoch >= self.highest_epoch
            self.highest_epoch = epoch

    @invariant()
    def no_behaviour_has_a_bug(self) -> None:
        assert not any(t.runner.bugs for t in self.hive.troopers.values())

    def teardown(self) -> None:
        """Left alone for twelve seconds, everything is published as it is remembered, and rounds go on."""
        self.hive.bus.down, self.hive.bus.in_doubt = False, 0
        self.hive.stopped.clear()
        self.hive.bus.set(keys.RPS_INTERVAL.of(), b"2", 86_400)
        self.hive.run(12)
        assert self.hive.leader() is not None
        for who, trooper in self.hive.troopers.items():
            assert self.hive.bus.get(keys.SCORE.of(who)) == codecs.SCORE.encode(trooper.memory.card.score)
        throw = self.hive.gate.read(codecs.THROW, "t", self.hive.bus.get(keys.RPS_STATE.of()))
        self.hive.run(5)
        later = self.hive.gate.read(codecs.THROW, "t", self.hive.bus.get(keys.RPS_STATE.of()))
        assert later.round > throw.round


TestScores = pytest.mark.slow(Scores.TestCase)
TestScores.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip


def throw(number: int, choice: str = "rock") -> Throw:
    """A throw of that round."""
    return Throw(choice, "Bold Bat", "", number, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mine", "theirs", "outcome"),
    [
        ("rock", "scissors", "win"), ("paper", "rock", "win"), ("scissors", "paper", "win"),
        ("rock", "paper", "loss"), ("paper", "scissors", "loss"), ("scissors", "rock", "loss"),
        ("rock", "rock", "draw"),
    ],
)  # fmt: skip
def test_the_rules_of_the_game(mine, theirs, outcome):
    """Rock blunts scissors, paper wraps rock, scissors cut paper."""
    assert judge(mine, theirs) == outcome


def test_a_win_counts_one_a_loss_takes_one_a_draw_nothing():
    """The points of the contract."""
    card = scored(ScoreCard(), throw(1), "paper")
    assert card == ScoreCard(1, 1, "paper", "win")
    assert scored(card, throw(2), "scissors").score == 0
    assert scored(card, throw(2), "rock").score == 1


def test_a_round_seen_again_or_late_changes_nothing():
    """A round at or below the last one scored leaves the card as it is."""
    card = scored(ScoreCard(), throw(7), "paper")
    assert scored(card, throw(7), "paper") is card
    assert scored(card, throw(3), "paper") is card


def test_the_next_round_is_above_all_that_were_seen():
    """One more than the highest; the first is 1."""
    assert next_round([3, 9, 4]) == 10
    assert next_round([]) == 1


def test_an_interval_is_clamped():
    """2 to 120 seconds."""
    assert [clamped_interval(n) for n in (-5, 1, 2, 60, 121)] == [2, 2, 2, 60, 120]
