"""What the page says at a glance: a word a part, and one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import pytest

from app import glance, shown, stream
from clawbucket import codecs
from clawbucket.board import MAX_AGE
from clawbucket.core.agent import Agent, Health, Trouble
from clawbucket.core.board import Board
from clawbucket.core.callsign import name_of
from clawbucket.core.model import ArmState, Freshness
from clawbucket.core.records import ArmEvent, Haiku
from tests.hive import PRIMARY, SECOND
from tests.unit.test_dashboard import Page, Stage
from tests.unit.test_shown import squad, trooper


def board(*agents: Agent, **fields: object) -> Board:
    """A board of one service whose troopers have these agents."""
    troopers = [trooper(str(n), agent=agent) for n, agent in enumerate(agents)]
    drawn = Board(1, "", "r", "s", (squad(*troopers),), None, 10, Haiku("", "", ""), (), ())
    return replace(drawn, **fields)  # type: ignore[arg-type]


def test_all_is_well():
    """Each part is ok where nothing speaks against it."""
    assert glance.health(board(Agent("ok"))) == dict.fromkeys(("bus", "engine", "rack", "ollama"), "ok")


@pytest.mark.parametrize(
    ("fields", "bus", "rack", "engine"),
    [
        ({"stale_seconds": 3.0, "engine_error": "x"}, "silent", "not known", "not known"),
        ({"snapshot_age_seconds": 4, "engine_error": "x"}, "ok", "silent", "not known"),
        ({"engine_error": "x"}, "ok", "ok", "unreachable"),
    ],
)
def test_what_is_heard_through_somebody_silent_is_not_known(
    fields: dict[str, object], bus: str, rack: str, engine: str
):
    """The first part that fails is named; of those behind it nobody hears."""
    said = glance.health(board(Agent("ok"), **fields))
    assert (said["bus"], said["rack"], said["engine"]) == (bus, rack, engine)


@pytest.mark.parametrize(
    ("agents", "word"),
    [
        (["off", "off"], "off"), (["unknown", "off"], "not known"), ([], "not known"),
        (["ok", "failing"], "ok"), (["failing", "unknown"], "failing"), (["unreachable"], "unreachable"),
        (["model_missing", "model_missing", "ok"], "model missing"), (["misconfigured"], "misconfigured"),
    ],
)  # fmt: skip
def test_ollama_is_as_most_agents_find_it(agents: list[str], word: str):
    """One that fails among those that think is its own matter; off is no trouble."""
    bad = any(a not in {"ok", "off", "unknown", "failing"} for a in agents)
    trouble = Trouble("no model", "pull it") if bad else None
    assert glance.health(board(*(Agent(cast(Health, a)) for a in agents), trouble=trouble))["ollama"] == word


def test_the_sentence():
    """Counts are over all services, the manager is the primary's, and who is missing is not left out."""
    first = squad(trooper("a", is_manager=True, arm=ArmState.ON), trooper("b", freshness=Freshness.SUSPECT))
    second = squad(trooper("c", arm=ArmState.ON, freshness=Freshness.MISSING))
    assert glance.summary([first, second], "s") == (
        "3 of 6 running, Brave Otter manages, 2 armed, 1 suspect, 1 missing"
    )
    assert glance.summary([], "s") == "0 of 0 running, nobody manages, nobody armed, nobody suspect"


def test_the_heir_comes_first_by_the_rule_when_the_manager_is_gone():
    """The lowest slot of the others, whichever slot is preferred at the moment; nobody where nobody is."""
    stage = Stage()
    first, second, third = (stage.hive.running_in(SECOND, slot) for slot in (1, 2, 3))
    services = stream.state_of(stage.board.board())["services"]
    assert (services[SECOND]["next_manager"], services[SECOND]["next_manager_slot"]) == (name_of(second), 2)
    stage.hive.kill(second)
    stage.hive.kill(third)
    stage.hive.run(0.5)
    stage.hive.clock.advance(MAX_AGE)
    alone = stream.state_of(stage.board.board())["services"][SECOND]
    assert alone["manager_task_id"] == first
    assert "next_manager" not in alone
    assert shown.of_squad(squad(heir_task_id="gone"))["next_manager"] is None


def test_the_page_says_it_all_without_scripts():
    """Counts, manager with epoch, parts, the sentence; and the page loads itself anew."""
    stage = Stage()
    armed = next(iter(stage.hive.tasks))
    stage.put(
        codecs.ARM_EVENTS, [ArmEvent("e", 1, armed, "Bob", ArmState.ON, stage.hive.clock.iso(), "dashboard")]
    )
    html = stage.client.get("/").get_data(as_text=True)
    page = Page(html)
    manager = name_of(stage.hive.running_in(PRIMARY, 1))
    assert f">6 of 6 running, {manager} manages, 1 armed, nobody suspect.</p>" in html
    parts = [
        a[f"data-{name}"] for a in page.of("part") for name in ("bus", "engine", "rack", "ollama")
        if f"data-{name}" in a
    ]  # fmt: skip
    assert parts == ["ok", "ok", "ok", "off"]
    assert [a["content"] for tag, a, _ in page.elements if a.get("http-equiv") == "refresh"] == ["8"]
    assert [a["role"] for _, a, _ in page.elements if a.get("id") == "summary"] == ["status"]


def test_the_first_start_is_drawn():
    """Before anything is known there are places for troopers, no service, and a sentence."""
    stage = Stage()
    assert stage.page().of("skeleton") == []
    stage.board._board, stage.board._asked_at = None, float("-inf")
    stage.hive.bus.down = True
    answer = stage.client.get("/?group=rack")
    page = Page(answer.get_data(as_text=True))
    assert answer.status_code == 503
    assert (len(page.of("skeleton")), len(page.of("tile"))) == (6, 0)
    assert {a["data-bus"] for a in page.of("part") if "data-bus" in a} == {"not known"}


def test_a_service_on_its_way_says_so():
    """Where more are wanted than run, the page has the bar from the start; else it is hidden."""
    stage = Stage()
    told = stage.hive.snapshot()
    more = tuple(replace(s, desired=5) if s.name == SECOND else s for s in told.services)
    stage.put(codecs.SNAPSHOT, replace(told, seq=10**6, services=more))
    page = stage.page()
    assert ["hidden" in a for a in page.of("converging")] == [True, False]
    bars = [(a["max"], a["value"]) for tag, a, _ in page.elements if tag == "progress" and "max" in a]
    assert bars[1:] == [("3", "3"), ("5", "3")]


def test_a_question_says_what_is_lost():
    """Outage and self-destruct lose the points; the question says whose."""
    stage = Stage()
    asked = [a["hx-confirm"] for tag, a, _ in stage.page().elements if tag == "form" and "hx-confirm" in a]
    who = name_of(stage.hive.running_in(PRIMARY, 1))
    assert asked[0] == (
        f"Take {who} out? Another trooper becomes manager of {PRIMARY}, and what {who} has scored is lost."
    )
    assert asked[1] == (
        f"Self-destruct {who} in slot 1? The rack starts another one in its place, and what {who} has scored "
        "is lost."
    )
