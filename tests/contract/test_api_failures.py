"""What the replica's API does when something else fails, and what it does not send twice."""

from __future__ import annotations

import pytest

from app import answers
from clawbucket.ports import BusRefused
from tests.contract.api_form import refused, told
from tests.stage import PRIMARY, Stage, task_id

# -- the bus is down -----------------------------------------------------------------------------------

READS = ("/api/swarm", "/api/swarms", "/api/chat", "/api/arm/events", "/api/rps", "/api/haiku")
WRITES = (
    ("/api/chat", {"text": "hi"}),
    ("/api/arm", {"task_id": "a1", "state": "on"}),
    ("/api/rps/config", {"interval_seconds": 5}),
    ("/api/outage", {"service": PRIMARY, "task_id": task_id(PRIMARY, 1)}),
    ("/api/self_destruct", {"service": PRIMARY, "task_id": task_id(PRIMARY, 1)}),
)


@pytest.mark.parametrize("path", READS)
def test_reads_go_on_without_the_bus(stage, client, path):
    """Every read answers what was last known, with how stale it is, and without that once it is back."""
    before = client.get(path)
    stage.bus.down = True
    stage.clock.advance(5)
    stale = client.get(path)
    assert stale.status_code == 200
    said = stale.get_json()
    assert said.pop("stale_seconds") == 5.0
    assert said == before.get_json()
    stage.bus.down = False
    stage.beat()
    assert "stale_seconds" not in client.get(path).get_json()


def test_a_replica_that_ends_refuses_everything_before_doing_it(stage, client):
    """From SIGTERM on, all but health is 503 draining: the gateway asks another, whatever the method."""
    stage.services.health.drain()
    for path, body in WRITES:
        refused(client.post(path, json=body), 503, "draining")
    for path in (*READS, "/", "/api/stream"):
        refused(client.get(path), 503, "draining")
    assert stage.rack.calls == []
    for path in ("/livez", "/metrics"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(("path", "body"), WRITES)
def test_writes_without_the_bus_are_503(stage, client, path, body):
    """Every mutation that needs the bus says so, and when to come back."""
    client.get("/api/swarms")
    stage.bus.down = True
    stage.clock.advance(1)
    refused(client.post(path, json=body), 503, "bus_down")
    assert stage.rack.calls == []


def test_a_write_in_doubt_is_503(stage, client):
    """A mutation whose answer was lost, and that cannot be asked about, is 503 and in doubt."""
    stage.bus.in_doubt = 1
    refused(client.post("/api/rps/config", json={"interval_seconds": 5}), 503, "bus_in_doubt")


def test_a_lost_answer_is_resolved_by_asking(stage, client):
    """A message whose first answer was lost is looked for by its id: 201, and it is there once."""
    stage.bus.in_doubt = 1
    told(client.post("/api/chat", json={"text": "hi"}), 201, answers.Said)
    assert len(client.get("/api/chat").get_json()["messages"]) == 1


def test_writes_refused_by_the_bus_are_503(stage, client, monkeypatch):
    """A value that the bus does not take is 503."""

    def full(*_: object) -> None:
        raise BusRefused("out of memory")

    monkeypatch.setattr(stage.bus, "set", full)
    refused(client.post("/api/rps/config", json={"interval_seconds": 5}), 503, "bus_refused")


def test_reads_before_the_first_snapshot_are_503():
    """What needs a board and never had one is 503; /api/swarms alone always answers."""
    client = Stage(populated=False).client()
    for path in READS:
        if path != "/api/swarms":
            refused(client.get(path), 503, "bus_down")


# -- caching, health, and the form of everything else -------------------------------------------------


@pytest.mark.parametrize("path", [*READS, "/api/whoami", "/openapi.json"])
def test_what_the_client_has_is_not_sent_again(client, path):
    """If-None-Match with the ETag, alone or among others, is 304 without a body."""
    first = client.get(path)
    etag = first.headers["ETag"]
    for match in (etag, f'"x", W/{etag}', "*"):
        again = client.get(path, headers={"If-None-Match": match})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == etag
    assert client.get(path, headers={"If-None-Match": '"x"'}).status_code == 200


def test_replicas_that_know_the_same_give_the_same_etag():
    """The ETag is of the bytes: a client may ask now one replica and now another."""
    one, other = Stage(), Stage()
    one.client().get("/api/swarms")
    one.beat(0.3)
    etags = {s.client().get("/api/swarms").headers["ETag"] for s in (one, other)}
    assert len(etags) == 1


@pytest.mark.parametrize("path", ["/api/swarms", "/api/whoami", "/static/css/page.css", "/static/main.js"])
def test_head_is_get_without_the_body(client, path: str):
    """HEAD answers what GET would, without the body."""
    got, head = client.get(path), client.head(path)
    assert (got.status_code, head.status_code, head.data) == (200, 200, b"")
    assert head.headers["Content-Length"] == str(len(got.data))


def test_livez_and_readyz(stage, client):
    """/livez is about the process alone; /readyz asks the bus too, and says no while draining."""
    assert told(client.get("/livez"), 200, answers.Verdict)["ok"] is True
    assert told(client.get("/readyz"), 200, answers.Verdict) == {"ok": True, "checks": {"bus": "ok"}}
    stage.bus.down = True
    response = client.get("/readyz")
    assert told(response, 503, answers.Verdict)["checks"]["bus"] != "ok"
    assert response.headers["Retry-After"]
    assert client.get("/livez").status_code == 200
    stage.bus.down = False
    stage.services.health.drain()
    assert "draining" in told(client.get("/readyz"), 503, answers.Verdict)["checks"]["drain"]


def test_the_dashboard_is_html(client):
    """GET /: a page."""
    page = client.get("/")
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert "Bob" in page.text


def test_what_is_not_there_is_told_in_the_contracts_form(client):
    """404 and 405 are JSON too, and 405 says what is allowed."""
    refused(client.get("/nope"), 404, "not_found")
    refused(client.post("/nope"), 404, "not_found")
    response = client.post("/api/swarms", json={})
    refused(response, 405, "method_not_allowed")
    assert "GET" in response.headers["Allow"]


def test_a_bug_is_told_without_its_trace(stage, client, monkeypatch):
    """500 says that the log knows more, and nothing of what failed."""

    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(stage.services.actions, "say", fail)
    assert "secret" not in refused(client.post("/api/chat", json={"text": "hi"}), 500, "internal")
