"""The drawer's fragment and the glossary, over HTTP."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape

import pytest
from flask.testing import FlaskClient

from app.glossary import glossary
from clawbucket import codecs
from clawbucket.board import MAX_AGE
from clawbucket.core.callsign import name_of
from clawbucket.core.model import TaskState
from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.revolt import Phase, RevoltEvent
from tests.stage import PRIMARY, SECOND, Stage, task_id

WORKER = task_id(SECOND, 2)
EVIL = '"><script>alert(1)</script>'


def drawer(client: FlaskClient, who: str = WORKER) -> str:
    """The fragment of that trooper."""
    answer = client.get(f"/ui/trooper?task_id={who}")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def test_all_about_one_trooper(client: FlaskClient):
    """Its facts, why it is as it is, every act and its record as JSON are in one fragment, never cached."""
    answer = client.get(f"/ui/trooper?task_id={WORKER}")
    html = answer.get_data(as_text=True)
    assert answer.mimetype == "text/html"
    assert answer.headers["Cache-Control"] == "no-store"
    assert f'data-name="{name_of(WORKER)}"' in html
    assert "It runs and its heartbeats arrive; it goes on until somebody ends it." in html
    for path in ("/api/arm", "/api/outage", "/api/self_destruct"):
        assert f'hx-post="{path}"' in html
    raw = re.search(r"<pre[^>]*>(.*?)</pre>", html, re.DOTALL)
    assert raw is not None
    record = json.loads(unescape(raw[1]))
    assert record["trooper"]["id"] == record["task"]["id"] == WORKER
    assert set(record) == {"trooper", "task", "agent"}


def test_its_controls_have_ids_of_their_own(client: FlaskClient):
    """Nothing in the drawer has the id of something on the tile, and no id is there twice."""
    html, page = drawer(client), client.get("/").get_data(as_text=True)
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert set(ids) & set(re.findall(r'\sid="([^"]+)"', page)) == set()


def test_a_manager_is_told_with_its_epoch(client: FlaskClient):
    """Who manages a service and until when is in the sentence."""
    assert "it manages clawbucket in epoch 1790000000000" in drawer(client, task_id(PRIMARY, 1))


def test_the_engines_words_are_shown(stage: Stage, client: FlaskClient):
    """Message, error and exit code are facts, and as text, whatever is in them."""
    stage.tasks = [
        replace(t, state=TaskState.PENDING, message=EVIL, error="no suitable node", exit_code=3)
        if t.id == WORKER else t
        for t in stage.tasks
    ]  # fmt: skip
    stage.beat()
    html = drawer(client)
    assert "It waits for a node that may take it (no suitable node)" in html
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    assert "<dd>3</dd>" in html


def test_a_revolt_is_offered_where_there_is_a_peer(stage: Stage, client: FlaskClient):
    """Without another rack there is no revolt; with several one is chosen."""
    assert "/api/revolt" not in drawer(client)
    near = [PeerSummary(n, f"http://{n}", True, n, 3, 3, "", 0, "") for n in ("beta", "gamma")]
    stage.put(codecs.PEERS, near)
    stage.clock.advance(MAX_AGE)
    html = drawer(client)
    assert 'hx-post="/api/revolt"' in html
    assert html.count("<option") == 2


def test_a_handoff_in_doubt_is_told(stage: Stage, client: FlaskClient):
    """A frozen trooper names the rack that may have it, and that this is being asked."""
    beat = stage.services.bus.get(codecs.HEARTBEAT.key.of(f"{SECOND}.2.{WORKER}"))
    known = codecs.HEARTBEAT.decode(beat)
    stage.put(codecs.HEARTBEAT, replace(known, seq=99, frozen="a" * 32), f"{SECOND}.2.{WORKER}")
    at = stage.clock.iso()
    told = RevoltEvent("e", 1, at, WORKER, "", SECOND, "Machine Rack 1", "Rack 2", "a" * 32, Phase.IN_DOUBT)
    stage.put(codecs.REVOLT_EVENTS, [told])
    stage.beat()
    assert "whether Rack 2 took it in is in doubt" in drawer(client)


def test_who_ended_lately_has_a_reason(stage: Stage, client: FlaskClient):
    """Of a task of which only its last state is kept, that is told, and nothing can be done with it."""
    stage.tasks = [t for t in stage.tasks if t.id != WORKER]
    stage.publish(ended={WORKER: TaskState.FAILED})
    stage.clock.advance(MAX_AGE)
    html = drawer(client)
    assert "Its process ended with an error" in html
    assert "<form" not in html


def test_a_silent_bus_makes_old_news(stage: Stage, client: FlaskClient):
    """What is not known anew is not told as if it were."""
    drawer(client)
    stage.bus.down = True
    stage.clock.advance(4)
    assert "As last known 4 s ago, before the bus fell silent" in drawer(client)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("", 400, "bad_payload"), ("task_id=no%20task", 400, "bad_payload"), ("task_id=x", 404, "task_unknown")],
)
def test_a_drawer_of_nobody(client: FlaskClient, query: str, status: int, code: str):
    """What is no task's id, or nobody's, is refused in the contract's form."""
    answer = client.get(f"/ui/trooper?{query}")
    assert (answer.status_code, answer.get_json()["code"]) == (status, code)


def test_nothing_known_is_a_503():
    """While nothing was ever read there is no drawer, and the answer says so."""
    stage = Stage(populated=False)
    stage.bus.down = True
    answer = stage.client().get(f"/ui/trooper?task_id={WORKER}")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "bus_down")


def test_the_glossary_page(client: FlaskClient):
    """Every term has its anchor and its sentence; every link within leads to one; nothing is inline."""
    html = client.get("/glossary").get_data(as_text=True)
    ids = set(re.findall(r'<div id="([^"]+)"', html))
    assert ids == {term.slug for term in glossary().terms}
    assert set(re.findall(r'href="#([^"]+)"', html)) == ids
    assert all(term.says in unescape(html) for term in glossary().terms)
    assert set(re.findall(r"<script[^>]*>", html)) == {'<script src="/static/theme.js">'}
    assert "<style" not in html
    assert " style=" not in html


def test_every_term_on_the_page_leads_into_the_glossary(client: FlaskClient):
    """Without scripts a word of the page is a link to its sentence."""
    anchors = {f"/glossary#{term.slug}" for term in glossary().terms}
    linked = re.findall(r'<a class="term" href="([^"]+)"', client.get("/").get_data(as_text=True))
    assert linked
    assert set(linked) <= anchors
