from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from flask import Flask, render_template
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

import app
from app import dashboard, stream
from app.factory import create_app
from app.fanout import Fanout
from app.intake import FORM
from app.scoreboard_watch import ScoreboardWatch
from app.security import LoginCookie
from app.services import Services, assemble
from app.shown import with_ranks
from clawbucket import codecs
from clawbucket.board import MAX_AGE, BoardReader
from clawbucket.core.agent import Utterance
from clawbucket.core.callsign import name_of
from clawbucket.core.model import ArmState
from clawbucket.core.records import ArmEvent, ChatMessage
from clawbucket.ports import Orders
from clawbucket.settings import Settings
from tests.fakes import FakeAgent
from tests.hive import PRIMARY, SECOND, Hive

ROOT = Path(app.__file__).parent
VOID = {"meta", "link", "input", "br"}
BINDINGS = tuple(
    f"data-{kind}" for kind in ("text", "show", "unless", "attrs", "value", "checked", "next", "disabled")
)
OPTIONAL = {
    "tasks": {"move", "outcome", "from_rack", "change", "lead_move", "epoch"},
    "peers": {"problem"},
    "services": {"error", "next_manager", "next_manager_slot"},
    "swarm": {"manager", "manager_confirmed", "epoch"},
    "aggregator": {"problem", "silent_since"},
    "rps": {"choice", "from", "round"},
    "": {"unknown", "stale_seconds", "snapshot_age_seconds", "engine_error", "agent_problem", "agent_mend"},
}
"""Fields that a record has only at times; app/wire.py tells when."""


class Page(HTMLParser):
    """A page's elements, each as (tag, attributes, path of the record it is bound to)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], str]] = []
        self._paths: list[str] = []
        self.inline_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the element and the record that it belongs to."""
        given = {name: value or "" for name, value in attrs}
        path = given.get("data-of", self._paths[-1] if self._paths else "")
        self.elements.append((tag, given, path))
        if tag not in VOID:
            self._paths.append(path)

    def handle_endtag(self, tag: str) -> None:
        """Leave the element."""
        if tag not in VOID:
            self._paths.pop()

    def handle_data(self, data: str) -> None:
        """Note a script that is written into the page."""
        self.inline_script |= bool(self.elements) and self.elements[-1][0] == "script" and bool(data.strip())

    def of(self, css_class: str) -> list[dict[str, str]]:
        """The attributes of every element of that class."""
        return [a for _, a, _ in self.elements if css_class in a.get("class", "").split()]


class Stage:
    """The dashboard and the stream alone, on a swarm in memory."""

    def __init__(self) -> None:
        self.hive = Hive(3, (PRIMARY, SECOND))
        self.hive.run(2)
        self.settings = Settings(swarm_services=(PRIMARY, SECOND), label="Rack <1>", sse_clients=1)
        self.board = BoardReader(self.hive.bus, self.hive.gate, self.hive.clock, self.settings)
        self.board.board()  # the first look learns the tasks, the next one asks for what they say
        self.hive.clock.advance(MAX_AGE)
        self.services = SimpleNamespace(
            settings=self.settings, clock=self.hive.clock, board=self.board,
            scoreboard=ScoreboardWatch(None, self.hive.clock),
        )  # fmt: skip
        services = cast(Services, self.services)
        self.fanout = Fanout(
            stream.producer(services), self.hive.clock, cap=self.settings.sse_clients, spawn=lambda _: None
        )
        flask = Flask("app", root_path=str(ROOT))
        flask.register_blueprint(dashboard.blueprint(services))
        flask.register_blueprint(stream.blueprint(self.fanout))
        self.client: FlaskClient = flask.test_client()

    def deployed(self, engine: str) -> None:
        """From here on the rack manager says that this is its engine."""
        told = self.hive.bus.get(codecs.SNAPSHOT.key.of())
        assert told is not None
        snapshot = codecs.SNAPSHOT.decode(told)
        self.put(codecs.SNAPSHOT, replace(snapshot, engine=engine, seq=snapshot.seq + 1))
        self.board.board()

    def page(self, path: str = "/") -> Page:
        """That page, read."""
        return Page(self.client.get(path).get_data(as_text=True))

    def put(self, codec: codecs.Codec[Any], value: object) -> None:
        """Put a value on the bus, and let the board become old."""
        self.hive.bus.set(codec.key.of(), codec.encode(value), 60)
        self.hive.clock.advance(MAX_AGE)


@pytest.fixture(scope="module")
def whole() -> Stage:
    """One that is only looked at."""
    return Stage()


@pytest.fixture
def stage() -> Stage:
    """A fresh one."""
    return Stage()


def test_a_tile_for_every_trooper(whole: Stage):
    """Every trooper of every service has its tile, with its whole id in a title."""
    tiles = whole.page().of("tile")
    assert [t["id"] for t in tiles] == [f"task-{task_id}" for task_id in whole.hive.tasks]
    titles = {a.get("title") for _, a, _ in whole.page().elements}
    assert set(whole.hive.tasks) <= titles


def test_one_manager_badge_a_service(whole: Stage):
    """Exactly one trooper of each service is marked as its manager."""
    shown = [a for a in whole.page().of("manager") if "hidden" not in a]
    assert [a["data-manager_confirmed"] for a in shown] == ["true", "true"]


def test_arm_switch_tells_and_toggles(stage: Stage):
    """An armed trooper's switch is on, and pressing it sends the other state."""
    armed = next(iter(stage.hive.tasks))
    event = ArmEvent("e", 1, armed, "Bob", ArmState.ON, stage.hive.clock.iso(), "dashboard")
    stage.put(codecs.ARM_EVENTS, [event])
    page = stage.page()
    switches = {a["id"]: a["aria-checked"] for _, a, _ in page.elements if a.get("role") == "switch"}
    sends = [a["value"] for _, a, _ in page.elements if a.get("name") == "state"]
    assert switches[f"arm-{armed}"] == "true"
    assert list(switches.values()).count("true") == 1
    assert sends == ["off", "on", "on", "on", "on", "on"]


@pytest.mark.parametrize("path", ["/", "/ui/squads", "/ui/chat", "/ui/revolts"])
def test_nothing_inline(whole: Stage, path: str):
    """No script, style or handler is written into the page, so a strict policy breaks nothing."""
    page = whole.page(path)
    assert not page.inline_script
    for tag, attributes, _ in page.elements:
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith("/static/")
        assert not [name for name in attributes if name == "style" or name.startswith(("on", "hx-on"))]


def check_bindings(stage: Stage, page: Page) -> None:
    """Each bound name is a field of its record."""
    state = with_ranks(stream.state_of(stage.board.board()))
    for tag, attributes, path in page.elements:
        record = state
        for part in filter(None, path.split("/")):
            record = record[part]
        known = set(record) | OPTIONAL.get(path.split("/")[0], set())
        for binding in BINDINGS:
            names = set(attributes.get(binding, "").split())
            assert names <= known, f"<{tag} {binding}> of {path!r}"


def test_every_binding_names_a_field(whole: Stage):
    """What patcher.js fills in is what the stream sends: each bound name is a field of its record."""
    check_bindings(whole, whole.page())


def test_hostile_text_is_text(stage: Stage):
    """Chat lines, callsigns and the label are escaped wherever they are shown."""
    evil = '"><script>alert(1)</script>'
    stage.put(codecs.CHAT, [ChatMessage("m", 1, evil, evil, evil, evil)])
    for path in ("/", "/ui/chat"):
        html = stage.client.get(path).get_data(as_text=True)
        assert "<script>alert" not in html
        assert html.count("&lt;script&gt;alert(1)") >= 3
    assert html.count("by a person") == 1
    assert "Rack &lt;1&gt;" in stage.client.get("/").get_data(as_text=True)


def test_an_answer_in_the_chat_is_told_apart(stage: Stage):
    """What a trooper's agent said names its source and bears its colour; what a person typed does not."""
    trooper = stage.board.board().squads[0].replicas[1]
    now = stage.hive.clock.iso()
    lines = [
        ChatMessage("m1", 1, trooper.name, "host", "report", now),
        ChatMessage("m2", 2, trooper.name, "host", "aye", now, "picoclaw"),
        ChatMessage("m3", 3, "Gone Long", "host", "no", now, "fallback"),
    ]
    stage.put(codecs.CHAT, lines)
    html = stage.client.get("/ui/chat").get_data(as_text=True)
    told = [html.index(words) for words in ("by a person", "by its agent, picoclaw", "built in, fallback")]
    assert told == sorted(told)
    page = Page(html)
    assert [len(page.of("typed")), len(page.of("answer"))] == [1, 2]
    faces = [a["color"] for tag, a, _ in page.elements if tag == "svg" and a.get("class") == "face"]
    assert faces == [trooper.color]


def test_a_missing_model_is_told_quietly(stage: Stage):
    """One line, no banner, says what keeps troopers from thinking and what to type; else it is hidden."""
    assert ["hidden" in a for a in stage.page().of("note")] == [True]
    hive = Hive(2, (PRIMARY,), agent=lambda _: FakeAgent())
    hive.run(12)
    services = assemble(Settings(swarm_services=(PRIMARY,)), hive.clock, hive.bus, cast(Orders, None))
    services.board.board()
    hive.clock.advance(MAX_AGE)
    html = create_app(services).test_client().get("/").get_data(as_text=True)
    assert ["hidden" in a for a in Page(html).of("note")] == [False]
    assert "Ollama does not answer" in html
    assert ">ollama serve</code>" in html


def talked() -> tuple[FlaskClient, str]:
    """A whole replica's HTTP side, and a task that was talked with, by a person who is no better than it."""
    hive = Hive(1, (PRIMARY,), agent=lambda _: FakeAgent())
    hive.run(2)
    task_id = next(iter(hive.tasks))
    lines = [Utterance("user", "<b>you</b>", "2026-01-01T10:00:00Z"), Utterance("assistant", "<i>me</i>", "")]
    key = codecs.CONVERSATION.key
    hive.bus.set(key.of(task_id), codecs.CONVERSATION.encode(lines), key.ttl)
    services = assemble(Settings(swarm_services=(PRIMARY,)), hive.clock, hive.bus, cast(Orders, None))
    return create_app(services).test_client(), task_id


def test_a_conversation_is_shown_as_text():
    """Who said what with a trooper stands in the fragment, escaped and never cached."""
    client, task_id = talked()
    answer = client.get(f"/ui/talk?task_id={task_id}")
    html = answer.get_data(as_text=True)
    assert answer.headers["Cache-Control"] == "no-store"
    assert html.index("Somebody") < html.index("&lt;b&gt;you") < html.index(name_of(task_id))
    assert html.index(name_of(task_id)) < html.index("&lt;i&gt;me")
    assert not Page(html).inline_script
    assert "10:00 UTC" in html


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("", 400, "bad_payload"), ("task_id=no%20task", 400, "bad_payload"), ("task_id=x", 404, "task_unknown")],
)
def test_a_conversation_with_nobody(query: str, status: int, code: str):
    """What is no task's id, or nobody's, is refused in the contract's form."""
    answer = talked()[0].get(f"/ui/talk?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)


def shown_banners(page: Page) -> set[str]:
    """The fields whose banners are not hidden."""
    return {a["data-show"] for a in page.of("banner") if "data-show" in a and "hidden" not in a}


def test_a_silent_bus_is_told(stage: Stage):
    """While the bus is away, the last known board is shown under a banner that says so."""
    stage.page()
    stage.hive.bus.down = True
    stage.hive.clock.advance(4)
    page = stage.page()
    assert shown_banners(page) == {"stale_seconds"}
    assert len(page.of("tile")) == 6


def test_a_silent_rack_manager_is_told(stage: Stage):
    """When the snapshot stops moving, a banner tells since when."""
    stage.page()
    stage.hive.clock.advance(4)
    assert shown_banners(stage.page()) == {"snapshot_age_seconds"}


def test_nothing_known_yet():
    """Before anything was ever read the page stands, says why it is empty, and asks to come back."""
    stage = Stage()
    stage.hive.bus.down = True
    board = BoardReader(stage.hive.bus, stage.hive.gate, stage.hive.clock, stage.settings)
    services = cast(
        Services,
        SimpleNamespace(
            settings=stage.settings, clock=stage.hive.clock, board=board, scoreboard=stage.services.scoreboard
        ),
    )
    flask = Flask("app", root_path=str(ROOT))
    flask.register_blueprint(dashboard.blueprint(services))
    flask.register_blueprint(stream.blueprint(stage.fanout))
    answer = flask.test_client().get("/")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert "the memory bus was cut off" in answer.get_data(as_text=True)
    assert stream.producer(services)()["unknown"] == "the memory bus was cut off"


def test_a_service_that_cannot_be_read_says_why(stage: Stage):
    """A service's error stands where its troopers would."""
    snapshot = replace(stage.hive.snapshot(), seq=10**6, services=stage.hive.snapshot().services[:1])
    stage.put(codecs.SNAPSHOT, snapshot)
    assert f"no service {SECOND} runs on this rack" in stage.client.get("/").get_data(as_text=True)
    assert shown_banners(stage.page()) == {"error"}


def test_a_fragment_is_drawn_once_a_board(stage: Stage, monkeypatch: pytest.MonkeyPatch):
    """However many pages ask in one moment, each fragment is rendered once."""
    drawn: list[str] = []

    def counted(name: str, **context: Any) -> str:
        drawn.append(name)
        return render_template(name, **context)

    monkeypatch.setattr(dashboard, "render_template", counted)
    bodies = {stage.client.get("/ui/squads").data for _ in range(5)}
    assert (len(bodies), drawn) == (1, ["_squads.html"])


def with_token() -> tuple[FlaskClient, LoginCookie]:
    """A whole replica's HTTP side that asks for a token, and how it proves a login."""
    hive = Hive(1)
    hive.run(1)
    settings = Settings(token="correct horse", swarm_services=(PRIMARY,))
    services = assemble(settings, hive.clock, hive.bus, cast(Orders, None))
    return create_app(services).test_client(), LoginCookie("correct horse")


def sessions(client: FlaskClient) -> list[str]:
    """Where the page's forms for logging in and out lead."""
    page = Page(client.get("/").get_data(as_text=True))
    actions = [a.get("action", "") for tag, a, _ in page.elements if tag == "form"]
    return [action for action in actions if action.startswith("/api/session")]


def test_login_is_offered_until_done():
    """Where a token is set, the page offers the login; after it, the logout. Forms work without scripts."""
    client, cookie = with_token()
    assert sessions(client) == ["/api/session"]
    given = client.post("/api/session", data={"token": "correct horse"})
    assert (given.status_code, given.headers["Location"]) == (303, "/")
    assert client.get_cookie(cookie.name) is not None
    assert sessions(client) == ["/api/session/end"]
    assert client.post("/api/session/end", data={}, content_type=FORM).status_code == 303
    assert sessions(client) == ["/api/session"]


def test_no_login_without_a_token(whole: Stage):
    """Where no token is set, nobody is asked for one."""
    assert sessions(whole.client) == []


def test_the_page_is_never_cached(whole: Stage):
    """Nobody is shown an old page by a cache."""
    for path in ("/", "/ui/squads", "/ui/chat", "/ui/revolts"):
        assert whole.client.get(path).headers["Cache-Control"] == "no-store"


def without_none(value: object) -> bool:
    """Whether no None is anywhere inside."""
    if isinstance(value, dict):
        return all(without_none(v) for v in value.values())
    return value is not None


def test_a_state_has_no_none(whole: Stage):
    """What a merge patch could not carry is not in the state."""
    assert without_none(stream.state_of(whole.board.board()))


def events(answer: TestResponse, count: int) -> list[dict[str, str]]:
    """The first events of a stream."""
    body = answer.response
    found: list[dict[str, str]] = []
    for piece in body:
        text = piece.decode() if isinstance(piece, bytes) else piece
        for block in text.split("\n\n")[:-1]:
            lines = dict(line.split(": ", 1) for line in block.split("\n"))
            found += [lines] if "event" in lines else []
        if len(found) >= count:
            break
    return found


def test_the_stream(stage: Stage):
    """A stream is told not to be cached or held back, and begins with the whole picture."""
    answer = stage.client.get("/api/stream", buffered=False)
    stage.fanout.step()
    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    (first,) = events(answer, 1)
    assert first["event"] == "snapshot"
    assert set(json.loads(first["data"])["tasks"]) == set(stage.hive.tasks)
    answer.close()
    assert stage.fanout.viewers == 0


def test_the_stream_tells_what_changed(stage: Stage):
    """After the whole picture only what changed is told."""
    answer = stage.client.get("/api/stream", buffered=False)
    stage.fanout.step()
    events(answer, 1)
    stage.put(codecs.INTERVAL, 30)
    stage.fanout.step()
    (change,) = events(answer, 1)
    assert (change["event"], json.loads(change["data"])) == ("delta", {"rps": {"interval_seconds": 30}})
    answer.close()


def test_one_viewer_too_many(stage: Stage):
    """Beyond the cap the answer is a 503 in the contract's form that says when to come back."""
    first = stage.client.get("/api/stream", buffered=False)
    answer = stage.client.get("/api/stream")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.get_json()["code"] == "stream_full"
    assert "1 viewers" in answer.get_json()["error"]
    first.close()


def test_head_takes_no_place(stage: Stage):
    """Asking only for the headers of the stream leaves no viewer behind."""
    assert stage.client.head("/api/stream").mimetype == "text/event-stream"
    assert stage.fanout.viewers == 0


def test_vendored_scripts_are_what_they_say():
    """Every vendored script has the checksum that VENDOR.md names."""
    vendor = ROOT / "static" / "vendor"
    row = re.compile(r"^\| `([\w.-]+\.(?:js|css))` .*`([0-9a-f]{64})` \|$", re.MULTILINE)
    table = dict(row.findall((vendor / "VENDOR.md").read_text()))
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendor.glob("*.[jc]s*")}
    assert sums == table


def test_what_the_page_says_to_type_fits_how_the_rack_runs(stage: Stage):
    """Of a rack of processes its own commands; of one on Swarm those of the stack, and none of the others."""
    html = stage.client.get("/").get_data(as_text=True)
    for typed in ("./claw status", "./claw logs memcached", "./claw logs rack"):
        assert f"<code>{typed}</code>" in html
    stage.deployed("docker")
    html = stage.client.get("/").get_data(as_text=True)
    for typed in ("./claw swarm status", "./claw swarm logs memcached", "./claw swarm logs rack"):
        assert f"<code>{typed}</code>" in html
    assert "./claw logs" not in html
