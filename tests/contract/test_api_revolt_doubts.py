"""POST /api/revolt against racks that are not as they should be: no trooper is lost, or held for good."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app import handoff_models
from clawbucket import codecs, keys
from clawbucket.core.revolt import Phase
from clawbucket.handoff.offers import decode_offer
from clawbucket.handoff.peer_http import HttpPeers
from tests.contract.api_form import refused, told
from tests.contract.peer_stand_in import (
    MARGIN,
    SOON,
    Act,
    Handler,
    error,
    raw,
    says,
    signs,
    silent,
    trickling,
)
from tests.contract.revolt_rig import ID, KEY, ONE, TWO, RevoltRig, one_sentence
from tests.contract.revolt_sides import (
    NOWHERE,
    kinds,
    leaving,
    peer,
    revolt,
    says_of,
    takes_it,
    unharmed,
    untouched,
)
from tests.hive import PRIMARY

pytestmark = pytest.mark.slow

rack = pytest.fixture(leaving)

AT_HELLO: dict[str, tuple[Act, int, str]] = {
    "page": (says(200, b"<html>hello</html>"), 502, "peer_refused"),
    "stranger": (says(200, {"rack": TWO}), 502, "peer_refused"),
    "other key": (signs(200, {"rack": TWO}, "another key"), 502, "peer_refused"),
    "redirect": (says(302, b"", Location="ELSEWHERE"), 502, "peer_refused"),
    "404": (says(404, error("not_found")), 502, "peer_refused"),
    "our key": (says(401, error("signature_wrong")), 502, "peer_refused"),
    "our clock": (says(401, error("signature_stale")), 502, "peer_refused"),
    "no replica": (says(503, error("no_replica")), 502, "peer_refused"),
    "its own no": (signs(403, error("no_peer_key", "No.")), 502, "peer_refused"),
    "nameless": (signs(200, {}), 502, "peer_refused"),
    "our name": (signs(200, {"rack": ONE}), 409, "conflict"),
    "nothing": (raw(b""), 502, "peer_down"),
    "garbage": (raw(b"\x00\xff\x16\x03\x01"), 502, "peer_down"),
    "half": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"), 502, "peer_down"),
    "huge": (says(200, b" " * 200_000), 502, "peer_down"),
    "silent": (silent, 502, "peer_down"),
    "slow": (trickling(b"HTTP/1.1 200 OK\r\nX: ", b"x"), 502, "peer_down"),
}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("how", AT_HELLO)
def test_what_is_no_peer_is_told_before_anything_is_done(serve, rack, how):
    """One clear sentence within the deadline. Nobody is asked elsewhere, and the trooper notices nothing."""
    act, status, code = AT_HELLO[how]
    elsewhere = serve(peer(accept=takes_it))
    if how == "redirect":
        act = says(302, b"", Location=f"{elsewhere.url}/api/revolt/hello")
    server = serve(peer(hello=act, accept=takes_it))
    rig = rack(server.url)
    began = time.monotonic()
    one_sentence(refused(revolt(rig), status, code))
    assert time.monotonic() - began < SOON + MARGIN
    assert kinds(server) == ["hello"]
    assert elsewhere.heard == []
    untouched(rig, rig.tasks()[-1])


def test_a_rack_that_is_down_is_told_at_once(rack):
    """502 peer_down, and the sentence has its URL."""
    rig = rack(NOWHERE)
    sentence = refused(revolt(rig), 502, "peer_down")
    assert NOWHERE in sentence
    one_sentence(sentence)
    untouched(rig, rig.tasks()[-1])


DEFINITE: dict[str, Act] = {
    "unknown service": signs(404, error("service_unknown", "No service of that name runs here.")),
    "conflict": signs(409, error("conflict", "No.")),
    "rejected": signs(504, error("revolt_rejected", "No new task came in time.")),
    "bad payload": signs(400, error("bad_payload", "No.")),
    "no disk": signs(503, error("disk_refused", "The snapshot directory cannot be used.")),
    "draining": signs(503, error("draining", "No.")),
    "no replica": says(503, error("no_replica")),
    "redirect": says(307, b"", Location="ELSEWHERE"),
    "too large": says(413, b"<html>"),
    "forbidden": says(403, b"<html>"),
}


@pytest.mark.parametrize("how", DEFINITE)
def test_who_refuses_the_offer_leaves_the_trooper_unharmed(serve, rack, how):
    """502 with the other rack's sentence; it is thawed before that is answered, and can be sent again."""
    elsewhere = serve(peer(accept=takes_it))
    act = (
        says(307, b"", Location=f"{elsewhere.url}/api/revolt/accept") if how == "redirect" else DEFINITE[how]
    )
    server = serve(peer(accept=act))
    rig = rack(server.url)
    last = rig.tasks()[-1]
    one_sentence(refused(revolt(rig, last), 502, "peer_refused"))
    assert kinds(server) == ["hello", "accept"]
    assert elsewhere.heard == []
    assert rig.tasks()[-1] == last
    unharmed(rig, last)
    assert [phases(rig)[-1]] == ["ABORTED"]
    server.act = peer(accept=takes_it)
    told(revolt(rig, last), 202, handoff_models.Revolted)
    rig.join_timers()


def phases(rig: RevoltRig) -> list[str]:
    """The phases that the events tell of, oldest first."""
    rig.hive.run(0.5)
    return [e["phase"] for e in rig.client().get("/api/revolt/events").get_json()["events"]]


def test_a_rack_that_goes_down_after_the_greeting_leaves_it_unharmed(serve, rack, monkeypatch):
    """502 peer_down: the offer never left."""
    server = serve(peer(accept=takes_it))
    offer = HttpPeers.offer

    def too_late(*args: Any) -> Any:
        server.end()
        return offer(*args)

    monkeypatch.setattr(HttpPeers, "offer", too_late)
    rig = rack(server.url)
    last = rig.tasks()[-1]
    one_sentence(refused(revolt(rig, last), 502, "peer_down"))
    unharmed(rig, last)


INDEFINITE: dict[str, Act] = {
    "nothing": raw(b""),
    "garbage": raw(b"\x00\xff\x16\x03\x01"),
    "half": raw(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"),
    "page": says(200, b"<html>hello</html>"),
    "unsigned": says(201, {"snapshot_id": ID, "target_task_id": "t1", "snapshot_path": "/x", "rack": TWO}),
    "another": signs(201, {"snapshot_id": ID, "target_task_id": "t1", "snapshot_path": "/x", "rack": TWO}),
    "gateway": says(504, error("upstream_timeout")),
    "broken": signs(500, error("internal")),
    "its own doubt": signs(504, error("revolt_in_doubt")),
    "huge": says(201, b" " * 200_000),
    "silent": silent,
    "slow": trickling(b"HTTP/1.1 201 Created\r\nContent-Length: 60000\r\n\r\n", b" "),
}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("how", INDEFINITE)
def test_a_strange_answer_is_asked_after(serve, rack, how):
    """It was offered and nobody knows: the other rack is asked, and where it never took it, it goes on."""
    server = serve(peer(accept=INDEFINITE[how]))
    rig = rack(server.url)
    last, began = rig.tasks()[-1], time.monotonic()
    one_sentence(refused(revolt(rig, last), 502, "peer_refused"))
    assert time.monotonic() - began < 2 * SOON + MARGIN
    assert kinds(server) == ["hello", "accept", "<id>"]
    unharmed(rig, last)
    assert phases(rig) == ["PREPARED", "IN_DOUBT", "ABORTED"]


def test_a_lost_answer_is_no_lost_trooper(serve, rack):
    """The other rack took it and its answer was lost: asked, it says so, and the handoff is committed."""
    server = serve(peer(accept=raw(b""), question=says_of("RESTORED")))
    rig = rack(server.url)
    last = rig.tasks()[-1]
    said = told(revolt(rig, last), 202, handoff_models.Revolted)
    assert (said["target_task_id"], said["target_snapshot_path"]) == ("t1", "/x")
    rig.join_timers()
    assert last not in rig.tasks()
    assert phases(rig) == ["PREPARED", "IN_DOUBT", "COMMITTED"]


ENDS = {"REJECTED": "ABORTED", "RESTORED": "COMMITTED"}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("nobody", [silent, raw(b""), says(404, error("not_found")), says_of("ACCEPTED")])
@pytest.mark.parametrize("at_last", ENDS)
def test_where_nobody_can_tell_it_is_held_until_somebody_can(serve, rack, nobody, at_last):
    """504 revolt_in_doubt: frozen. The manager asks again and again, and does what it is told."""
    server = serve(peer(accept=raw(b""), question=nobody))
    rig = rack(server.url)
    last, began = rig.tasks()[-1], time.monotonic()
    sentence = refused(revolt(rig, last), 504, "revolt_in_doubt")
    assert time.monotonic() - began < 2 * SOON + MARGIN
    one_sentence(sentence)
    (handoff,) = rig.services.handoffs.files.ids("source")
    assert f"/api/revolt/{handoff}" in sentence
    assert rig.memory(last).frozen == handoff
    refused(revolt(rig, last), 409, "conflict")
    rig.finish(0.5)
    assert rig.memory(last).frozen == handoff
    assert rig.client().get(f"/api/revolt/{handoff}").get_json()["phase"] == "IN_DOUBT"
    server.act = peer(question=says_of(at_last))
    rig.finish(4.0)
    record = told(rig.client().get(f"/api/revolt/{handoff}"), 200, handoff_models.Handoff)
    assert (record["phase"], record["settled"]) == (ENDS[at_last], True)
    if at_last == "REJECTED":
        unharmed(rig, last)
    else:
        assert last not in rig.tasks()
        assert len(rig.tasks()) == 2


def test_the_bus_may_end_in_the_middle(serve, rack):
    """It was cut off when the other rack answered: 504 or 503, held, and finished when the bus is back."""
    rig_of: list[RevoltRig] = []

    def takes_it_and_cuts(handler: Handler) -> None:
        rig_of[0].hive.bus.down = True
        takes_it(handler)

    server = serve(peer(accept=takes_it_and_cuts, question=says_of("RESTORED")))
    rig = rack(server.url)
    rig_of.append(rig)
    last = rig.tasks()[-1]
    refused(revolt(rig, last), 504, "revolt_in_doubt")
    rig.hive.bus.down = False
    rig.hive.run(3.0)
    rig.finish(60.0)
    assert last not in rig.tasks()
    assert phases(rig)[-1] == "COMMITTED"


def test_what_is_offered_is_what_was_frozen(serve, rack):
    """The offer has the trooper's score, words and ARM state, says for whom it is, and is signed."""
    server = serve(peer(accept=takes_it))
    rig = rack(server.url)
    last = rig.tasks()[-1]
    memory = rig.memory(last)
    words = memory.words.text
    told(revolt(rig, last), 202, handoff_models.Revolted)
    rig.join_timers()
    offer = decode_offer(server.heard[-1][3])
    assert (offer.service, offer.source_task_id, offer.from_rack, offer.to_rack) == (PRIMARY, last, ONE, TWO)
    assert (offer.state.score, offer.state.words) == (memory.card.score, words)
    capture = rig.hive.gate.read(
        codecs.CAPTURE, "capture", rig.hive.bus.get(keys.CAPTURE.of(offer.snapshot_id))
    )
    assert offer.state == capture
    assert KEY not in str(server.heard)
    record = rig.services.handoffs.files.read(offer.snapshot_id, "source")
    assert (record.state, record.phase, record.settled) == (capture, Phase.COMMITTED, True)
