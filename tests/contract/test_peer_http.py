"""The way to other racks against servers on loopback: asked in order, out of reach, and refused."""

from __future__ import annotations

import socket
import threading
import uuid
from typing import Any

import pytest

from clawbucket.bus.memory import MemoryBus
from clawbucket.clock import SystemClock
from clawbucket.core.revolt import Phase, Told
from clawbucket.handoff import exchange, peer_http
from clawbucket.handoff.offers import decode_offer
from clawbucket.handoff.peer_http import HttpPeers
from clawbucket.handoff.signing import Gatekeeper, NotAdmitted
from clawbucket.ports import PeerDown, PeerInDoubt, PeerRefused, Peers
from tests.contract.peer_stand_in import (
    ACCEPTED,
    ID,
    KEY,
    KNOWN,
    OFFER,
    SOON,
    Handler,
    each_call,
    error,
    says,
    signs,
    within,
)
from tests.fakes import FakeClock

# In order -----------------------------------------------------------------------------------------------


def test_the_deadlines_are_the_protocols():
    """A question is over within three seconds, a look within one and a half, a connection within two."""
    assert (peer_http.HELLO, peer_http.ASK, peer_http.LOOK, exchange.CONNECT) == (3.0, 3.0, 1.5, 2.0)


def test_hello_tells_the_label(serve, peers):
    """A rack with the same key says who it is; the base URL's own path stays in front."""
    server = serve(signs(200, {"rack": "Machine Rack 2", "services": ["a"], "more": 1}))
    port: Peers = peers
    assert port.hello(server.url) == "Machine Rack 2"
    assert port.hello(server.url + "/räck two") == "Machine Rack 2"
    assert [(method, path, body) for method, path, _, body in server.heard] == [
        ("GET", "/api/revolt/hello", b""),
        ("GET", "/r%C3%A4ck%20two/api/revolt/hello", b""),
    ]


def test_a_name_is_looked_up(serve, peers):
    """A rack may be told by name; whichever of its addresses takes the connection is asked."""
    server = serve(signs(200, {"rack": "two"}))
    port = server.server_address[1]
    assert peers.hello(f"http://localhost:{port}") == "two"
    assert server.heard[0][2]["Host"] == f"localhost:{port}"


def test_what_is_sent_is_admitted_once(serve):
    """Every request is signed as a rack's gatekeeper wants it, each with a nonce of its own."""
    clock = FakeClock()
    keeper = Gatekeeper(MemoryBus(clock), clock, KEY)

    def act(handler: Handler) -> None:
        shown = handler.headers["Authorization"]
        keeper.admit(handler.command, handler.path, shown, handler.body)
        with pytest.raises(NotAdmitted):
            keeper.admit(handler.command, handler.path, shown, handler.body)
        handler.say_signed(201 if handler.command == "POST" else 200, {**KNOWN, "rack": "two"})

    server = serve(act)
    peers = HttpPeers(KEY, clock)
    assert peers.hello(server.url) == "two"
    assert peers.offer(server.url, OFFER, 10.0).phase is Phase.RESTORED
    assert peers.ask(server.url, ID).phase is Phase.ACCEPTED
    assert len({headers["Authorization"] for _, _, headers, _ in server.heard}) == 3


def test_an_offer_arrives_whole(serve, peers):
    """The other rack gets the very offer, and what it answers is told."""
    server = serve(signs(201, ACCEPTED))
    assert peers.offer(server.url, OFFER, 10.0) == Told(Phase.RESTORED, "Rack 2", "t1", "/there/x.json")
    method, path, headers, body = server.heard[0]
    assert (method, path, headers["Content-Type"]) == ("POST", "/api/revolt/accept", "application/json")
    assert decode_offer(body) == OFFER


@pytest.mark.parametrize("phase", [Phase.ACCEPTED, Phase.RESTORED, Phase.REJECTED])
def test_what_became_of_it_is_told(serve, peers, phase):
    """Each phase that a target can be in, as it says."""
    server = serve(signs(200, {**KNOWN, "phase": phase.value}))
    assert peers.ask(server.url, ID) == Told(phase, "Rack 2", "t1", "/there/x.json")
    assert server.heard[0][:2] == ("GET", f"/api/revolt/{ID}")


def test_long_texts_of_a_peer_are_cut(serve, peers):
    """A long path or label does not make a record that the bus would take for poison."""
    server = serve(signs(201, {**ACCEPTED, "snapshot_path": "p" * 5_000, "rack": "r" * 5_000}))
    told = peers.offer(server.url, OFFER, 10.0)
    assert (len(told.path), len(told.rack)) == (500, 40)


def test_the_nonce_comes_from_outside(serve):
    """A test, or another source of chance, can say which."""
    server = serve(signs(200, {"rack": "two"}))
    HttpPeers(KEY, SystemClock(), lambda: uuid.UUID(int=5)).hello(server.url)
    assert f",n={uuid.UUID(int=5).hex}," in server.heard[0][2]["Authorization"]


# Without a key, without a rack --------------------------------------------------------------------------


def test_without_a_key_nobody_is_asked(serve):
    """It is said which setting is missing, and nothing is sent."""
    server = serve(signs(200, {"rack": "two"}))
    peers = HttpPeers(None, SystemClock())
    for call in (
        lambda: peers.hello(server.url),
        lambda: peers.offer(server.url, OFFER, 1.0),
        lambda: peers.ask(server.url, ID),
    ):
        with pytest.raises(PeerRefused, match="CLAWBUCKET_PEER_KEY_FILE"):
            call()
    assert server.heard == []


def test_nobody_listens(peers):
    """A refused connection is definite, whatever was asked."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        for call in each_call(peers, url):
            with pytest.raises(PeerDown, match=r"connection refused.*PEER_DASHBOARD_URL"):
                call()
        seen = peers.look("two", url)
        assert (seen.reachable, seen.problem) == (False, "connection refused")


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_nobody_takes_the_connection(peers, monkeypatch):
    """A machine that swallows packets is found out in time, and was sent nothing."""
    monkeypatch.setattr(exchange, "CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]  # they fill the queue: the next SYN is dropped
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        for call in each_call(peers, f"http://127.0.0.1:{address[1]}"):
            with within(0.3), pytest.raises(PeerDown, match="no connection in time"):
                call()
        for one in waiting:
            one.close()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:99999", "http://a..b", "http://" + "a" * 70 + ".b", "http://[::1", "http://"]
)
def test_an_address_that_is_none(peers, url):
    """A setting that cannot be an address is a peer that cannot be reached."""
    for call in each_call(peers, url):
        with pytest.raises(PeerDown, match="cannot be reached"):
            call()
    assert not peers.look("two", url).reachable


def test_a_name_that_nobody_knows(peers, monkeypatch):
    """It is said that the name is the matter."""

    def unknown(*_args: object, **_kw: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for call in each_call(peers, "http://rack-two.example:18080"):
        with pytest.raises(PeerDown, match=r"its name is not known: name or service not known"):
            call()


@pytest.mark.slow
@pytest.mark.usefixtures("hurried")
def test_a_resolver_that_hangs(peers, monkeypatch):
    """Names are looked up with a limit too, and however many ask, one thread waits."""
    answer, asked = threading.Event(), []
    real = socket.getaddrinfo

    def hanging(host: str, *args: Any, **kw: Any) -> Any:
        if host != "rack-two.example":
            return real(host, *args, **kw)
        asked.append(threading.current_thread())
        answer.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    url = "http://rack-two.example:18080"
    for call in each_call(peers, url):
        with within(SOON), pytest.raises(PeerDown, match="name was not found in time"):
            call()
    with within(SOON):
        assert not peers.look("two", url).reachable
    assert len(asked) == 1
    answer.set()
    asked[0].join()


def test_tls_that_fails_is_definite(serve, peers):
    """Where no TLS is spoken, nothing was sent."""
    server = serve(signs(201, ACCEPTED))
    with pytest.raises(PeerDown):
        peers.offer(server.url.replace("http", "https"), OFFER, 5.0)
    assert not any(method == "POST" for method, *_ in server.heard)


# Refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_payload"), (404, "service_unknown"), (409, "conflict"), (418, "x"), (503, "disk_refused"),
        (504, "revolt_rejected"),
    ],
)  # fmt: skip
def test_a_peers_own_no_is_definite(serve, peers, status, code):
    """Its sentence is told, on one line and not at any length."""
    server = serve(signs(status, error(code, "No\ntask\tcame. " + "x" * 1_000)))
    with pytest.raises(PeerRefused) as caught:
        peers.offer(server.url, OFFER, 10.0)
    assert str(caught.value).startswith(f"{server.url} says: No task came. xxx")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("status", "code"), [(504, "revolt_in_doubt"), (500, "internal"), (503, "bus_in_doubt"), (502, "x")]
)
def test_a_peers_own_doubt_is_doubt(serve, peers, status, code):
    """Signed or not, what it does not know itself is not known."""
    with pytest.raises(PeerInDoubt, match="neither way"):
        peers.offer(serve(signs(status, error(code))).url, OFFER, 10.0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 415, 421, 431])
def test_a_refusal_before_the_peer_is_definite(serve, peers, status):
    """A gateway or another server that says no in the rack's place is told by its status."""
    with pytest.raises(PeerRefused, match=f"answers {status}, but not as a clawbucket"):
        peers.offer(serve(says(status, b"<html>no</html>")).url, OFFER, 10.0)


@pytest.mark.parametrize("code", ["draining", "no_replica", "gateway_busy", "bus_down"])
def test_a_rack_that_is_not_ready_is_definite(serve, peers, code):
    """These codes say that nothing was done, signed or not; what else comes with a 503 does not."""
    with pytest.raises(PeerRefused, match=r"503.*try again in a moment"):
        peers.offer(serve(says(503, error(code))).url, OFFER, 10.0)
    with pytest.raises(PeerRefused, match=r"says: Not now"):
        peers.offer(serve(signs(503, error(code, "Not now."))).url, OFFER, 10.0)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("signature_wrong", "CLAWBUCKET_PEER_KEY the same on both"),
        ("signature_stale", "clocks"),
        ("signature_missing", "Authorization"),
        ("no_peer_key", "set the same CLAWBUCKET_PEER_KEY"),
    ],
)
def test_a_rack_that_does_not_know_us(serve, peers, code, advice):
    """The person at the keyboard is told what to check, and the other's words are not repeated."""
    server = serve(says(401, error(code, "<script>alert(1)</script>")))
    for call in (lambda: peers.hello(server.url), lambda: peers.offer(server.url, OFFER, 10.0)):
        with pytest.raises(PeerRefused, match=advice) as caught:
            call()
        assert "script" not in str(caught.value)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_not_followed(serve, peers, status):
    """It is a no for an offer and a greeting, in doubt for a question; the other place hears nothing."""
    other = serve(signs(201, ACCEPTED))
    server = serve(says(status, b"", Location=f"{other.url}/api/revolt/accept"))
    for call in (lambda: peers.hello(server.url), lambda: peers.offer(server.url, OFFER, 10.0)):
        with pytest.raises(PeerRefused, match=f"answers {status} and points elsewhere"):
            call()
    with pytest.raises(PeerInDoubt, match="points elsewhere"):
        peers.ask(server.url, ID)
    assert not peers.look("two", server.url).reachable
    assert len(server.heard) == 4
    assert other.heard == []
