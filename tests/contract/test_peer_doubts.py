"""The way to other racks where the answer is strange, slow, huge or broken: nobody can know what it means."""

from __future__ import annotations

import threading
import time
import uuid

import orjson
import pytest

from clawbucket.core.revolt import Phase
from clawbucket.handoff.signing import ANSWER_HEADER, sign_answer
from clawbucket.ports import PeerDown, PeerInDoubt, PeerRefused
from tests.contract.peer_stand_in import (
    ACCEPTED,
    BROKEN,
    ID,
    KEY,
    KNOWN,
    MARGIN,
    OFFER,
    SOON,
    STRANGE,
    Handler,
    error,
    raw,
    says,
    signs,
    silent,
    trickling,
    within,
)

TRICKLES = [
    trickling(b"", b"H"),
    trickling(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    trickling(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
    trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b" "),
    trickling(b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    trickling(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    trickling(b"HTTP/1.1 404 Not Found\r\nContent-Length: 60000\r\n\r\n", b" "),
]
HUGE = [
    says(200, b" " * 10_000_000),
    raw(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 10_000_000),
    raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n989680\r\n"
        + b" " * 10_000_000
        + b"\r\n0\r\n\r\n"
    ),
    raw(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 10_000_000 + b"\r\n\r\n"),
    raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1_000_000 + b"\r\n"),
    raw(b"x" * 10_000_000),
]


@pytest.mark.parametrize("act", STRANGE)
def test_a_strange_answer_to_an_offer_is_doubt(serve, peers, act):
    """What is not the peer's own word, and may come after it took the trooper, decides nothing."""
    with pytest.raises(PeerInDoubt):
        peers.offer(serve(act).url, OFFER, 10.0)


@pytest.mark.parametrize("act", STRANGE)
def test_a_strange_answer_to_a_question_is_none(serve, peers, act):
    """A greeting is refused with what to check; what became of a handoff stays unknown."""
    server = serve(act)
    with pytest.raises(PeerRefused, match=r"CLAWBUCKET_PEER_KEY|try again|before|URL"):
        peers.hello(server.url)
    with pytest.raises(PeerInDoubt, match="is not told"):
        peers.ask(server.url, ID)


@pytest.mark.parametrize(
    "body",
    [
        None, [], "x", {}, {**ACCEPTED, "snapshot_id": uuid.UUID(int=8).hex}, {**ACCEPTED, "rack": None},
        {**ACCEPTED, "target_task_id": "../x"}, {**ACCEPTED, "snapshot_path": 1},
    ],
)  # fmt: skip
def test_signed_nonsense_is_doubt(serve, peers, body):
    """A peer that says something about nothing, or about another handoff, has not told of this one."""
    with pytest.raises(PeerInDoubt, match="not about this trooper"):
        peers.offer(serve(signs(201, body)).url, OFFER, 10.0)
    known = {**body, "phase": "RESTORED"} if isinstance(body, dict) else body
    with pytest.raises(PeerInDoubt, match="is not told"):
        peers.ask(serve(signs(200, known)).url, ID)


@pytest.mark.parametrize("phase", ["COMMITTED", "PREPARED", "restored", "", None, 1])
def test_a_phase_that_no_target_has_is_doubt(serve, peers, phase):
    """It decides nothing."""
    with pytest.raises(PeerInDoubt):
        peers.ask(serve(signs(200, {**KNOWN, "phase": phase})).url, ID)


@pytest.mark.parametrize("body", [None, [], {}, {"rack": 1}, {"rack": "x" * 41}, {"rack": "a\nb"}])
def test_a_greeting_without_a_name_is_refused(serve, peers, body):
    """A rack must say who it is."""
    with pytest.raises(PeerRefused, match="who it is"):
        peers.hello(serve(signs(200, body)).url)


def test_a_greeting_may_be_refused_by_the_peer(serve, peers):
    """Its own sentence is told."""
    with pytest.raises(PeerRefused, match="says: Not today"):
        peers.hello(serve(signs(503, error("bus_down", "Not today."))).url)


def test_an_answer_to_another_question_is_no_answer(serve, peers):
    """What a peer once signed cannot be shown again."""
    kept: list[tuple[bytes, str]] = []

    def act(handler: Handler) -> None:
        if not kept:
            body = orjson.dumps(KNOWN)
            nonce = handler.headers["Authorization"].partition("n=")[2][:32]
            kept.append((body, sign_answer(KEY, 200, nonce, body)))
        body, signature = kept[0]
        handler.say(200, body, Claw_Peer_Answer=signature)

    server = serve(act)
    assert peers.ask(server.url, ID).phase is Phase.ACCEPTED
    with pytest.raises(PeerInDoubt, match="another key"):
        peers.ask(server.url, ID)


def test_two_signatures_are_none(serve, peers):
    """A header that is there twice is not taken apart."""

    def act(handler: Handler) -> None:
        body = orjson.dumps(ACCEPTED)
        nonce = handler.headers["Authorization"].partition("n=")[2][:32]
        shown = sign_answer(KEY, 201, nonce, body)
        head = f"HTTP/1.1 201 Created\r\nContent-Length: {len(body)}\r\n"
        handler.wfile.write((head + f"{ANSWER_HEADER}: {shown}\r\n" * 2 + "\r\n").encode() + body)

    with pytest.raises(PeerInDoubt):
        peers.offer(serve(act).url, OFFER, 10.0)


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("act", [silent, *TRICKLES])
def test_who_is_slow_is_cut_off(serve, peers, act):
    """However little comes at a time, a call is over in its time."""
    server = serve(act)
    with within(SOON), pytest.raises(PeerInDoubt, match="not over in time"):
        peers.offer(server.url, OFFER, SOON)
    with within(SOON), pytest.raises(PeerInDoubt, match="not over in time"):
        peers.ask(server.url, ID)
    with within(SOON), pytest.raises(PeerDown, match="no answer within"):
        peers.hello(server.url)
    with within(SOON):
        assert peers.look("two", server.url).problem == "it was not over in time"


@pytest.mark.slow
@pytest.mark.parametrize("act", HUGE)
def test_a_huge_answer_is_not_read(serve, peers, act):
    """Ten megabytes are no answer, and no reason to hold them."""
    server = serve(act)
    with within(3.0), pytest.raises(PeerInDoubt):
        peers.offer(server.url, OFFER, 3.0)
    with within(3.0), pytest.raises((PeerDown, PeerRefused)):
        peers.hello(server.url)
    with within(3.0):
        assert not peers.look("two", server.url).reachable


@pytest.mark.parametrize("act", BROKEN)
def test_a_broken_answer_is_doubt(serve, peers, act):
    """Cut off, or no HTTP at all: the offer left, and what came of it is not known."""
    server = serve(act)
    with pytest.raises(PeerInDoubt) as caught:
        peers.offer(server.url, OFFER, 10.0)
    assert "0x" not in str(caught.value)
    with pytest.raises(PeerInDoubt):
        peers.ask(server.url, ID)
    with pytest.raises((PeerDown, PeerRefused)):
        peers.hello(server.url)
    assert not peers.look("two", server.url).reachable


def test_a_compressed_answer_is_not_unpacked(serve, peers):
    """A bomb stays packed: a peer's answers never are."""
    server = serve(says(200, b"\x1f\x8b" + b"x" * 100, Content_Encoding="gzip"))
    with pytest.raises(PeerRefused):
        peers.hello(server.url)
    assert server.heard[0][2]["Accept-Encoding"] == "identity"


def test_no_thread_is_left_behind(serve, peers):
    """The timer of a call that was answered is gone."""
    server = serve(signs(200, {"rack": "two"}))
    before = threading.active_count()
    for _ in range(20):
        peers.hello(server.url)
    deadline = time.monotonic() + MARGIN
    while threading.active_count() > before + 2:
        assert time.monotonic() < deadline, threading.enumerate()
        threading.Event().wait(0.01)
