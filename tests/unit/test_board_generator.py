"""The made-up board that the dashboard is measured on: as large, and changing as much, as it says."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from app.factory import create_app
from app.fanout import diff
from app.stream import state_of
from bench import page_memory, viewers
from bench.board_generator import SERVICES, MadeBoard, made_up
from bench.page_memory import Heap

TILES = 200


class Seconds:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    """The generator's clock."""
    return Seconds()


@pytest.fixture
def board(seconds: Seconds) -> MadeBoard:
    """Two hundred troopers, of whom a twentieth changes every half second."""
    return MadeBoard(made_up(0), TILES, share=0.05, tick=0.5, now=seconds)


def test_a_twentieth_changes_a_tick(board: MadeBoard, seconds: Seconds):
    """Ten of two hundred have other words or another score after a tick; nobody within one."""
    before = board.board()
    seconds.now += 0.4
    assert board.board() is before
    seconds.now += 0.2
    old = {t.id: t for squad in before.squads for t in squad.replicas}
    new = {t.id: t for squad in board.board().squads for t in squad.replicas}
    assert old.keys() == new.keys()
    assert sum(old[who] != new[who] for who in old) == TILES // 20


def test_each_board_says_when_its_change_was_due(board: MadeBoard, seconds: Seconds):
    """By the tick, not by when somebody looked: waiting for the look is part of the lag."""
    seconds.now += 0.7
    throw = board.board().throw
    assert throw is not None
    assert float(throw.at) == pytest.approx(100.5)


def test_the_viewers_find_that_time_in_the_delta(board: MadeBoard, seconds: Seconds):
    """It is in every delta, where bench/viewers.py looks for it."""
    states = []
    for _ in range(2):
        seconds.now += 0.5
        states.append(state_of(board.board()))
    patch = diff(*states)
    line = b"data: " + orjson.dumps(patch)
    due = viewers.DUE.search(line)
    assert due is not None
    assert float(due[1]) == pytest.approx(seconds.now)


@pytest.mark.parametrize("density", ["comfortable", "compact", "heat"])
def test_every_trooper_has_a_tile(density: str):
    """The real page shows as many tiles as were asked for, in every service."""
    html = create_app(made_up(40)).test_client().get(f"/?density={density}").get_data(as_text=True)
    assert html.count('<li class="tile') == 40
    assert all(f'id="squad-{service}"' in html for service in SERVICES)


def test_the_load_stays_on_this_machine():
    """Viewers of anything but the loopback, or too many of them, are refused."""
    for url, count in (("http://192.0.2.1:80", 1), ("http://127.0.0.1:80", viewers.MOST + 1)):
        with pytest.raises(ValueError, match="of this machine's loopback"):
            asyncio.run(viewers.run(url, count, 1.0))


def test_a_short_run_does_not_claim_the_long_one():
    """The bar on memory is for thirty minutes: only a run as long is held to it."""
    (short,) = page_memory.figures(Heap([100.0, 150.0], [1.0, 1.0]), 3.0)
    (long,) = page_memory.figures(Heap([100.0, 150.0], [1.0, 1.0]), 30.0)
    assert (short.met, long.met) == (None, False)
    assert short.value == long.value == pytest.approx(50.0)
