from __future__ import annotations

import pytest

from load.choices import SHAPES, TAGS, nearest, seconds
from load.shapes import BY_NAME, Plan

PLAN = Plan(users=50, spawn_rate=5.0, duration=100.0)


def users(name: str, plan: Plan = PLAN) -> list[int]:
    """The users wanted in each second until the shape ends the test."""
    told = []
    for second in range(1_000):
        tick = BY_NAME[name](float(second), plan)
        if tick is None:
            break
        told.append(tick[0])
    return told


def test_every_shape_has_its_name():
    """What the command takes is what there is."""
    assert tuple(BY_NAME) == SHAPES


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("plan", [PLAN, Plan(1, 0.5, 1.0), Plan(3, 1.0, 7.0), Plan(1_000, 100.0, 3_600.0)])
def test_a_shape_ends_with_its_time_and_keeps_within_its_users(name, plan):
    """As long as asked for, from one user to all of them, at a rate above zero."""
    assert plan.duration
    elapsed = 0.0
    while elapsed < plan.duration:
        count, rate = BY_NAME[name](elapsed, plan)
        assert 1 <= count <= plan.users
        assert rate > 0
        elapsed += 0.25
    assert BY_NAME[name](plan.duration, plan) is None


@pytest.mark.parametrize("name", SHAPES)
def test_without_a_duration_a_shape_does_not_end(name):
    """It goes on until somebody stops it, and comes to all users."""
    plan = Plan(10, 1.0)
    counts = [BY_NAME[name](float(second), plan)[0] for second in range(0, 90_000, 7)]
    assert max(counts) == 10


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_reaches_its_peak(name):
    """All users are there at some time."""
    assert max(users(name)) == 50


def test_steady_is_the_same_all_the_time():
    """One order to Locust."""
    assert set(users("steady")) == {50}


def test_a_ramp_never_falls_and_rests_at_the_top():
    """It rises for four fifths of the time."""
    told = users("ramp")
    assert told == sorted(told)
    assert told[0] == 1
    assert told[40] < 50
    assert set(told[80:]) == {50}


def test_a_spike_is_the_middle_third():
    """A fifth before and after, all in between."""
    told = users("spike")
    assert set(told[:33]) == set(told[67:]) == {10}
    assert set(told[34:66]) == {50}


def test_a_soak_rises_rests_and_falls():
    """By tenths, in a twentieth of the time each."""
    told = users("soak", Plan(50, 5.0, 1_000.0))
    assert told[0] == 5
    assert set(told[50:950]) == {50}
    assert told[-1] == 5
    assert sorted(told[950:], reverse=True) == told[950:]


@pytest.mark.parametrize(
    ("said", "means"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5_400), ("1h1m1s", 3_661)]
)
def test_durations(said, means):
    """Seconds, or hours, minutes and seconds together."""
    assert seconds(said) == means


@pytest.mark.parametrize("said", ["", "x", "5x", "s", "-1", "1.5m", "0", "8000000s", "5m5h"])
def test_what_is_no_duration_is_refused(said):
    """In one sentence."""
    with pytest.raises(ValueError, match=r"test lasts|no duration"):
        seconds(said)


def test_the_nearest_word_is_suggested():
    """A typing mistake has a suggestion, nonsense has none."""
    assert nearest("stedy", SHAPES) == "steady"
    assert nearest("choas", TAGS) == "chaos"
    assert nearest("qqqq", TAGS) == ""
