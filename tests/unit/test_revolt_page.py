"""What the dashboard shows of handoffs: other racks, who changed sides, and the way to do it."""

from __future__ import annotations

from typing import Any

import pytest

from app import stream, wire
from app.handoff_lines import MOST, handoff_lines
from clawbucket import codecs
from clawbucket.core.callsign import name_of
from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.revolt import Phase, RevoltEvent
from tests.hive import PRIMARY, SECOND
from tests.unit.test_dashboard import Page, Stage, check_bindings

EVIL = '"><script>alert(1)</script>'
BETA = PeerSummary("beta", "http://beta:8080", True, "Rack B", 3, 4, "Sly Fox", 7, "at")
GAMMA = PeerSummary("gamma", "http://gamma", False, "", 0, 0, "", 0, "at", "nothing answers at http://gamma")


def event(
    number: int, phase: Phase, handoff: str = "a", source: str = "s", target: str = "", **more: Any
) -> RevoltEvent:
    """A handoff's event, from this rack to B unless told otherwise."""
    told = {"service": SECOND, "source_rack": "Rack <1>", "target_rack": "Rack B", "reason": "", **more}
    return RevoltEvent(
        id=f"{handoff}-{phase.value.lower()}", seq=number, at=f"2026-01-01T10:00:{number:02d}Z",
        source_task_id=source, target_task_id=target, snapshot_id=handoff, phase=phase, **told,
    )  # fmt: skip


@pytest.fixture
def stage() -> Stage:
    """A fresh one."""
    return Stage()


def of_form(page: Page, action: str) -> list[dict[str, str]]:
    """The page's forms that lead there."""
    return [a for tag, a, _ in page.elements if tag == "form" and a.get("action") == action]


def test_without_a_peer_nobody_can_change_sides(stage: Stage):
    """No button and no panel of peers; the activity says in a sentence that there was none."""
    page = stage.page()
    assert of_form(page, "/api/revolt") == []
    html = stage.client.get("/").get_data(as_text=True)
    assert "No trooper has changed racks yet." in html
    assert "peers-title" not in html


def test_the_button_asks_first_and_names_trooper_and_racks(stage: Stage):
    """One form a tile; what it asks has the callsign and both labels; it waits as long as the rack may."""
    stage.put(codecs.PEERS, [BETA])
    page = stage.page()
    forms = of_form(page, "/api/revolt")
    assert [f["hx-confirm"] for f in forms] == [
        f"Send {name_of(who)} from Rack <1> to Rack B? It ends here and goes on there with its score."
        for who in stage.hive.tasks
    ]
    assert {f["hx-request"] for f in forms} == {'{"timeout": 32000}'}
    assert forms[0]["data-said"] == f"{name_of(next(iter(stage.hive.tasks)))} changed sides."
    assert [a for tag, a, _ in page.elements if tag == "select" and a.get("name") == "peer"] == []


def test_with_several_peers_one_is_chosen(stage: Stage):
    """The choice sends the peer's name; each has a question of its own. Without a label, its name stands."""
    stage.put(codecs.PEERS, [BETA, GAMMA])
    page = stage.page("/ui/squads")
    assert {a["name"] for tag, a, _ in page.elements if tag == "select"} == {"peer"}
    options = [a for tag, a, _ in page.elements if tag == "option" and "data-confirm" in a]
    assert [o["value"] for o in options] == ["beta", "gamma"] * len(stage.hive.tasks)
    assert " to Rack B? " in options[0]["data-confirm"]
    assert " to gamma? " in options[1]["data-confirm"]
    assert not any("hx-confirm" in f for f in of_form(page, "/api/revolt"))


def test_a_held_trooper_looks_held(stage: Stage):
    """Badge, style and words beside the button, which stays but does nothing."""
    held = next(iter(stage.hive.tasks))
    stage.hive.troopers[held].memory.frozen = "f" * 32
    stage.hive.run(2.5)
    stage.put(codecs.PEERS, [BETA])
    page = stage.page()
    assert ["hidden" in a for a in page.of("frozen")] == [False] + [True] * 5
    assert [a["data-frozen"] for a in page.of("tile")] == ["true"] + ["false"] * 5
    assert ["hidden" in a for a in page.of("held")] == [False] + [True] * 5
    buttons = {a["id"]: a["aria-disabled"] for _, a, _ in page.elements if "aria-disabled" in a}
    assert [who for who, value in buttons.items() if value == "true"] == [f"revolt-{held}"]


def test_badges_tell_who_came_and_who_goes(stage: Stage):
    """FROM with the label, escaped; DEFECTED until the task has ended."""
    came, gone, *_ = list(stage.hive.tasks)
    stage.hive.troopers[came].memory.from_rack = "<b>B"
    stage.hive.run(2.5)
    stage.put(codecs.REVOLT_EVENTS, [event(1, Phase.COMMITTED, source=gone)])
    html = stage.client.get("/ui/squads").get_data(as_text=True)
    page = Page(html)
    assert ["hidden" in a for a in page.of("from")] == [False] + [True] * 5
    assert ["hidden" in a for a in page.of("defected")] == [True, False] + [True] * 4
    assert "&lt;b&gt;B</span>" in html


def test_the_stream_tells_of_handoffs(stage: Stage):
    """A mark that changes with them, peers by name, and each trooper's part; nothing that is null."""
    came = next(iter(stage.hive.tasks))
    stage.hive.troopers[came].memory.from_rack = "Rack B"
    stage.hive.run(2.5)
    before = stream.state_of(stage.board.board())
    stage.put(codecs.REVOLT_EVENTS, [event(1, Phase.PREPARED)])
    stage.put(codecs.PEERS, [BETA, GAMMA])
    after = stream.state_of(stage.board.board())
    assert (before["revolts"], after["revolts"]) == ("0:", "1:a-prepared")
    assert (before["peers"], set(after["peers"])) == ({}, {"beta", "gamma"})
    assert after["peers"]["beta"] == {
        "url": "http://beta:8080", "label": "Rack B", "reachable": True, "running": 3, "desired": 4,
        "manager": "Sly Fox", "score": 7, "mark": wire.peer(BETA)["mark"],
    }  # fmt: skip
    assert after["peers"]["gamma"]["problem"] == "nothing answers at http://gamma"
    first, second, *_ = after["tasks"].values()
    assert (first["from_rack"], first["frozen"], first["defected"]) == ("Rack B", False, False)
    assert "from_rack" not in second


def test_before_anything_is_known_there_are_no_handoffs():
    """The page compares these with what it shows from the first moment on."""
    unknown = stream.state_unknown("nobody speaks")
    assert (unknown["revolts"], unknown["peers"]) == ("0:", {})


def test_every_binding_of_a_peer_names_a_field(stage: Stage):
    """What patcher.js fills in of another rack is what the stream sends of it."""
    stage.put(codecs.PEERS, [BETA, GAMMA])
    check_bindings(stage, stage.page())
    check_bindings(stage, stage.page("/ui/revolts"))


def test_a_peer_is_shown_as_it_is(stage: Stage):
    """Reachable or why not, what runs there, who manages, and the way there."""
    stage.put(codecs.PEERS, [BETA, GAMMA])
    html = stage.client.get("/ui/revolts").get_data(as_text=True)
    page = Page(html)
    away = [a["href"] for tag, a, _ in page.elements if tag == "a" and not a["href"].startswith("/")]
    assert away == ["http://beta:8080", "http://gamma"]
    assert ["hidden" in a for a in page.of("problem")] == [True, False]
    assert "nothing answers at http://gamma" in html
    assert [a["data-label"] for _, a, _ in page.elements if "data-rack" in a] == ["Rack B", ""]


def test_hostile_racks_are_text(stage: Stage):
    """Labels, names, URLs and reasons from elsewhere are escaped, and no link leads into a script."""
    stage.put(codecs.PEERS, [PeerSummary(EVIL, "javascript:alert(1)", False, EVIL, 1, 1, EVIL, 0, "", EVIL)])
    hostile = dict.fromkeys(("source_rack", "target_rack", "service", "reason"), EVIL)
    stage.put(codecs.REVOLT_EVENTS, [event(1, Phase.IN_DOUBT, EVIL, EVIL, EVIL, **hostile)])
    for path in ("/", "/ui/squads", "/ui/revolts"):
        html = stage.client.get(path).get_data(as_text=True)
        page = Page(html)
        assert "<script>alert" not in html
        assert not page.inline_script
        assert not [a for tag, a, _ in page.elements if tag == "a" and "javascript" in a["href"]]
        for _, attributes, _ in page.elements:
            assert not [name for name in attributes if name == "style" or name.startswith(("on", "hx-on"))]


def test_the_activity_has_a_line_for_each_handoff(stage: Stage):
    """The latest first, with its phases in their order, the time, the heir's callsign and the reason."""
    stage.put(
        codecs.REVOLT_EVENTS,
        [
            event(1, Phase.PREPARED, "a", "s1"),
            event(2, Phase.PREPARED, "b", "s2"),
            event(3, Phase.IN_DOUBT, "b", "s2", reason="the line broke"),
            event(4, Phase.COMMITTED, "a", "s1", "t1"),
        ],
    )
    answer = stage.client.get("/ui/revolts")
    html = answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    told = (name_of("s2"), "IN DOUBT", "the line broke", name_of("s1"), "COMMITTED")
    at = [html.index(word) for word in told]
    assert at == sorted(at)
    assert f"Now called {name_of('t1')}." in html
    assert "Rack &lt;1&gt; → Rack B" in html
    assert "of clawbucket-b" in html
    assert "10:00:04 UTC" in html
    assert 'data-version="4:a-committed"' in html


def test_lines_are_folded_from_events():
    """By sequence number, wherever an event is; at most twenty, the latest."""
    events = [event(2 * n + k, phase, f"h{n}") for n in range(25) for k, phase in enumerate(
        (Phase.PREPARED, Phase.COMMITTED)
    )]  # fmt: skip
    lines = handoff_lines(reversed(events))
    assert len(lines) == MOST
    assert [line.snapshot_id for line in lines] == [f"h{n}" for n in range(24, 4, -1)]
    assert [e.phase for e in lines[0].phases] == [Phase.PREPARED, Phase.COMMITTED]
    assert (lines[0].alias, lines[0].at, lines[0].heir) == ("clawbucket-b", "2026-01-01T10:00:49Z", "")


def test_a_handoff_that_was_asked_about_before_it_came_has_no_trooper(stage: Stage):
    """A tombstone knows neither who nor from where, and the line does not invent it."""
    stone = event(1, Phase.REJECTED, source="", source_rack="", service=PRIMARY, reason="asked too early")
    assert handoff_lines([stone])[0].name == ""
    stage.put(codecs.REVOLT_EVENTS, [stone])
    html = stage.client.get("/ui/revolts").get_data(as_text=True)
    assert "A trooper" in html
    assert "another rack → Rack B" in html
    assert name_of("") not in html
