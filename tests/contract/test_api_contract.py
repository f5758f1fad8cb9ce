"""The contract's replica API, call by call: status, and every field by its name (CONTRACT section 1).

``EXACTLY`` is the contract's own list of names, written out here a second time on purpose: a field that
is renamed in the code and in the document alike must still fail. app/answers.py then holds every
answer to its whole description.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from app import answers
from clawbucket import codecs, keys
from clawbucket.core.callsign import color_of, name_of
from clawbucket.core.model import Service, TaskState
from clawbucket.ports import EngineDown, EngineInDoubt
from tests.contract.api_form import refused, told
from tests.stage import EPOCH, PRIMARY, SECOND, SERVICES, Stage, task_id

REPLICA = {"id", "slot", "state", "node_id", "name", "color", "is_manager", "score", "three_words"}
SWARM = {"service", "desired_replicas", "running_count", "replicas"}


# -- who runs here -----------------------------------------------------------------------------------


def test_whoami_names_the_replica(stage, client):
    """GET /api/whoami: which replica answers, with its colour."""
    said = told(client.get("/api/whoami"), 200, answers.Whoami)
    exactly = {
        "hostname", "started_at_utc", "service", "swarm_node", "task_name", "task_slot", "task_id", "color",
    }  # fmt: skip
    assert exactly <= said.keys()
    me = task_id(PRIMARY, 1)
    assert (said["service"], said["task_id"], said["task_slot"]) == (PRIMARY, me, 1)
    assert said["swarm_node"] == "node-1"
    assert said["color"] == color_of(me)
    assert said["started_at_utc"] == stage.services.started_at


def test_swarm_is_the_primary_service(client):
    """GET /api/swarm: the primary with each replica, one of them the manager."""
    said = told(client.get("/api/swarm"), 200, answers.PrimaryService)
    assert said.keys() >= SWARM
    assert (said["service"], said["desired_replicas"], said["running_count"]) == (PRIMARY, 3, 3)
    assert [r["slot"] for r in said["replicas"]] == [1, 2, 3]
    assert [r["is_manager"] for r in said["replicas"]] == [True, False, False]
    first = said["replicas"][0]
    assert first.keys() >= REPLICA
    assert first["name"] == name_of(first["id"])
    assert (first["state"], first["score"], first["three_words"]) == ("running", 4, "brave quiet otter")
    assert (said["manager_task_id"], said["manager_epoch"]) == (first["id"], EPOCH)


def test_swarm_of_an_unknown_service_is_404(stage, client):
    """GET /api/swarm: 404 when the engine knows no such service."""
    stage.publish(services=(Service(SECOND, 3),))
    refused(client.get("/api/swarm"), 404, "service_unknown")


def test_swarm_without_an_engine_is_503(stage, client):
    """GET /api/swarm: 503 while the engine cannot be asked, and while nobody has said anything yet."""
    stage.publish(error="the engine does not answer")
    refused(client.get("/api/swarm"), 503, "engine_down")
    refused(Stage(populated=False).client().get("/api/swarm"), 503, "bus_down")


def test_swarm_that_cannot_be_read_is_503(stage, client):
    """GET /api/swarm: 503 when the engine could not read that service."""
    stage.publish(services=(Service(PRIMARY, 3, error="permission denied"), Service(SECOND, 3)))
    assert "ermission denied" in refused(client.get("/api/swarm"), 503, "engine_down")


def test_swarms_are_all_services(client):
    """GET /api/swarms: one object a service, the primary first."""
    said = told(client.get("/api/swarms"), 200, answers.Services)
    assert [s["service"] for s in said["swarms"]] == list(SERVICES)
    for swarm in said["swarms"]:
        assert swarm.keys() >= SWARM
        assert "error" not in swarm
        assert all(r.keys() >= REPLICA for r in swarm["replicas"])
        assert sum(r["is_manager"] for r in swarm["replicas"]) == 1


def test_a_service_that_cannot_be_read_carries_error_and_zeros(stage, client):
    """GET /api/swarms: the unreadable service says why; the other is as ever."""
    stage.publish(services=(Service(PRIMARY, 3), Service(SECOND, 3, error="permission denied")))
    good, bad = told(client.get("/api/swarms"), 200, answers.Services)["swarms"]
    assert good["running_count"] == 3
    assert bad["error"] == "permission denied"
    assert (bad["desired_replicas"], bad["running_count"], bad["replicas"]) == (0, 0, [])


def test_swarms_before_the_first_snapshot_are_zeros():
    """GET /api/swarms: 200 with an error on each service while nothing was ever seen."""
    said = told(Stage(populated=False).client().get("/api/swarms"), 200, answers.Services)
    for swarm in said["swarms"]:
        assert "no snapshot" in swarm["error"]
        assert (swarm["desired_replicas"], swarm["running_count"], swarm["replicas"]) == (0, 0, [])


def test_a_rack_that_runs_nothing_has_no_manager(stage, client):
    """GET /api/swarms: nobody is manager where nobody runs."""
    stage.publish(tasks=tuple(replace(t, state=TaskState.STARTING) for t in stage.tasks))
    swarm = told(client.get("/api/swarms"), 200, answers.Services)["swarms"][0]
    assert swarm["running_count"] == 0
    assert not any(r["is_manager"] for r in swarm["replicas"])
    assert swarm["manager_task_id"] is None


# -- scale -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "service"), [(None, PRIMARY), ("", PRIMARY), ("clawbucket-b", SECOND), (SECOND, SECOND)]
)
def test_scale_takes_full_names_aliases_and_none(stage, client, asked, service):
    """POST /api/scale: 202, and the rack is told; no service is the primary."""
    body = {"replicas": 5} if asked is None else {"replicas": 5, "service": asked}
    said = told(client.post("/api/scale", json=body), 202, answers.Scaling)
    assert said == {"ok": True, "service": service, "desired_replicas": 5, "status": "scaling"}
    assert stage.rack.calls == [("scale", service, "5")]


def test_scale_takes_a_form(stage, client):
    """POST /api/scale: what htmx sends, digits as text, means the same."""
    told(client.post("/api/scale", data={"replicas": "5", "service": ""}), 202, answers.Scaling)
    assert stage.rack.desired[PRIMARY] == 5


@pytest.mark.parametrize("count", [0, 21, -1, 2.0, 2.5, "3", True, None, [], 10**30])
def test_scale_refuses_what_is_no_count(stage, client, count):
    """POST /api/scale: 400 unless a whole number from 1 to 20."""
    assert "replicas" in refused(client.post("/api/scale", json={"replicas": count}), 400, "bad_payload")
    assert stage.rack.calls == []


@pytest.mark.parametrize("service", ["nope", "x" * 64, 7, "clawbucket_"])
def test_scale_refuses_an_unknown_service(stage, client, service):
    """POST /api/scale: 400 for a service that is not shown here."""
    response = client.post("/api/scale", json={"replicas": 3, "service": service})
    assert response.status_code == 400
    assert stage.rack.calls == []


def test_scale_of_a_service_that_the_rack_does_not_run_is_400(stage, client):
    """POST /api/scale: 400 when the rack itself does not know the service."""
    del stage.rack.desired[SECOND]
    refused(client.post("/api/scale", json={"replicas": 3, "service": SECOND}), 400, "service_unknown")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [(EngineDown("nobody there"), 503, "engine_down"), (EngineInDoubt("silence"), 504, "engine_in_doubt")],
)
def test_scale_tells_how_the_rack_failed(stage, client, failure, status, code):
    """POST /api/scale: 503 when nothing was asked for, 504 when nobody can tell."""
    stage.rack.fails = failure
    refused(client.post("/api/scale", json={"replicas": 3}), status, code)


# -- chat --------------------------------------------------------------------------------------------


def test_chat_shows_what_was_said(stage, client):
    """GET and POST /api/chat: 201 with the message, then it is in the list."""
    said = told(client.post("/api/chat", json={"text": "  hello swarm "}), 201, answers.Said)
    assert said.keys() == {"ok", "message"}
    message = said["message"]
    assert message.keys() == {"id", "from", "host", "text", "at", "source"}
    assert (message["text"], message["from"]) == ("hello swarm", name_of(task_id(PRIMARY, 1)))
    assert message["host"] == stage.settings.hostname
    listed = told(client.get("/api/chat"), 200, answers.Chat)
    assert listed == {"messages": [message], "source": "memcached"}


def test_chat_takes_a_form(client):
    """POST /api/chat: a form's text is the message."""
    assert told(client.post("/api/chat", data={"text": "hi"}), 201, answers.Said)["message"]["text"] == "hi"


def test_chat_keeps_280_characters(client):
    """POST /api/chat: what is longer is cut, not refused."""
    said = told(client.post("/api/chat", json={"text": "ä" * 300}), 201, answers.Said)
    assert said["message"]["text"] == "ä" * 280


@pytest.mark.parametrize("body", [{"text": ""}, {"text": " \n\t "}, {}, {"text": 7}, {"text": None}, [], "x"])
def test_chat_refuses_nothing_said(client, body):
    """POST /api/chat: 400 for no text."""
    refused(client.post("/api/chat", json=body), 400, "bad_payload")


def test_chat_refuses_half_a_character(client):
    """POST /api/chat: a lone surrogate is no text; 400, not a failure later."""
    sent = client.post("/api/chat", data=b'{"text":"\\ud800"}', content_type="application/json")
    refused(sent, 400, "bad_payload")


@pytest.mark.parametrize("body", [b"", b"null", b"{", b"\xff", b"[" * 60_000])
def test_what_is_no_json_is_400(client, body):
    """A body that is not what it says it is, or nests absurdly, is 400."""
    refused(client.post("/api/chat", data=body, content_type="application/json"), 400, "bad_payload")


def test_chat_shows_the_last_40(client):
    """GET /api/chat: 40 messages, oldest first."""
    for number in range(45):
        client.post("/api/chat", json={"text": str(number)})
    texts = [m["text"] for m in told(client.get("/api/chat"), 200, answers.Chat)["messages"]]
    assert texts == [str(n) for n in range(5, 45)]


# -- ARM ---------------------------------------------------------------------------------------------


def test_arm_events_show_what_was_armed(client):
    """GET /api/arm/events and POST /api/arm: 201 with the event, then list and tile have it."""
    who = task_id(PRIMARY, 2)
    said = told(client.post("/api/arm", json={"task_id": who, "state": "on"}), 201, answers.Armed)
    assert said.keys() == {"ok", "event"}
    event = said["event"]
    assert event.keys() == {"id", "task_id", "bot", "state", "at", "source"}
    assert (event["task_id"], event["state"], event["bot"]) == (who, "on", name_of(who))
    listed = told(client.get("/api/arm/events"), 200, answers.ArmEvents)
    assert listed == {"events": [event], "source": "memcached"}
    replicas = client.get("/api/swarm").get_json()["replicas"]
    assert [r["arm"] for r in replicas] == ["off", "on", "off"]


def test_arm_takes_a_form_and_a_name(client):
    """POST /api/arm: ``bot`` is what the trooper is called in the event."""
    data = {"task_id": task_id(PRIMARY, 2), "state": "off", "bot": " Rex "}
    assert told(client.post("/api/arm", data=data), 201, answers.Armed)["event"]["bot"] == "Rex"


@pytest.mark.parametrize(
    "body",
    [
        {}, [], "x", {"task_id": "a1"}, {"state": "on"}, {"task_id": "", "state": "on"},
        {"task_id": "a1", "state": "ON"}, {"task_id": "a1", "state": "maybe"},
        {"task_id": "a1", "state": True},
        {"task_id": "A1", "state": "on"}, {"task_id": "a" * 65, "state": "on"}, {"task_id": 7, "state": "on"},
        {"task_id": "a b", "state": "on"}, {"task_id": "a1\n", "state": "on"},
        {"task_id": "a1", "state": "on", "bot": "x" * 81},
    ],
)  # fmt: skip
def test_arm_refuses_a_bad_payload(client, body):
    """POST /api/arm: 400 unless a task's id and on or off."""
    refused(client.post("/api/arm", json=body), 400, "bad_payload")


# -- rock, paper, scissors; haiku ----------------------------------------------------------------------


def test_rps_shows_the_running_round(client):
    """GET /api/rps: the manager's throw and the interval."""
    said = told(client.get("/api/rps"), 200, answers.Rps)
    assert said.keys() == {"state", "interval_seconds", "ttl_seconds"}
    assert said["state"].keys() >= {"choice", "from", "at", "publisher"}
    assert (said["state"]["choice"], said["state"]["publisher"]) == ("paper", "leader-manager")
    assert (said["interval_seconds"], said["ttl_seconds"]) == (10, 20)


def test_rps_without_a_throw_is_null(stage, client):
    """GET /api/rps: ``state`` is null while nobody throws."""
    stage.bus.delete(keys.RPS_STATE.of())
    assert told(client.get("/api/rps"), 200, answers.Rps)["state"] is None


@pytest.mark.parametrize(("asked", "kept"), [(30, 30), (1, 2), (-5, 2), (121, 120), (10**20, 120)])
def test_rps_config_clamps(client, asked, kept):
    """POST /api/rps/config: the nearest from 2 to 120."""
    said = told(client.post("/api/rps/config", json={"interval_seconds": asked}), 200, answers.Interval)
    assert said == {"ok": True, "interval_seconds": kept}
    assert client.get("/api/rps").get_json()["interval_seconds"] == kept


@pytest.mark.parametrize(
    "body", [{}, {"interval_seconds": "5"}, {"interval_seconds": 5.5}, {"interval_seconds": False}]
)
def test_rps_config_refuses_no_number(client, body):
    """POST /api/rps/config: 400 unless a whole number."""
    refused(client.post("/api/rps/config", json=body), 400, "bad_payload")


def test_rps_config_takes_a_form(client):
    """POST /api/rps/config: digits in a form are a number, also below zero; anything else is none."""
    path = "/api/rps/config"
    assert client.post(path, data={"interval_seconds": "-3"}).get_json()["interval_seconds"] == 2
    for bad in ("", "1.5", "٣", "1" * 5_000, "x"):
        refused(client.post(path, data={"interval_seconds": bad}), 400, "bad_payload")


def test_haiku_is_there(client):
    """GET /api/haiku: text, source, at, every 120 s."""
    said = told(client.get("/api/haiku"), 200, answers.Haiku)
    assert said.keys() == {"haiku", "interval_seconds"}
    assert said["haiku"].keys() == {"text", "source", "at"}
    assert said["haiku"]["text"] == "one\ntwo\nthree"
    assert said["interval_seconds"] == 120


def test_haiku_is_never_empty(stage, client):
    """GET /api/haiku: with none on the bus, a fallback that says it is one."""
    stage.bus.delete(keys.HAIKU.of())
    poem = told(client.get("/api/haiku"), 200, answers.Haiku)["haiku"]
    assert poem["text"].strip()
    assert poem["source"] == "fallback"


# -- outage and self-destruct --------------------------------------------------------------------------


def test_outage_kills_the_manager_and_prefers_the_next(stage, client):
    """POST /api/outage: 202, the manager is killed, and the next slot is preferred for 300 s."""
    manager = task_id(PRIMARY, 1)
    body = {"service": "clawbucket", "task_id": manager}
    said = told(client.post("/api/outage", json=body), 202, answers.Outage)
    assert said == {
        "ok": True, "service": PRIMARY, "removed_task_id": manager, "next_manager_slot": 2,
        "override_ttl_seconds": 300, "status": "outage-triggered",
    }  # fmt: skip
    assert stage.rack.calls == [("kill", manager)]
    assert stage.bus.get(keys.OVERRIDE.of(PRIMARY)) == b"2"


def test_self_destruct_kills_the_task(stage, client):
    """POST /api/self_destruct: 202 and the task is killed."""
    who = task_id(SECOND, 3)
    said = told(
        client.post("/api/self_destruct", data={"service": SECOND, "task_id": who}), 202, answers.Destructed
    )
    assert said == {
        "ok": True, "service": SECOND, "removed_task_id": who, "status": "self-destruct-triggered",
    }  # fmt: skip
    assert stage.rack.calls == [("kill", who)]


def test_self_destruct_elsewhere_is_an_order_on_the_bus(stage, client):
    """POST /api/self_destruct: a task on another node is sent an order; 202 all the same."""
    who = task_id(PRIMARY, 2)
    stage.rack.elsewhere.add(who)
    told(
        client.post("/api/self_destruct", json={"service": PRIMARY, "task_id": who}), 202, answers.Destructed
    )
    raw = stage.bus.get(keys.ORDERS.of(who))
    assert [o.kind for o in codecs.ORDERS.decode(raw or b"")] == ["self_destruct"]


@pytest.mark.parametrize("path", ["/api/outage", "/api/self_destruct"])
def test_ends_refuse_what_they_cannot_do(stage, client, path):
    """POST /api/outage, /api/self_destruct: 400 bad body, 404 unknown service or task, 503 rack down."""
    known = {"service": PRIMARY, "task_id": task_id(PRIMARY, 1)}
    for body in (
        {},
        {"service": PRIMARY},
        {"task_id": "a1"},
        {**known, "task_id": "no id"},
        {**known, "service": 1},
    ):
        refused(client.post(path, json=body), 400, "bad_payload")
    refused(client.post(path, json={**known, "service": "nope"}), 404, "service_unknown")
    refused(client.post(path, json={**known, "task_id": "a99"}), 404, "task_unknown")
    refused(client.post(path, json={"service": SECOND, "task_id": known["task_id"]}), 404, "task_unknown")
    stage.rack.fails = EngineDown("nobody there")
    refused(client.post(path, json=known), 503, "engine_down")
    stage.rack.fails = EngineInDoubt("silence")
    refused(client.post(path, json=known), 504, "engine_in_doubt")


def test_outage_refuses_a_task_that_is_no_manager(client):
    """POST /api/outage: 409 for another replica."""
    body = {"service": PRIMARY, "task_id": task_id(PRIMARY, 2)}
    refused(client.post("/api/outage", json=body), 409, "conflict")


def test_outage_refuses_the_last_replica():
    """POST /api/outage: 409 when nobody could take over."""
    stage = Stage(1)
    body = {"service": PRIMARY, "task_id": task_id(PRIMARY, 1)}
    refused(stage.client().post("/api/outage", json=body), 409, "conflict")
    assert stage.rack.calls == []
