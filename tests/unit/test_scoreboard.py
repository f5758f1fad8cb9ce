import random

from hypothesis import given
from hypothesis import strategies as st

from clawbucket.core.model import ArmState
from clawbucket.core.records import ArmEvent
from clawbucket.core.scoreboard import scoreboard


def event(task: str, state: str, seq: int, bot: str = "") -> ArmEvent:
    """An event whose id and time are its sequence number's."""
    return ArmEvent(f"e{seq}", seq, task, bot or task.upper(), ArmState(state), f"at {seq}", "dashboard")


EVENTS = st.lists(
    st.builds(event, st.sampled_from("abc"), st.sampled_from(["on", "off"]), st.integers(0, 30)), max_size=30
)


def test_counts_and_state():
    """ON counts one up, OFF one down; the state, name and time are the latest event's."""
    (line,) = scoreboard([event("a", "on", 1), event("a", "off", 2), event("a", "on", 3, "Ace")])
    assert (line.on, line.off, line.toggles, line.score) == (2, 1, 3, 1)
    assert (line.bot, line.current_on_state, line.last_state, line.last_event_at) == ("Ace", 1, "on", "at 3")


def test_latest_is_by_sequence_not_by_place():
    """An event that arrives late does not become the latest one."""
    (line,) = scoreboard([event("a", "on", 9), event("a", "off", 3)])
    assert line.last_state == "on"


def test_order():
    """The armed come first, then the higher score, then the more toggles."""
    lines = scoreboard(
        [
            event("disarmed", "on", 1), event("disarmed", "on", 2), event("disarmed", "off", 3),
            event("armed-low", "off", 4), event("armed-low", "on", 5),
            event("armed-quiet", "on", 6),
            event("armed-busy", "on", 7), event("armed-busy", "off", 8), event("armed-busy", "on", 9),
        ]
    )  # fmt: skip
    assert [x.task_id for x in lines] == ["armed-busy", "armed-quiet", "armed-low", "disarmed"]


@given(EVENTS, st.randoms(use_true_random=False))
def test_neither_order_nor_copies_matter(events: list[ArmEvent], rng: random.Random):
    """The same events give the same scoreboard in any order, and told twice."""
    events = list({e.id: e for e in events}.values())
    again = [*events, *events]
    rng.shuffle(again)
    assert scoreboard(again) == scoreboard(events)


@given(EVENTS)
def test_every_event_counts_once(events: list[ArmEvent]):
    """The lines' toggles add up to the number of distinct events."""
    assert sum(x.toggles for x in scoreboard(events)) == len({e.id for e in events})
