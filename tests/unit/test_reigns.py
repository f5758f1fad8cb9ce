"""Who led when: reigns, ends and gaps, as far as the journal tells and no further."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app import reigns
from clawbucket.clock import iso_of
from clawbucket.core.board import Board, Squad, Trooper
from clawbucket.core.callsign import name_of
from clawbucket.core.events import RackEvent
from clawbucket.core.model import ArmState, Freshness
from clawbucket.core.records import Haiku
from tests.hive import PRIMARY
from tests.unit.test_dashboard import Page, Stage

NOW = 1_790_000_100_000
ANN, BOB, CYD = ("a0100".ljust(25, "1"), "a0200".ljust(25, "2"), "a0300".ljust(25, "3"))


def at(seconds: float) -> str:
    """That many seconds into the story, as an event tells it."""
    return iso_of(NOW - 100_000 + round(seconds * 1000))


def led(who: str, epoch: int, seconds: float) -> RackEvent:
    """Its election."""
    return happened("election", who, epoch, seconds)


def happened(kind: Any, who: str, epoch: int, seconds: float, detail: str = "") -> RackEvent:
    """Any event of the primary."""
    name = f"{kind}-{epoch}-{who}"
    return RackEvent(name, round(seconds * 1000), at(seconds), kind, PRIMARY, who, epoch, detail=detail)


def trooper(task_id: str, slot: int) -> Trooper:
    """A replica of the primary."""
    return Trooper(
        task_id, slot, "running", "running", "n", "n", f"{PRIMARY}.{slot}.{task_id}", name_of(task_id),
        "#123456", False, False, 0, "", "", Freshness.ALIVE, ArmState.OFF, 0, None, None, "",
    )  # fmt: skip


def told(
    *events: RackEvent, manager: tuple[str, int] | None = None, running: tuple[str, ...] = (ANN, BOB, CYD)
) -> reigns.Timeline:
    """The primary's timeline while these run and that one leads."""
    replicas = tuple(trooper(who, slot) for slot, who in enumerate(running, start=1))
    squad = Squad(PRIMARY, "clawbucket", len(replicas), len(replicas), replicas)
    if manager is not None:
        squad = replace(squad, manager_task_id=manager[0], manager_epoch=manager[1], manager_confirmed=True)
    board = Board(1, "", "r", PRIMARY, (squad,), None, 10, Haiku("", "", ""), (), (), events=events)
    return reigns.timelines(board, NOW)[0]


def test_one_reign_goes_on():
    """The confirmed manager's reign is open-ended, and in the summary."""
    line = told(led(ANN, 7, 10), manager=(ANN, 7))
    (reign,) = line.reigns
    assert (reign.running, reign.ended, reign.how, reign.gap) == (True, None, "leads now", None)
    assert reign.began == NOW - 90_000
    assert not line.vacant
    assert line.summary.startswith(f"{name_of(ANN)} leads clawbucket since ")


def test_a_gap_between_two_reigns_is_told():
    """From the end that the first told to the election of the second."""
    line = told(led(ANN, 7, 10), happened("released", ANN, 7, 20), led(BOB, 8, 20.4), manager=(BOB, 8))
    first, second = line.reigns
    assert (first.how, second.gap) == ("gave it up", 0.4)
    assert (first.gap, second.running) == (None, True)


def test_a_kill_that_was_ordered_ends_the_reign():
    """The order's time stands for the end, since who is killed does not tell; the sentence says how."""
    line = told(
        led(ANN, 7, 10), happened("outage", ANN, 0, 20), led(BOB, 8, 20.3),
        happened("ended", ANN, 0, 20.5, "failed"), manager=(BOB, 8),
    )  # fmt: skip
    assert (line.reigns[0].how, line.reigns[1].gap) == ("was taken out", 0.3)


def test_a_crash_ends_the_reign_when_it_was_seen():
    """Without an order it is when the end was seen; where that is after the next election there is no gap."""
    line = told(led(ANN, 7, 10), led(BOB, 8, 20), happened("ended", ANN, 0, 20.5, "failed"), manager=(BOB, 8))
    first, second = line.reigns
    assert (first.how, first.ended, second.gap) == ("its task ended (failed)", NOW - 80_000, None)


def test_an_order_in_doubt_is_no_end():
    """Nobody knows whether it was carried out, so it says nothing of the reign."""
    line = told(
        led(ANN, 7, 10), happened("outage", ANN, 0, 20, "in_doubt"), led(BOB, 8, 30), manager=(BOB, 8)
    )
    assert (line.reigns[0].ended, line.reigns[0].how) == (None, "its end was not told")
    assert line.reigns[1].gap is None


def test_a_death_ends_only_the_last_reign_of_a_task():
    """An earlier reign of the same task did not end with its death."""
    line = told(
        led(ANN, 7, 10), led(BOB, 8, 20), led(ANN, 9, 30), happened("ended", ANN, 0, 40, "failed"),
        led(BOB, 10, 41), manager=(BOB, 10),
    )  # fmt: skip
    assert [reign.how for reign in line.reigns] == [
        "its end was not told", "its end was not told", "its task ended (failed)", "leads now",
    ]  # fmt: skip
    assert [reign.gap for reign in line.reigns] == [None, None, None, 1.0]


def test_a_late_word_of_a_lost_lease_is_matched_by_its_epoch():
    """Whoever was stopped tells after its heir's election; epochs keep them apart, and no reign overlaps."""
    line = told(led(ANN, 7, 10), led(BOB, 8, 22), happened("lost", ANN, 7, 21), manager=(BOB, 8))
    assert [(r.how, r.gap) for r in line.reigns] == [("lost its lease", None), ("leads now", 1.0)]


def test_a_reign_that_the_journal_does_not_know_begins_nowhere():
    """After a wipe who leads is known by the lease; since when is not, and is not made up."""
    line = told(manager=(BOB, 8))
    assert [(r.task_id, r.began, r.running) for r in line.reigns] == [(BOB, None, True)]
    assert " since " not in line.summary
    end = told(happened("lost", ANN, 7, 21), led(BOB, 8, 22), manager=(BOB, 8))
    assert [(r.began, r.gap) for r in end.reigns] == [(None, None), (NOW - 78_000, 1.0)]


def test_nobody_leads():
    """The last reign's end is the begin of the vacancy; nobody is said to lead."""
    line = told(led(ANN, 7, 10), happened("lost", ANN, 7, 20))
    assert (line.vacant, line.vacant_since) == (True, NOW - 80_000)
    assert line.summary.startswith("Nobody is known to lead clawbucket now;")
    empty = told()
    assert (empty.vacant_since, empty.summary) == (None, "The journal knows of nobody who led clawbucket.")


def test_lanes_are_bounded_and_the_rest_is_counted():
    """Who led last has a lane before who runs; more than twelve are summed up."""
    running = tuple(f"b{n:02d}".ljust(25, "0") for n in range(20))
    line = told(led(ANN, 7, 10), led(running[3], 8, 20), manager=(running[3], 8), running=running)
    assert len(line.lanes) == reigns.MOST_LANES
    assert line.more == 21 - reigns.MOST_LANES
    assert [lane.task_id for lane in line.lanes[:3]] == [running[3], ANN, running[0]]
    assert [lane.gone for lane in line.lanes[:3]] == [False, True, False]


def test_implausible_times_are_not_shown():
    """What is no time, or one of another century, counts as not told."""
    bad = [replace(led(ANN, n, 10), id=str(n), at=text) for n, text in enumerate(
        ("", "soon", "9999-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2026-09-21", "2026-09-21T10:00:00"), 1
    )]  # fmt: skip
    assert [r.began for r in told(*bad).reigns] == [None] * 6


KINDS = ["election", "released", "lost", "ended", "outage", "self_destruct", "started", "scale"]
STORIES = st.lists(
    st.builds(
        happened, st.sampled_from(KINDS), st.sampled_from([ANN, BOB, CYD]), st.integers(1, 9),
        st.floats(-50, 200), st.sampled_from(["", "failed", "in_doubt"]),
    ),
    max_size=30,
)  # fmt: skip


@given(STORIES, st.none() | st.tuples(st.sampled_from([ANN, BOB, CYD]), st.integers(1, 9)))
def test_whatever_the_journal_says_reigns_are_in_order(events, manager):
    """By epoch; at most one goes on, and it is the last; none ends before it began; no gap is negative."""
    line = told(*events, manager=manager)
    epochs = [(r.epoch, r.task_id) for r in line.reigns]
    assert epochs == sorted(set(epochs))
    assert sum(r.running for r in line.reigns) <= 1
    assert all(r.ended >= r.began for r in line.reigns if r.ended is not None and r.began is not None)
    assert all(r.gap > 0 for r in line.reigns if r.gap is not None)
    assert line.vacant == (not (line.reigns and line.reigns[-1].running))


def settled() -> Stage:
    """A dashboard on a swarm whose first managers are confirmed."""
    stage = Stage()
    stage.hive.run(3)
    return stage


def test_the_tables_are_there_without_javascript():
    """One a service, a row a reign with its epoch, the data that the chart is drawn from, and since when."""
    stage = settled()
    html = stage.client.get("/").get_data(as_text=True)
    page = Page(html)
    rows = [a for _, a, _ in page.elements if "data-reign" in a]
    leaders = {**stage.hive.leaders(), **stage.hive.leaders(stage.hive.services[1])}
    assert {(a["data-reign"], int(a["data-epoch"])) for a in rows} == set(leaders.items())
    assert all("data-running" in a and int(a["data-began"]) > 0 for a in rows)
    assert len([a for _, a, _ in page.elements if "data-lane" in a]) == len(stage.hive.tasks)
    assert html.count("not in the journal") == 2
    assert "who led before is not known here" in html


def test_a_new_reign_changes_the_mark():
    """The page fetches the timeline anew when somebody else leads."""
    stage = settled()
    before = reigns.mark(stage.board.board())
    stage.hive.kill(stage.hive.leader())
    stage.hive.run(3)
    assert reigns.mark(stage.board.board()) != before
