"""What one rack refuses another over HTTP: a word that is not the other's, and an offer that is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from typing import Any

import orjson
import pytest

from app import handoff_models
from app.schemas import LARGEST_BODY
from clawbucket import keys
from clawbucket.handoff.offers import LARGEST, canonical, encode_offer
from clawbucket.handoff.signing import ANSWER_HEADER, WINDOW
from clawbucket.ports import BusDown
from tests.contract.api_form import refused, told
from tests.contract.revolt_rig import (
    ACCEPT,
    GOOD,
    ID,
    KEY,
    ONE,
    OTHER_ID,
    STATE,
    TWO,
    PeerCaller,
    RevoltRig,
    offer_to,
    one_sentence,
    signed,
)
from tests.hive import PRIMARY, SECOND
from tests.stage import Stage

JSON = "application/json"
Send = Callable[[Stage], Any]
CHANGED = encode_offer(offer_to(state=replace(STATE, score=9_999)))


def post(stage: Stage, body: bytes, header: str | None, path: str = ACCEPT, kind: str = JSON) -> Any:
    """POST these bytes with that Authorization."""
    headers = {} if header is None else {"Authorization": header}
    return stage.client().post(path, data=body, content_type=kind, headers=headers)


# Whose word it is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "signature_missing"),
        ("", "signature_missing"),
        ("Bearer correct horse battery", "signature_missing"),
        (f"claw-peer t=1,n={ID},s={ID}{ID}", "signature_missing"),
        ("Claw-Peer ", "signature_wrong"),
        ("Claw-Peer t=1,n=2,s=3", "signature_wrong"),
        (f"Claw-Peer t=1790000000,n={ID},s={ID}{ID}", "signature_wrong"),
        (f"Claw-Peer t=-1,n={ID},s={ID}{ID}", "signature_wrong"),
        (f"Claw-Peer t=1,n=../../x{'0' * 24},s={ID}{ID}", "signature_wrong"),
    ],
)
@pytest.mark.parametrize("path", [ACCEPT, "/api/revolt/hello"])
def test_who_does_not_sign_is_refused(guarded, path, header, code):
    """No signature, or none that can be read: 401 names the scheme, and the answer is not signed."""
    headers = {} if header is None else {"Authorization": header}
    client = guarded.client()
    if path == ACCEPT:
        answer = client.post(path, data=GOOD, content_type=JSON, headers=headers)
    else:
        answer = client.get(path, headers=headers)
    one_sentence(refused(answer, 401, code))
    assert answer.headers["WWW-Authenticate"] == "Claw-Peer"
    assert ANSWER_HEADER not in answer.headers


@pytest.mark.parametrize(
    "send",
    [
        lambda s: post(s, GOOD, PeerCaller(s, "the key of somebody else").header("POST", ACCEPT, GOOD)),
        lambda s: post(s, CHANGED, signed(s)),
        lambda s: post(s, GOOD + b" ", signed(s)),
        lambda s: post(s, b"", signed(s)),
        lambda s: post(s, GOOD, signed(s, path="/api/revolt/hello")),
        lambda s: post(s, GOOD, signed(s, path=f"{ACCEPT}?x=1")),
        lambda s: post(s, GOOD, signed(s), path=f"{ACCEPT}?x=1"),
        lambda s: post(s, GOOD, signed(s, "GET")),
        lambda s: post(s, GOOD, signed(s).replace("t=1", "t=2")),
        lambda s: post(s, GOOD, signed(s, nonce=ID).replace(ID, OTHER_ID)),
        lambda s: s.client().get("/api/revolt/hello", headers={"Authorization": signed(s)}),
        lambda s: s.client().get(f"/api/revolt/{ID}", headers={"Authorization": signed(s)}),
        lambda s: s.client().get(
            f"/api/revolt/{OTHER_ID}",
            headers={"Authorization": signed(s, "GET", f"/api/revolt/{ID}", b"")},
        ),
    ],
    ids=[
        "key", "body", "longer", "no body", "path", "query", "added query", "method", "time", "nonce",
        "hello", "question", "another question",
    ],
)  # fmt: skip
def test_what_was_not_signed_is_refused(guarded, send: Send):
    """A signature is good for its very request: key, method, path, query, time, nonce and body."""
    answer = send(guarded)
    one_sentence(refused(answer, 401, "signature_wrong"))
    assert ANSWER_HEADER not in answer.headers


@pytest.mark.parametrize("away", [-WINDOW - 1, WINDOW + 1])
def test_a_request_of_another_time_is_refused(guarded, away):
    """61 seconds before or after this machine's clock is 401, and the sentence tells how far it is."""
    assert "61 s" in refused(post(guarded, GOOD, signed(guarded, away=away)), 401, "signature_stale")
    hello = {"Authorization": signed(guarded, "GET", "/api/revolt/hello", b"", away=away)}
    one_sentence(refused(guarded.client().get("/api/revolt/hello", headers=hello), 401, "signature_stale"))


@pytest.mark.parametrize("away", [-WINDOW, WINDOW])
def test_a_clock_may_be_a_minute_off(guarded, away):
    """60 seconds either way are taken."""
    shown = {"Authorization": signed(guarded, "GET", "/api/revolt/hello", b"", away=away)}
    told(guarded.client().get("/api/revolt/hello", headers=shown), 200, handoff_models.Hello)


def test_a_request_is_taken_once(guarded):
    """The same nonce again is 401, for as long as its time is right, also in another request."""
    body = encode_offer(offer_to(service="nobody"))
    again = signed(guarded, body=body, nonce=ID)
    refused(post(guarded, body, again), 404, "service_unknown")
    one_sentence(refused(post(guarded, body, again), 401, "signature_replayed"))
    guarded.clock.advance(WINDOW)
    refused(post(guarded, body, again), 401, "signature_replayed")
    hello = {"Authorization": signed(guarded, "GET", "/api/revolt/hello", b"", nonce=ID)}
    refused(guarded.client().get("/api/revolt/hello", headers=hello), 401, "signature_replayed")
    guarded.clock.advance(1)
    refused(post(guarded, body, again), 401, "signature_stale")


def test_without_a_key_no_rack_is_let_in(tmp_path):
    """Where no key is set, 403 says which setting is missing, whoever asks."""
    stage = Stage(revolt_snapshot_dir=tmp_path / "revolt", label=TWO)
    for answer in (
        post(stage, GOOD, signed(stage)),
        stage.client().get("/api/revolt/hello"),
        stage.client().get(
            f"/api/revolt/{ID}", headers={"Authorization": signed(stage, "GET", f"/api/revolt/{ID}", b"")}
        ),
    ):
        assert "CLAWBUCKET_PEER_KEY" in refused(answer, 403, "no_peer_key")
        assert ANSWER_HEADER not in answer.headers
    assert list(tmp_path.iterdir()) == []


def test_what_may_have_been_seen_before_is_not_taken(guarded):
    """While the bus cannot tell whether a nonce is new, nobody is let in."""
    guarded.bus.down = True
    refused(post(guarded, GOOD, signed(guarded)), 503, "bus_down")
    guarded.bus.down, guarded.bus.in_doubt = False, 1
    refused(post(guarded, GOOD, signed(guarded)), 503, "bus_in_doubt")


def test_a_replica_that_ends_takes_nobody_in(guarded):
    """A draining one says so, before it looks at anything."""
    guarded.services.health.drain()
    refused(post(guarded, GOOD, signed(guarded)), 503, "draining")


def test_the_signature_is_all_the_login_there_is(guarded, tmp_path):
    """A rack is reached by whatever name, and needs no token of ours; a token is no signature."""
    stage = Stage(
        peer_key=KEY, revolt_snapshot_dir=tmp_path / "revolt", label=TWO, token="correct horse battery"
    )
    body = encode_offer(offer_to(service="nobody"))
    headers = {"Authorization": signed(stage, body=body), "Host": "rack-2.example"}
    answer = stage.client().post(ACCEPT, data=body, content_type=JSON, headers=headers)
    refused(answer, 404, "service_unknown")
    refused(post(stage, GOOD, "Bearer correct horse battery"), 401, "signature_missing")
    assert guarded.rack.calls == stage.rack.calls == []


# What an offer is ---------------------------------------------------------------------------------------


def changed(**fields: Any) -> bytes:
    """The good offer with other fields, and the digest that its state has then."""
    told_fields = {**orjson.loads(GOOD), **fields}
    if "sha256" not in fields:
        told_fields["sha256"] = sha256(canonical(told_fields.get("state"))).hexdigest()
    return orjson.dumps({name: value for name, value in told_fields.items() if value is not ...})


def with_state(**fields: Any) -> bytes:
    """The good offer with another state."""
    return changed(state={**orjson.loads(GOOD)["state"], **fields})


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "JSON"),
        (b"snapshot_id=1", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 5_000, "JSON"),
        (b"[]", "object"),
        (b'{"schema":1,"state":' + b"[" * 300 + b"]" * 300 + b"}", "depth"),
        (changed(schema=2), "schema"),
        (changed(schema="1"), "schema"),
        (changed(schema=True), "schema"),
        (changed(schema=...), "schema"),
        (changed(sha256="0" * 64), "sha256"),
        (changed(sha256=...), "sha256"),
        (changed(sha256=None), "sha256"),
        (changed(snapshot_id="../x"), "snapshot_id"),
        (changed(snapshot_id="../" * 10 + "xx"), "snapshot_id"),
        (changed(snapshot_id="/etc/passwd"), "snapshot_id"),
        (changed(snapshot_id=ID + "\n"), "snapshot_id"),
        (changed(snapshot_id=ID.upper()), "snapshot_id"),
        (changed(snapshot_id=ID[1:]), "snapshot_id"),
        (changed(snapshot_id=7), "snapshot_id"),
        (changed(snapshot_id=...), "snapshot_id"),
        (changed(service="../x"), "service"),
        (changed(source_task_id="../x"), "source_task_id"),
        (changed(source_task_id=""), "source_task_id"),
        (changed(from_rack="a\nb"), "from_rack"),
        (changed(to_rack="x" * 41), "to_rack"),
        (changed(to_rack=...), "to_rack"),
        (changed(state=None), "state"),
        (with_state(score="1"), "score"),
        (with_state(score=10**9 + 1), "score"),
        (with_state(arm="loud"), "arm"),
        (with_state(words="x" * 51), "words"),
        (with_state(conversation=[{"role": "system", "text": "", "at": ""}]), "role"),
        (with_state(conversation=[7]), "conversation"),
        (with_state(conversation=[{"role": "user", "text": "x", "at": ""}] * 17), "conversation"),
    ],
)
def test_what_is_no_offer_is_refused(guarded, body, names):
    """400 says which field, and what it takes; the answer is signed, so that the other rack knows it."""
    sentence = refused(PeerCaller(guarded).accept(body), 400, "bad_payload")
    assert names in sentence
    one_sentence(sentence)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "", "application/xml"])
def test_an_offer_is_json(guarded, kind):
    """Any other kind of body is 415, signed or not; a form is none either."""
    refused(post(guarded, GOOD, signed(guarded), kind=kind), 415, "media_type")
    form = "application/x-www-form-urlencoded"
    refused(post(guarded, b"a=1", signed(guarded, body=b"a=1"), kind=form), 400, "bad_payload")


def test_a_large_offer_is_refused(guarded):
    """Over 64 KiB nothing is read, whatever is said of the length; over 60 KiB it is no offer."""
    body = with_state(words="x" * (LARGEST_BODY + 1))
    refused(post(guarded, body, signed(guarded, body=body)), 413, "body_too_large")
    chunked = guarded.client().post(
        ACCEPT, input_stream=BytesIO(body), content_type=JSON,
        headers={"Authorization": signed(guarded, body=body)},
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )  # fmt: skip
    refused(chunked, 413, "body_too_large")
    body = with_state(words="x" * LARGEST)
    assert LARGEST < len(body) <= LARGEST_BODY
    assert "bytes" in refused(PeerCaller(guarded).accept(body), 400, "bad_payload")


def test_an_offer_is_for_a_service_of_this_rack(guarded):
    """404 names the services that there are."""
    sentence = refused(PeerCaller(guarded).accept(offer_to(service="other")), 404, "service_unknown")
    assert PRIMARY in sentence
    assert SECOND in sentence


def test_an_offer_is_for_the_rack_that_it_is_meant_for(guarded):
    """Several racks may have one key: what was meant for another is 409."""
    assert ONE in refused(PeerCaller(guarded).accept(offer_to(ONE)), 409, "conflict")


def test_nobody_is_taken_in_while_the_rack_cannot_be_seen(guarded, monkeypatch):
    """Where the bus ends between the signature and the look at the tasks: 503, signed, nothing done."""

    def cut_off(_service: str) -> None:
        raise BusDown("the bus was cut off")

    monkeypatch.setattr(guarded.services.handoffs.ordering, "tasks", cut_off)
    refused(PeerCaller(guarded).accept(offer_to()), 503, "bus_down")


def test_an_unusable_directory_is_a_clear_no(tmp_path):
    """Where nothing can be written down nobody is taken in, and the other rack is told so for good."""
    (tmp_path / "file").write_bytes(b"")
    rig = RevoltRig(tmp_path / "file" / "revolt")
    before = rig.tasks()
    sentence = refused(PeerCaller(rig).accept(offer_to()), 503, "disk_refused")
    assert "REVOLT_SNAPSHOT_DIR" in sentence
    rig.finish(3.0)
    assert rig.tasks() == before
    assert rig.hive.bus.get(keys.HANDOFF.of(ID)) is None
