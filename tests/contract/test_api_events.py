"""``GET /api/events``: acts, reigns, ARM, handoffs and chat in one list, of one kind or of every."""

from __future__ import annotations

import pytest

from app import answers, feed
from clawbucket import codecs, keys
from clawbucket.core.callsign import name_of
from clawbucket.core.events import RackEvent
from clawbucket.ports import EngineDown, EngineInDoubt
from tests.contract.api_form import refused, told
from tests.stage import EPOCH, PRIMARY, SECOND, Stage, task_id

MANAGER = task_id(PRIMARY, 1)
OTHER = task_id(PRIMARY, 2)


def events(client, kind: str = ""):
    """What is told of that kind."""
    said = told(client.get(f"/api/events?kind={kind}"), 200, answers.Events)
    assert said["source"] == "memcached"
    return said["events"]


def test_nothing_has_happened(client):
    """An empty list, whatever is asked for."""
    assert told(client.get("/api/events"), 200, answers.Events) == {"events": [], "source": "memcached"}
    assert events(client, "election") == []


def test_acts_are_events(client):
    """Scale, interval, outage, self-destruct, ARM and chat are each there once, in their order."""
    client.post("/api/scale", json={"replicas": 5, "service": "clawbucket-b"})
    client.post("/api/rps/config", json={"interval_seconds": 30})
    client.post("/api/outage", json={"service": PRIMARY, "task_id": MANAGER})
    client.post("/api/self_destruct", json={"service": PRIMARY, "task_id": OTHER})
    client.post("/api/arm", json={"task_id": OTHER, "state": "on"})
    client.post("/api/chat", json={"text": "hello"})
    said = {event["kind"]: event for event in events(client)}
    assert set(said) == {"scale", "interval", "outage", "self_destruct", "arm", "chat"}
    assert len(events(client)) == 6
    scale = said["scale"]
    assert scale.keys() == {"id", "at", "kind", "text", "service", "task_id", "name", "epoch", "from", "to"}
    assert (scale["service"], scale["from"], scale["to"]) == (SECOND, 3, 5)
    assert scale["text"] == "Somebody scaled clawbucket-b from 3 to 5."
    assert (said["interval"]["from"], said["interval"]["to"]) == (10, 30)
    assert (said["outage"]["task_id"], said["outage"]["name"]) == (MANAGER, name_of(MANAGER))
    assert said["self_destruct"]["task_id"] == OTHER
    assert (said["arm"]["task_id"], said["chat"]["text"]) == (OTHER, "hello")


@pytest.mark.parametrize("kind", feed.KINDS)
def test_one_kind_alone(stage, client, kind):
    """``kind`` leaves that kind and no other; each name is taken."""
    client.post("/api/chat", json={"text": "hello"})
    stage.put(codecs.EVENTS, [RackEvent("e", 1, stage.clock.iso(), "election", PRIMARY, MANAGER, EPOCH)])
    stage.clock.advance(1)
    assert {event["kind"] for event in events(client, kind)} <= {kind}
    assert len(events(client, kind)) == (kind in {"chat", "election"})


@pytest.mark.parametrize("kind", ["coup", "Election", "elections", "scale,chat", "%00", "x" * 3_000])
def test_an_unknown_kind_is_refused(client, kind):
    """400, and the sentence names what is allowed."""
    sentence = refused(client.get(f"/api/events?kind={kind}"), 400, "bad_payload")
    assert all(known in sentence for known in feed.KINDS)
    assert len(sentence) < 400


def test_an_election_names_who_and_when(stage, client):
    """A leader's own word has its callsign and epoch."""
    stage.put(codecs.EVENTS, [RackEvent("e", 1, stage.clock.iso(), "election", PRIMARY, MANAGER, EPOCH)])
    (event,) = events(client)
    assert (event["name"], event["epoch"], event["service"]) == (name_of(MANAGER), EPOCH, PRIMARY)


def test_what_was_refused_is_no_event(stage, client):
    """Neither a bad count nor an engine that is away nor an outage of somebody else leaves one."""
    client.post("/api/scale", json={"replicas": 99})
    client.post("/api/outage", json={"service": PRIMARY, "task_id": OTHER})
    stage.rack.fails = EngineDown("nobody there")
    client.post("/api/scale", json={"replicas": 5})
    client.post("/api/outage", json={"service": PRIMARY, "task_id": MANAGER})
    assert events(client) == []


def test_what_is_in_doubt_is_told_as_that(stage, client):
    """Where nobody knows whether it was done, the event says so."""
    stage.rack.fails = EngineInDoubt("silence")
    client.post("/api/scale", json={"replicas": 5})
    (event,) = events(client)
    assert event["text"] == "Somebody asked for 5 replicas of clawbucket; nobody knows whether that was done."


def test_an_act_stands_where_its_event_cannot_be_written(stage, client, monkeypatch):
    """A journal that cannot be appended to costs the event, not the act."""
    add = stage.bus.add
    monkeypatch.setattr(
        stage.bus, "add", lambda key, value, ttl: False if key == keys.EVENTS.of() else add(key, value, ttl)
    )
    told(client.post("/api/scale", json={"replicas": 5}), 202, answers.Scaling)
    assert stage.rack.desired[PRIMARY] == 5
    assert events(client) == []


def test_the_list_is_bounded_and_keeps_the_newest(stage, client):
    """200 at once, oldest first, whatever the lists hold together."""
    at = stage.clock.iso()
    stage.put(codecs.EVENTS, [RackEvent(str(n), n, at, "started", PRIMARY, MANAGER) for n in range(200)])
    for number in range(40):
        client.post("/api/chat", json={"text": str(number)})
    said = events(client)
    assert len(said) == 200
    assert [event["text"] for event in said[-2:]] == ["38", "39"]


def test_events_are_revalidated(client):
    """The same list is 304 to who has it, and a kind has an ETag of its own."""
    client.post("/api/chat", json={"text": "hello"})
    tags = {kind: client.get(f"/api/events?kind={kind}").headers["ETag"] for kind in ("", "scale")}
    assert tags[""] != tags["scale"]
    again = client.get("/api/events", headers={"If-None-Match": tags[""]})
    assert (again.status_code, again.data) == (304, b"")


def test_before_anything_is_known_events_are_503():
    """Like every list."""
    refused(Stage(populated=False).client().get("/api/events"), 503, "bus_down")
