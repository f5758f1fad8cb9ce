"""What a replica remembers of the board: bounded, gaps told as gaps, and who is gone forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from clawbucket.board import BoardReader
from clawbucket.core.board import Board, Squad, Trooper
from clawbucket.core.history import (
    BUS,
    FORGET_AFTER,
    MOST_CHANGES,
    MOST_GONE,
    MOST_POINTS,
    MOST_SAMPLES,
    SAMPLE_EVERY,
    UNWATCHED,
    Gap,
    History,
    Reign,
    TaskHistory,
)
from clawbucket.core.model import ArmState, Freshness
from clawbucket.core.records import Haiku
from clawbucket.loops.watching import Watching
from clawbucket.ports import BusDown
from clawbucket.settings import Settings
from clawbucket.watched import Watched
from tests.hive import PRIMARY, Hive

AT = "2026-01-01T00:00:00.000Z"


def trooper(task_id: str = "a", **fields: object) -> Trooper:
    """A trooper of the board."""
    said: dict[str, Any] = {
        "id": task_id, "slot": 1, "state": "running", "desired_state": "running", "node_id": "1", "node": "n",
        "task_name": f"s.1.{task_id}", "name": "Brave Otter", "color": "#000000", "is_manager": False,
        "manager_confirmed": False, "score": 0, "three_words": "", "words_source": "fallback",
        "freshness": Freshness.ALIVE, "arm": ArmState.OFF, "round": 0, "move": None, "outcome": None,
        "started_at": "", **fields,
    }  # fmt: skip
    return Trooper(**said)


class Observer:
    """A History, and boards to show it, one a second."""

    def __init__(self) -> None:
        self.now = 100.0
        self.history = History(self.now, AT)
        self._version = 0

    def see(self, *troopers: Trooper, after: float = 1.0, squad: str | None = None, **fields: object) -> None:
        """Let time pass, and look at a board with them; ``squad``: why the service cannot be read."""
        self._version += 1
        manager = next((t.id for t in troopers if t.is_manager), None)
        seen = Squad("s", "s", len(troopers), len(troopers), troopers, manager, error=squad)
        said: dict[str, Any] = {
            "version": self._version, "at": AT, "rack": "r", "primary": "s", "squads": (seen,), "throw": None,
            "interval_seconds": 10, "haiku": Haiku("x", "fallback", AT), "chat": (), "arm_events": (),
            **fields,
        }  # fmt: skip
        self.look(Board(**said), after)

    def look(self, board: Board | None, after: float = 1.0) -> None:
        """Let time pass, and look."""
        self.now += after
        self.history.look(board, self.now, f"at {self.now:.0f}")

    def task(self, task_id: str = "a") -> TaskHistory:
        """What is remembered of that task."""
        return self.history.tasks[task_id]

    def points(self) -> list[tuple[int, int]]:
        """Its rounds and scores."""
        return list(zip(self.task().rounds, self.task().scores, strict=True))


@pytest.fixture
def observer() -> Observer:
    """One that has seen nothing."""
    return Observer()


# -- scores ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ([(1, 0), (1, 0)], [(1, 0)]),
        ([(1, 0), (2, 1)], [(1, 0), (2, 1)]),
        ([(1, 0), (1, 1), (2, 1)], [(1, 0), (2, 1)]),
        ([(1, 0), (2, 0)], [(1, 0), (2, 0)]),
        ([(1, 0), (1, 1), (4, 1)], [(1, 0), (4, 1)]),
        ([(5, 0), (5, 1), (5, 2), (7, 2)], [(5, 0), (6, 1), (7, 2)]),
        ([(5, 0), (5, 1), (6, 2), (7, 2)], [(5, 0), (6, 1), (7, 2)]),
        ([(5, 0), (5, 1), (5, 2), (6, 2), (7, 2), (8, 2)], [(5, 0), (6, 1), (7, 2), (8, 2)]),
        ([(9, 4), (0, 4), (1, 5)], [(9, 4), (0, 4), (1, 5)]),
    ],
    ids=[
        "nothing new", "both at once", "the score first", "a draw", "rounds that were missed",
        "two scores first", "the next score with the last round", "a beat that lags by one",
        "a program that began anew",
    ],
)  # fmt: skip
def test_a_score_stands_beside_its_round(observer, told, kept):
    """A point a round, although a score is published before the round that made it."""
    for number, score in told:
        observer.see(trooper(round=number, score=score))
    assert observer.points() == kept


def test_no_score_is_lost_whatever_the_beats_do():
    """However late its beats come, the newest scores are those that were published, in their order."""
    rng = Random(6)
    for _ in range(200):
        history = Observer()
        score, number, told, published = 0, 1, 1, [0]
        history.see(trooper(round=1))
        for _ in range(rng.randrange(100)):
            if rng.random() < 0.6:
                number += 1
                move = rng.choice((-1, 0, 1))
                score += move
                published += [score] if move else []
            if rng.random() < 0.4:
                told = number
            history.see(trooper(round=told, score=score))
        kept = history.points()
        without_draws = [score for i, (_, score) in enumerate(kept) if not i or kept[i - 1][1] != score]
        assert without_draws == published[-len(without_draws) :]
        assert [number for number, _ in kept] == sorted({number for number, _ in kept})
        assert len(kept) <= MOST_POINTS


def test_only_the_latest_points_are_kept(observer):
    """The oldest make room."""
    for number in range(200):
        observer.see(trooper(round=number, score=-number))
    assert observer.points() == [(number, -number) for number in range(200 - MOST_POINTS, 200)]


# -- changes -----------------------------------------------------------------------------------------


def test_changes_are_told_with_their_time(observer):
    """State, freshness and manager as they become others, by the observer's clock; nothing at first sight."""
    observer.see(trooper())
    observer.see(trooper(freshness=Freshness.SUSPECT, is_manager=True))
    observer.see(trooper(state="failed", freshness=Freshness.SUSPECT))
    assert observer.task().first_seen == "at 101"
    assert [(c.at, c.kind, c.was, c.now) for c in observer.task().changes] == [
        ("at 102", "freshness", "alive", "suspect"),
        ("at 102", "manager", "no", "yes"),
        ("at 103", "state", "running", "failed"),
        ("at 103", "manager", "yes", "no"),
    ]


def test_only_the_latest_changes_are_kept(observer):
    """A task that flaps takes no more room than another."""
    for number in range(100):
        observer.see(trooper(state=str(number)))
    assert [c.now for c in observer.task().changes] == [str(n) for n in range(100 - MOST_CHANGES, 100)]


def test_who_leaves_is_remembered_for_a_while(observer):
    """A task that is gone says since when, is the same when it returns, and is forgotten in the end."""
    observer.see(trooper(score=3))
    observer.see()
    assert observer.task().gone_at == "at 102"
    observer.see(trooper(score=3))
    assert observer.task().gone_at is None
    assert [(c.was, c.now) for c in observer.task().changes] == [("shown", "gone"), ("gone", "shown")]
    observer.see(trooper("b"))
    observer.see(trooper("b"), after=FORGET_AFTER - 1)
    assert set(observer.history.tasks) == {"a", "b"}
    observer.see(trooper("b"))
    assert set(observer.history.tasks) == {"b"}


def test_many_who_leave_are_forgotten_in_their_order(observer):
    """A rack that is replaced again and again fills no memory."""
    for number in range(3 * MOST_GONE):
        observer.see(trooper(str(number)))
    kept = [str(number) for number in range(3 * MOST_GONE - MOST_GONE - 1, 3 * MOST_GONE)]
    assert list(observer.history.tasks) == kept


def test_a_service_that_cannot_be_read_has_lost_nobody(observer):
    """While the engine cannot tell who runs there, nobody is said to be gone."""
    observer.see(trooper())
    observer.see(squad="permission denied")
    assert observer.task().gone_at is None


# -- the rack ----------------------------------------------------------------------------------------


def seconds(observer: Observer) -> list[float]:
    """When the samples were taken."""
    return [sample.seconds for sample in observer.history.samples]


def test_a_sample_has_the_racks_totals(observer):
    """Running, desired, everybody's score, the armed, those not alive, and the primary's manager."""
    observer.see(
        trooper("a", score=5, is_manager=True),
        trooper("b", score=-2, arm=ArmState.ON),
        trooper("c", freshness=Freshness.MISSING),
    )
    (sample,) = observer.history.samples
    assert (sample.running, sample.desired, sample.score) == (3, 3, 3)
    assert (sample.armed, sample.not_alive, sample.manager, sample.gap) == (1, 1, "a", None)


def test_samples_come_at_their_pace(observer):
    """One at once, then every second of the looks, even where these are a little early."""
    for after in (1.0, 1.0, 1.0, 0.9, 0.95, 1.05, 0.3, 0.3):
        observer.see(trooper(), after=after)
    assert seconds(observer) == [1.0, 3.0, 4.9]


def test_only_the_latest_samples_are_kept(observer):
    """However long a replica watches."""
    for _ in range(3 * MOST_SAMPLES):
        observer.see(trooper())
    assert len(observer.history.samples) == MOST_SAMPLES
    assert observer.history.samples[-1].seconds - observer.history.samples[0].seconds == pytest.approx(
        SAMPLE_EVERY * (MOST_SAMPLES - 1)
    )


def test_a_silent_rack_manager_leaves_running_unknown(observer):
    """Who runs is not known then; what the troopers say themselves still is."""
    for fields in ({"snapshot_age_seconds": 5}, {"engine_error": "no socket"}):
        observer.see(trooper(score=2), after=SAMPLE_EVERY, **fields)
        sample = observer.history.samples[-1]
        assert (sample.running, sample.desired, sample.score, sample.gap) == (None, None, 2, None)


def test_an_outage_is_a_gap(observer):
    """A look that saw nothing, or only what was last known, is a sample without numbers."""
    observer.see(trooper())
    for _ in range(2):
        observer.see(trooper(), after=SAMPLE_EVERY, stale_seconds=3.0)
    observer.look(None, SAMPLE_EVERY)
    assert observer.history.gaps() == [Gap(3.0, 7.0, BUS)]
    observer.see(trooper(score=1), after=SAMPLE_EVERY)
    assert [sample.score for sample in observer.history.samples] == [0, None, None, None, 1]
    assert observer.history.gaps() == [Gap(3.0, 9.0, BUS)]


def test_a_pause_of_the_observer_is_a_gap(observer):
    """What was not looked at is not drawn through."""
    observer.see(trooper(score=1))
    observer.see(trooper(score=9), after=60)
    assert [(s.seconds, s.score) for s in observer.history.samples] == [(1.0, 1), (3.0, None), (61.0, 9)]
    assert observer.history.gaps() == [Gap(3.0, 61.0, UNWATCHED)]


def test_two_kinds_of_gap_stand_side_by_side(observer):
    """Each with its own reason."""
    observer.look(None)
    observer.look(None, 30)
    observer.see(after=SAMPLE_EVERY)
    assert observer.history.gaps() == [Gap(1.0, 3.0, BUS), Gap(3.0, 31.0, UNWATCHED), Gap(31.0, 33.0, BUS)]


def test_reigns_are_told_as_they_change(observer):
    """Not once a sample; a gap is a time in which nobody knows."""
    for who in ("a", "a", None, "b"):
        observer.see(*([trooper(who, is_manager=True)] if who else []), after=SAMPLE_EVERY)
    assert observer.history.reigns() == [Reign(2.0, "a"), Reign(6.0, None), Reign(8.0, "b")]


def versions(observer: Observer, looks: Iterable[Trooper]) -> list[int]:
    """The versions after each of those looks, which are too close for a sample."""
    found = []
    for seen in looks:
        observer.see(seen, after=0.01)
        found.append(observer.history.version)
    return found


def test_the_version_moves_with_what_is_told(observer):
    """A look that finds nothing new makes no new answer."""
    first, second, third, fourth = versions(
        observer, [trooper(), trooper(three_words="new words"), trooper(score=1), trooper(score=1)]
    )
    assert first == second < third == fourth


# -- the loop ----------------------------------------------------------------------------------------


def test_the_watching_loop_remembers():
    """A replica's own loop fills the history: rounds, a bus that goes and comes back, a trooper that dies."""
    hive = Hive(3, (PRIMARY,))
    hive.run(3)
    settings = Settings(swarm_services=(PRIMARY,))
    watched = Watched(hive.clock)
    watching = Watching(BoardReader(hive.bus, hive.gate, hive.clock, settings), watched)

    def watch(seconds: int) -> None:
        for _ in range(seconds):
            hive.run(1)
            watching.tick(hive.clock.monotonic())

    watch(25)
    hive.bus.down = True
    watch(6)
    hive.bus.down = False
    watch(4)
    dead = next(iter(hive.tasks))
    hive.kill(dead)
    watch(3)
    history = watched.read(lambda kept: kept)
    assert {who: task.scores[-1] for who, task in history.tasks.items() if who != dead} == hive.scores()
    assert all(len(task.scores) >= 3 for task in history.tasks.values())
    assert history.tasks[dead].gone_at is not None
    assert [gap.reason for gap in history.gaps()] == [BUS]
    assert 4 <= history.gaps()[0].end - history.gaps()[0].begin <= 8
    assert [s.running for s in history.samples if s.gap is None][:3] == [3, 3, 3]


def test_a_bus_that_never_answered_is_a_gap():
    """The loop still fails as it did, and the history begins with a gap."""
    hive = Hive(1, (PRIMARY,))
    hive.bus.down = True
    watched = Watched(hive.clock)
    watching = Watching(BoardReader(hive.bus, hive.gate, hive.clock, Settings()), watched)
    with pytest.raises(BusDown):
        watching.tick(hive.clock.monotonic())
    assert [s.gap for s in watched.read(lambda kept: list(kept.samples))] == [BUS]
