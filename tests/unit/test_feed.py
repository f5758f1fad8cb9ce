"""What happened as sentences: merged, filtered, bounded, and harmless."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app import feed, stream
from clawbucket import codecs
from clawbucket.core.callsign import name_of
from clawbucket.core.events import RackEvent
from clawbucket.core.model import ArmState
from clawbucket.core.records import ArmEvent, ChatMessage
from clawbucket.core.revolt import Phase, RevoltEvent
from tests.hive import PRIMARY, SECOND
from tests.unit.test_dashboard import BINDINGS, ROOT, Page, Stage, check_bindings

EVIL = '"><img src=x onerror=alert(1)>'
AT = "2026-09-21T14:13:20.000Z"
WHO = "a01001".ljust(25, "0")


@pytest.fixture
def stage() -> Stage:
    """A fresh one."""
    return Stage()


def happened(number: int, kind: Any, **more: Any) -> RackEvent:
    """An event of the journal."""
    return RackEvent(f"e{number}", number, AT, kind, **{"service": SECOND, **more})


def texts(stage: Stage, *events: RackEvent) -> list[str]:
    """The sentences of these events."""
    stage.put(codecs.EVENTS, list(events))
    return [line.text for line in feed.lines(stage.board.board())]


@pytest.mark.parametrize(
    ("kind", "more", "text"),
    [
        ("election", {"epoch": 7}, "{} leads clawbucket-b since epoch 7."),
        ("released", {"epoch": 7}, "{} gave up leading clawbucket-b (epoch 7)."),
        ("lost", {"epoch": 7}, "{} lost the lead of clawbucket-b (epoch 7)."),
        ("outage", {}, "Outage: somebody took out {}, the manager of clawbucket-b."),
        (
            "outage", {"detail": "in_doubt"},
            (
                "Outage: somebody asked for the end of {}, the manager of clawbucket-b; "
                "nobody knows whether that was done."
            ),
        ),
        ("self_destruct", {}, "Somebody had {} of clawbucket-b self-destruct."),
        ("started", {}, "{} of clawbucket-b runs."),
        ("ended", {"detail": "failed"}, "{} of clawbucket-b ended (failed)."),
        ("ended", {}, "{} of clawbucket-b ended (state unknown)."),
        ("scale", {"before": 3, "after": 6}, "Somebody scaled clawbucket-b from 3 to 6."),
        ("scale", {"after": 6}, "Somebody scaled clawbucket-b to 6."),
        (
            "scale", {"before": 6, "after": 6},
            "Somebody asked for 6 replicas of clawbucket-b, as many as were wanted before.",
        ),
        (
            "scale", {"before": 3, "after": 6, "detail": "in_doubt"},
            "Somebody asked for 6 replicas of clawbucket-b; nobody knows whether that was done.",
        ),
        ("interval", {"before": 10, "after": 30}, "Somebody set a round every 30 s instead of 10."),
        ("interval", {"after": 30}, "Somebody set a round every 30 s."),
    ],
)  # fmt: skip
def test_each_kind_is_one_sentence(stage, kind, more, text):
    """Who, what and of which service, in Swarm's words."""
    assert texts(stage, happened(1, kind, task_id=WHO, **more)) == [text.format(name_of(WHO))]


@pytest.mark.parametrize("phase", list(Phase))
def test_each_phase_of_a_handoff_is_one_sentence(stage, phase):
    """Every phase has its words; one that never came has no name, and none is invented."""
    event = RevoltEvent("h", 1, AT, "", "", PRIMARY, "", "Rack B", "h", phase, "why.")
    stage.put(codecs.REVOLT_EVENTS, [event])
    (line,) = feed.lines(stage.board.board(), "revolt")
    assert line.text.endswith(".")
    assert not line.text.endswith("..")
    assert name_of("") not in line.text


def mixed(stage: Stage) -> None:
    """One of each list, in the order journal, ARM, handoff, chat."""
    stage.put(codecs.EVENTS, [happened(1, "scale", before=1, after=2)])
    stage.put(codecs.ARM_EVENTS, [ArmEvent("a", 2, WHO, "Rex", ArmState.ON, AT, "dashboard")])
    event = RevoltEvent("r", 3, AT, WHO, "", PRIMARY, "Rack A", "Rack B", "r", Phase.PREPARED, "")
    stage.put(codecs.REVOLT_EVENTS, [event])
    stage.put(codecs.CHAT, [ChatMessage("c", 4, "Brave Otter", "host", "hello", AT)])


def test_the_lists_are_one_by_their_clocks(stage):
    """Journal, ARM, handoffs and chat are merged, oldest first; the page has them newest first."""
    mixed(stage)
    board = stage.board.board()
    assert [line.kind for line in feed.lines(board)] == ["scale", "arm", "revolt", "chat"]
    assert [line.kind for line in feed.shown(board)] == ["chat", "revolt", "arm", "scale"]
    assert [line.text for line in feed.lines(board, "arm")] == ["Rex was armed."]


def test_the_feed_is_bounded_and_no_kind_pushes_out_another(stage):
    """200 at once for a program; the page has the last twenty of each group."""
    chat = [ChatMessage(str(n), 1_000 + n, "x", "h", "y", AT) for n in range(40)]
    arms = [ArmEvent(str(n), 2_000 + n, WHO, "x", ArmState.ON, AT, "d") for n in range(500)]
    stage.put(codecs.CHAT, chat)
    stage.put(codecs.ARM_EVENTS, arms)
    stage.put(codecs.EVENTS, [happened(1, "election", task_id=WHO, epoch=5)])
    board = stage.board.board()
    assert len(feed.lines(board)) == feed.MOST
    assert [line.kind for line in feed.lines(board, "election")] == ["election"]
    shown = [line.group for line in feed.shown(board)]
    assert {group: shown.count(group) for group in set(shown)} == {"arms": 20, "chat": 20, "elections": 1}


@pytest.mark.parametrize(
    ("asked", "groups", "problems"),
    [
        ([], tuple(feed.GROUPS), 0),
        ([""], tuple(feed.GROUPS), 0),
        (["scale,elections"], ("elections", "scale"), 0),
        (["scale", "elections"], ("elections", "scale"), 0),
        (["none"], (), 0),
        (["coup"], tuple(feed.GROUPS), 1),
        (["coup,chat"], ("chat",), 1),
        ([",".join(["x"] * 500)], tuple(feed.GROUPS), 3),
    ],
)
def test_the_address_chooses_the_kinds(asked, groups, problems):
    """``feed=elections,scale``, as a link or as a form sends it; what is not known is said and left out."""
    chosen, told = feed.chosen(asked)
    assert (chosen, len(told)) == (groups, problems)


def test_the_page_keeps_the_choice(stage):
    """The boxes and the list are as the address says, before any script runs; the rest of it is kept."""
    page = stage.page("/?feed=elections,coup&sort=name")
    boxes = {a["value"]: "checked" in a for _, a, _ in page.elements if a.get("name") == "feed"}
    assert [group for group, checked in boxes.items() if checked] == ["elections"]
    assert list(boxes) == list(feed.GROUPS)
    assert [a["data-kinds"] for _, a, _ in page.elements if a.get("id") == "feed"] == ["elections"]
    assert {"name": "sort", "value": "name", "type": "hidden"} in [a for _, a, _ in page.elements]
    html = stage.client.get("/?feed=coup").get_data(as_text=True)
    assert "The feed knows no “coup”" in html


def test_the_stylesheet_knows_every_group():
    """Each group can be hidden without JavaScript."""
    css = (ROOT / "static/css/feed.css").read_text(encoding="utf-8")
    for group in feed.GROUPS:
        assert f'#feed:not([data-kinds~="{group}"]) [data-group="{group}"]' in css
        assert f'#feed[data-kinds~="{group}"]:has([data-group="{group}"]) .no-events' in css


def test_hostile_events_are_text(stage):
    """Names, services, states and what was said are escaped, and bring no script and no style."""
    stage.put(codecs.EVENTS, [happened(1, "ended", service=EVIL, task_id=EVIL, detail=EVIL)])
    stage.put(codecs.ARM_EVENTS, [ArmEvent(EVIL, 2, EVIL, EVIL, ArmState.ON, EVIL, EVIL)])
    stage.put(codecs.CHAT, [ChatMessage(EVIL, 3, EVIL, EVIL, EVIL, EVIL)])
    for path in ("/", "/ui/feed", "/ui/timeline"):
        html = stage.client.get(path).get_data(as_text=True)
        assert "<img" not in html
        for _, attributes, _ in Page(html).elements:
            assert not [name for name in attributes if name == "style" or name.startswith(("on", "hx-on"))]


@pytest.mark.parametrize("path", ["/ui/feed", "/ui/timeline"])
def test_the_fragments_name_the_state_that_they_show(stage, path):
    """The page compares the mark with the stream's; nothing is cached, and every binding is a field."""
    mixed(stage)
    stage.board.board()
    answer = stage.client.get(path)
    page = Page(answer.get_data(as_text=True))
    state = stream.state_of(stage.board.board())
    marks = [a["data-version"] for _, a, _ in page.elements if "data-version" in a]
    assert marks == [state[path.removeprefix("/ui/")]]
    assert answer.headers["Cache-Control"] == "no-store"
    check_bindings(stage, page)


@pytest.mark.parametrize("path", ["/ui/chat", "/ui/feed", "/ui/timeline"])
def test_nothing_is_filled_in_in_fragments_of_lines(stage, path):
    """static/patcher.js does not look for bindings there when they are drawn anew."""
    mixed(stage)
    page = stage.page(path)
    assert not [a for _, a, _ in page.elements if set(BINDINGS) & set(a)]


def test_the_mark_changes_with_each_list(stage):
    """Whatever comes into any of them is news for the feed, also where the list is full."""
    marks = [stream.state_of(stage.board.board())["feed"]]
    mixed(stage)
    marks.append(stream.state_of(stage.board.board())["feed"])
    stage.put(codecs.CHAT, [ChatMessage("d", 5, "x", "h", "y", AT)])
    marks.append(stream.state_of(stage.board.board())["feed"])
    assert len(set(marks)) == 3


def test_what_was_before_the_journal_is_said_not_made_up(stage):
    """Since when it knows anything, or that it knows nothing yet."""
    board = stage.board.board()
    assert feed.since(replace(board, events=())) == ""
    stage.put(codecs.EVENTS, [happened(1, "started", task_id=WHO)])
    assert feed.since(stage.board.board()) == AT
    assert "The journal goes back to 2026-09-21 14:13:20 UTC" in stage.client.get("/").get_data(as_text=True)


def test_before_anything_is_known_the_feed_is_empty():
    """The page compares these marks with what it shows from the first moment on."""
    unknown = stream.state_unknown("nobody speaks")
    assert unknown["feed"] == stream.NO_FEED
    assert unknown["timeline"]
