"""How a replica asks the aggregator: seldom, beside everything else, and believing nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

import orjson
import pytest

from app import stream
from app.fanout import diff
from app.scoreboard import of_state
from app.scoreboard_watch import DEADLINE, EVERY, MOST, NOT_SET, Scoreboard, ScoreboardWatch
from app.services import Services
from clawbucket import codecs
from clawbucket.core.model import ArmState
from clawbucket.core.records import ArmEvent
from clawbucket.handoff.exchange import Answer, Request, Unanswered, Unreached
from tests.fakes import FakeClock
from tests.unit.test_dashboard import Page, Stage, check_bindings

URL = "http://aggregator:8090"


def line(**fields: object) -> dict[str, object]:
    """A line as the aggregator says it."""
    return {
        "bot": "Brave Otter", "task_id": "a1", "on": 2, "off": 1, "toggles": 3, "score": 1,
        "current_on_state": 1, "last_state": "on", "last_event_at": "2026-01-01T10:00:00Z", **fields,
    }  # fmt: skip


def body(*lines: dict[str, object], **fields: object) -> bytes:
    """A whole answer."""
    more = {"scoring": "", "state_rule": "", "source": "memcached"}
    return orjson.dumps({"events": 3, "scoreboard": lines, **more, **fields})


class Aggregator:
    """Answers as it is told to, and counts."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.asked: list[tuple[str, str, float]] = []
        self.says: Answer | Exception = Answer(200, {}, body(line()))
        self.later: list[Callable[[], None]] = []
        self.watch = ScoreboardWatch(URL, self.clock, self.ask, lambda run: run())

    def ask(self, url: str, request: Request, seconds: float, _largest: int) -> Answer:
        """One question."""
        self.asked.append((url, request.path, seconds))
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def look(self, seconds: float = EVERY) -> Scoreboard:
        """What is seen after that time, the question being over."""
        self.clock.advance(seconds)
        self.watch.seen()
        return self.watch.seen()


@pytest.fixture
def there() -> Aggregator:
    """A good one."""
    return Aggregator()


def test_lines_are_what_it_says(there: Aggregator):
    """The lines in its order, with how many events they are of."""
    seen = there.look()
    assert (seen.events, seen.count, seen.problem, seen.silent_since) == (3, 1, "", None)
    assert (seen.lines[0].bot, seen.lines[0].score, seen.lines[0].last_state) == ("Brave Otter", 1, "on")
    assert there.asked == [(URL, "/api/scoreboard", DEADLINE)]


def test_it_is_asked_every_two_seconds_at_most(there: Aggregator):
    """However many look: a hundred looks within two seconds are one question."""
    for _ in range(100):
        there.clock.advance(0.01)
        there.watch.seen()
    assert len(there.asked) == 1
    there.look()
    assert len(there.asked) == 2


def test_nobody_waits_for_it(there: Aggregator):
    """While a question is under way, what was known is given at once, and no second one is begun."""
    watch = ScoreboardWatch(URL, there.clock, there.ask, there.later.append)
    for _ in range(3):
        there.clock.advance(10)
        assert watch.seen().lines == ()
    assert len(there.later) == 1
    there.later.pop()()
    assert len(watch.seen().lines) == 1


def test_nobody_is_asked_where_none_is_set():
    """Without a URL the sentence names the setting."""
    watch = ScoreboardWatch(None, FakeClock(), spawn=lambda _: pytest.fail("it asked"))
    assert watch.seen().problem == NOT_SET
    assert "CLAWBUCKET_AGGREGATOR_URL" in NOT_SET


@pytest.mark.parametrize("error", [Unreached("connection refused"), Unanswered("it was not over in time")])
def test_a_silent_one_is_told_with_what_was_known(there: Aggregator, error: Exception):
    """Why, since when, and the lines of before; when it answers again that is over."""
    there.look()
    there.says = error
    since = there.look().silent_since
    assert re.fullmatch(r"\d\d:\d\d:\d\d UTC", since or "")
    seen = there.look(12)
    assert seen.problem == f"The aggregator does not answer: {error}."
    assert (seen.silent_since, len(seen.lines)) == (since, 1)
    there.says = Answer(200, {}, body(line()))
    assert there.look() == Scoreboard(seen.lines, 1, 3)


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        (Answer(503, {}, b"{}"), "has never heard from the bus"),
        (Answer(200, {}, b"<html>"), "Something else than the aggregator answers there (status 200)"),
        (Answer(404, {}, b"{}"), "(status 404)"),
        (Answer(200, {}, body(line(score="9" * 9))), "(status 200)"),
        (Answer(200, {}, body(line(bot="x" * 10_000))), "(status 200)"),
        (Answer(200, {}, body(line(last_state="maybe"))), "(status 200)"),
        (Answer(200, {}, body(line(), stale_seconds=4.0)), "The bus does not answer the aggregator"),
    ],
)
def test_what_is_no_scoreboard_is_not_shown_as_one(there: Aggregator, says: Answer, problem: str):
    """It is told what came instead."""
    there.says = says
    assert problem in there.look().problem


def test_no_more_lines_than_can_be_shown(there: Aggregator):
    """The first hundred, and how many there are."""
    there.says = Answer(200, {}, body(*[line(task_id=f"t{n}") for n in range(300)]))
    seen = there.look()
    assert (len(seen.lines), seen.count) == (MOST, 300)


def test_the_mark_changes_with_the_lines_only(there: Aggregator):
    """Equal lines have one mark at every replica; silence does not change it while lines are shown."""
    first = there.look()
    assert there.look().mark == first.mark == Aggregator().look().mark
    there.says = Unreached("gone")
    assert there.look().mark == first.mark
    there.says = Answer(200, {}, body(line(score=2)))
    assert there.look().mark != first.mark


def test_the_stream_tells_of_it(there: Aggregator):
    """A new mark and a silence are news; while nothing changes the very same state is given."""
    stage = Stage()
    stage.services.scoreboard = there.watch
    produce = stream.producer(cast(Services, stage.services))
    produce()
    state = produce()
    assert (state["scoreboard"], state["aggregator"]) == (there.watch.seen().mark, {})
    assert produce() is state
    there.says = Unreached("connection refused")
    since = there.look().silent_since
    silent = produce()
    assert silent["aggregator"] == {
        "problem": "The aggregator does not answer: connection refused.", "silent_since": since,
    }  # fmt: skip
    for _ in range(5):  # that time goes by is no news
        there.look(1.0)
        assert diff(silent, produce()) == {}
    assert of_state(Scoreboard()) == {"scoreboard": "0:00000000:", "aggregator": {}}


def _scoreboard(html: str) -> str:
    """The scoreboard's part of a page."""
    return html.partition('<div id="scoreboard"')[2].partition("</div>")[0]


def test_the_page_has_it(there: Aggregator):
    """Rank, bot, state, score and counts stand in a table with headings, and hostile names are text."""
    evil = '"><script>alert(1)</script>'
    worse = line(bot=evil, task_id=evil[:20], last_state="off")
    there.says = Answer(200, {}, body(line(), line(task_id="a2"), worse))
    there.look()
    stage = Stage()
    stage.services.scoreboard = there.watch
    html = stage.client.get("/").get_data(as_text=True)
    page, table = Page(html), Page(_scoreboard(html))
    assert [a["scope"] for tag, a, _ in table.elements if tag == "th"] == ["col"] * 7 + ["row"] * 3
    assert "<script>alert" not in html
    assert html.count("<td>1</td><th scope") == 2  # equals share a rank
    assert html.count("<td>3</td><th scope") == 1
    check_bindings(stage, page)


def test_arming_is_no_business_of_a_page_without_an_aggregator():
    """The sentence stands where the table would, though somebody was armed."""
    stage = Stage()
    event = ArmEvent("e", 1, next(iter(stage.hive.tasks)), "Bob", ArmState.ON, "", "dashboard")
    stage.put(codecs.ARM_EVENTS, [event])
    html = stage.client.get("/").get_data(as_text=True)
    assert NOT_SET in html
    assert "<table" not in _scoreboard(html)
