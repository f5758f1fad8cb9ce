"""What the page shows beside the contract's fields."""

from __future__ import annotations

from typing import get_args

import pytest

from app.shown import FAR, band, in_all, of_trooper, ranks, with_ranks
from clawbucket.core import rps
from clawbucket.core.board import Squad, Trooper
from clawbucket.core.model import ArmState, Freshness
from clawbucket.core.records import Choice


def trooper(task_id: str = "x", **fields: object) -> Trooper:
    """A trooper of the board."""
    said: dict[str, object] = {
        "id": task_id, "slot": 1, "state": "running", "desired_state": "running", "node_id": "1", "node": "n",
        "task_name": f"s.1.{task_id}", "name": "Brave Otter", "color": "#000000", "is_manager": False,
        "manager_confirmed": False, "score": 0, "three_words": "", "words_source": "fallback",
        "freshness": Freshness.ALIVE, "arm": ArmState.OFF, "round": 0, "move": None, "outcome": None,
        "started_at": "", **fields,
    }  # fmt: skip
    return Trooper(**said)  # type: ignore[arg-type]


def squad(*troopers: Trooper, **fields: object) -> Squad:
    """A squad of them."""
    return Squad("s", "S", 3, len(troopers), troopers, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("mine", get_args(Choice))
@pytest.mark.parametrize("theirs", get_args(Choice))
def test_what_somebody_met_follows_from_how_it_went(mine: Choice, theirs: Choice):
    """In every round, the leader's move can be told from the other's and the outcome."""
    assert rps.met(mine, rps.judge(mine, theirs)) == theirs


@pytest.mark.parametrize(
    ("outcome", "change"), [("win", "+1"), ("loss", "\N{MINUS SIGN}1"), ("draw", "±0"), (None, None)]
)
def test_a_tile_tells_what_its_last_round_did(outcome: str | None, change: str | None):
    """The last change of a score is the last round's."""
    said = of_trooper(trooper(move="rock" if outcome else None, outcome=outcome), squad())
    assert said["change"] == change


def test_a_score_has_one_of_five_colours():
    """The outer ones begin at a fixed distance from nought, on both sides."""
    scores = (-FAR, 1 - FAR, -1, 0, 1, FAR - 1, FAR, 10**6)
    assert [band(n) for n in scores] == ["low", "less", "less", "even", "more", "more", "high", "high"]
    assert of_trooper(trooper(score=FAR), squad())["band"] == "high"


def test_only_the_manager_has_an_epoch():
    """The epoch is the lease's, so it is told of whoever holds that."""
    led = squad(manager_epoch=7)
    assert [of_trooper(trooper(is_manager=m), led)["epoch"] for m in (True, False)] == [7, None]


def test_equals_share_a_rank():
    """Two firsts are followed by a third."""
    assert ranks([1, 5, -2, 5]) == {5: 1, 1: 3, -2: 4}


def test_a_rank_is_among_ones_own_service():
    """The page's records have a rank beside what the stream tells; nobody of another service counts."""
    tasks = {
        "a": {"service": "s", "score": 1},
        "b": {"service": "s", "score": 2},
        "c": {"service": "t", "score": 0},
    }
    ranked = with_ranks({"chat": "0:", "tasks": tasks})
    assert {task: record["rank"] for task, record in ranked["tasks"].items()} == {"a": 2, "b": 1, "c": 1}
    assert ranked["chat"] == "0:"
    assert "rank" not in tasks["a"]


def test_the_rack_in_one_line():
    """Sums over all services; the manager is the primary's; nobody is made up where there is none."""
    first = squad(trooper("a", score=2, is_manager=True, manager_confirmed=True), manager_epoch=9)
    second = squad(trooper("b", score=-5, freshness=Freshness.MISSING))
    assert in_all([first, second], "s") == {
        "running": 2, "desired": 6, "not_alive": 1, "score": -3, "manager": "Brave Otter",
        "manager_confirmed": True, "epoch": 9,
    }  # fmt: skip
    assert in_all([squad()], "s")["manager"] is None
    assert in_all([], "s")["epoch"] is None
