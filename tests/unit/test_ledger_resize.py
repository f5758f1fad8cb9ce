"""The local engine's decisions where a service has one replica more, or one less."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clawbucket.core.model import TaskState
from clawbucket.ports import Conflict, ServiceUnknown, TaskUnknown
from rack.engines.slots import KEPT_MARKS, MOST
from tests.unit.ledger_play import A, B, Play


def test_one_more_fills_the_lowest_free_slot() -> None:
    """A gap first, then the next number."""
    play = Play()
    play.turn()
    play.ledger.resize(A, -1, "a", play.slot(2).id)
    play.ledger.exited(play.slot(2).id, 0)
    assert play.ledger.resize(A, 1, "b") == 3
    assert play.ledger.resize(A, 1, "c") == 4
    assert [task.slot for task in play.turn()] == [2, 4]


def test_one_less_is_the_highest_slot_unless_somebody_is_named() -> None:
    """Without a name the highest goes, over a gap too; the others keep their slots and ids."""
    play = Play()
    play.turn()
    first, second, third = (play.slot(n).id for n in (1, 2, 3))
    assert play.ledger.resize(A, -1, "a", first) == 2
    assert play.ledger.resize(A, -1, "b") == 1
    assert [(t.id, t.slot) for t in play.tasks() if not t.desired_state.ended] == [(second, 2)]
    play.later(0.2)
    assert {stop.task_id for stop in play.stops} == {first, third}
    assert not any(stop.hard for stop in play.stops)


def test_scale_after_a_gap_counts_slots_and_not_their_numbers() -> None:
    """With a gap the same count changes nothing, one more fills it, and one less is the highest."""
    play = Play()
    play.turn()
    play.ledger.resize(A, -1, "a", play.slot(1).id)
    play.ledger.exited(play.slot(1).id, 0)
    version = play.ledger.version
    play.ledger.scale(A, 2)
    assert play.ledger.version == version
    assert play.turn() == []
    play.ledger.scale(A, 3)
    assert [task.slot for task in play.turn()] == [1]
    play.ledger.scale(A, 2)
    assert [task.slot for task in play.tasks() if not task.desired_state.ended] == [1, 2]


def test_a_mark_counts_once() -> None:
    """Asked again it changes nothing, whatever else is asked with it, and tells the count of now."""
    play = Play()
    play.turn()
    assert play.ledger.resize(A, 1, "a") == 4
    play.ledger.scale(A, 2)
    version = play.ledger.version
    assert play.ledger.resize(A, 1, "a") == 2
    assert play.ledger.resize(A, -1, "a", "nobody") == 2
    assert play.ledger.version == version
    assert play.ledger.resize(B, 1, "a") == 4


def test_marks_are_kept_with_the_count_and_bounded() -> None:
    """The state has the last 64 of a service, and another ledger goes by them."""
    play = Play()
    for number in range(KEPT_MARKS + 2):
        play.ledger.resize(A, -1 if number % 2 else 1, f"m{number}")
    state = play.ledger.state()
    assert state.marks == {A: tuple(f"m{number}" for number in range(2, KEPT_MARKS + 2)), B: ()}
    after = Play(state=state)
    assert after.ledger.resize(A, 1, f"m{KEPT_MARKS}") == 3
    assert after.ledger.resize(A, 1, "m0") == 4


def test_gaps_survive_a_change_of_ledger() -> None:
    """The slots wanted are in the state; a state of before has none, and one that disagrees has the count."""
    play = Play()
    play.turn()
    play.ledger.resize(A, -1, "a", play.slot(1).id)
    state = play.ledger.state()
    assert state.wanted == {A: (2, 3), B: (1, 2, 3)}
    alone = replace(state, tasks=())
    assert [t.slot for t in Play(state=alone).turn() if t.service == A] == [2, 3]
    before = replace(alone, wanted={}, marks={})
    assert [t.slot for t in Play(state=before).turn() if t.service == A] == [1, 2]
    other = replace(alone, wanted={A: (4, 5, 6)})
    assert [t.slot for t in Play(state=other).turn() if t.service == A] == [4, 5]


def test_who_leaves_may_have_ended() -> None:
    """Its slot is given up with whoever fills it now; given up already, no other is."""
    play = Play()
    play.turn()
    gone = play.slot(1).id
    play.ledger.exited(gone, 137)
    play.turn()
    replacement = play.slot(1).id
    assert play.ledger.resize(A, -1, "a", gone) == 2
    assert play.slot(1).desired_state is TaskState.SHUTDOWN
    play.ledger.exited(replacement, 0)
    assert play.turn() == []
    assert play.ledger.resize(A, -1, "b", gone) == 2
    assert play.ledger.resize(A, -1, "c", replacement) == 2
    assert [task.slot for task in play.tasks()] == [2, 3]
    assert play.ledger.state().marks[A] == ("a", "b", "c")


def test_resize_refuses_what_it_cannot_do() -> None:
    """Beyond 1 to 20, a task of nobody's or of another service, an unknown service, a step that is none."""
    play = Play(replicas=1)
    play.turn()
    version = play.ledger.version
    with pytest.raises(Conflict, match="0 is not from 1 to 20"):
        play.ledger.resize(A, -1, "a")
    with pytest.raises(Conflict, match="1 to 20"):
        play.ledger.resize(A, -1, "a", play.slot(1).id)
    for stranger in ("nobody", play.slot(1, B).id):
        with pytest.raises(TaskUnknown, match=stranger):
            play.ledger.resize(A, -1, "a", stranger)
    with pytest.raises(ServiceUnknown, match="nobody"):
        play.ledger.resize("nobody", 1, "a")
    with pytest.raises(Conflict, match="by 1 or by -1"):
        play.ledger.resize(A, 2, "a")
    with pytest.raises(Conflict, match="only leave"):
        play.ledger.resize(A, 1, "a", play.slot(1).id)
    assert play.ledger.version == version
    play.ledger.scale(A, MOST)
    with pytest.raises(Conflict, match="21 is not from 1 to 20"):
        play.ledger.resize(A, 1, "a")
    assert play.ledger.state().marks[A] == ()


def test_a_rolling_restart_goes_on_past_a_slot_that_was_given_up() -> None:
    """It does not wait for a replacement that nobody wants."""
    play = Play()
    play.turn()
    first, rest = play.slot(1).id, [play.slot(2).id, play.slot(3).id]
    play.ledger.restart(A)
    play.turn()
    play.ledger.resize(A, -1, "a", first)
    play.ledger.exited(first, 0)
    play.turn()
    assert [t.id for t in play.tasks() if t.desired_state is TaskState.SHUTDOWN] == rest[:1]
