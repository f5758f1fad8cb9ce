"""Signatures between racks: what is admitted, once, and what never is."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawbucket import keys
from clawbucket.bus.memory import MemoryBus
from clawbucket.handoff.signing import (
    ANSWER_HEADER,
    SCHEME,
    WINDOW,
    Gatekeeper,
    NotAdmitted,
    Signed,
    sign,
    sign_answer,
    verify,
    verify_answer,
)
from clawbucket.ports import BusDown, BusInDoubt, ClawError
from tests.fakes import FakeClock

KEY = "schlüssel-of-both"
NONCE = "0123456789abcdef0123456789abcdef"
NOW = 1_790_000_000
PATH = "/api/revolt/accept"
BODY = b'{"schema":1}'
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of nothing (FIPS 180-4's well-known value)."""


class Gate:
    """A gatekeeper on a bus of its own, and a peer that signs."""

    def __init__(self) -> None:
        self.clock = FakeClock(wall_ms=NOW * 1000)
        self.bus = MemoryBus(self.clock)
        self.keeper = Gatekeeper(self.bus, self.clock, KEY)

    def admit(self, *, method="POST", path=PATH, body=BODY, header=None) -> str:
        return self.keeper.admit(method, path, self.header() if header is None else header, body)

    def header(self, *, key=KEY, method="POST", path=PATH, at=NOW, nonce=NONCE, body=BODY) -> str:
        return sign(key, method, path, at, nonce, body)

    def refusal(self, **what) -> str:
        with pytest.raises(NotAdmitted) as caught:
            self.admit(**what)
        sentence = str(caught.value)
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert KEY not in sentence
        return caught.value.code


def test_the_forms_are_the_protocols():
    """Signatures are what the protocol's lines give, computed here by hand."""
    lines = f"v1\nGET\n/api/revolt/hello?a=b\n{NOW}\n{NONCE}\n{EMPTY}"
    mac = hmac.new(KEY.encode("utf-8"), lines.encode(), hashlib.sha256).hexdigest()
    assert (
        sign(KEY, "GET", "/api/revolt/hello?a=b", NOW, NONCE, b"") == f"Claw-Peer t={NOW},n={NONCE},s={mac}"
    )
    lines = f"v1\nanswer\n404\n{NONCE}\n{EMPTY}"
    assert sign_answer(KEY, 404, NONCE, b"") == hmac.new(KEY.encode(), lines.encode(), "sha256").hexdigest()
    assert (SCHEME, ANSWER_HEADER, WINDOW) == ("Claw-Peer", "Claw-Peer-Answer", 60)


def test_a_peers_request_is_admitted():
    """What is signed with the same key is let in, and its nonce told."""
    assert Gate().admit() == NONCE


def test_a_header_is_read_as_it_was_written():
    """Parsing gives back what was signed."""
    signed = Signed.parse(Gate().header())
    assert (signed.timestamp, signed.nonce, len(signed.signature)) == (NOW, NONCE, 64)


@pytest.mark.parametrize("header", ["", "Bearer abc", "claw-peer t=1", "Claw-Peer", "Claw-Peert=1,n=2,s=3"])
def test_what_is_not_signed_is_told_so(header):
    """Another scheme, or none, is no signature at all."""
    assert Gate().refusal(header=header) == "signature_missing"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda header: header + " ",
        lambda header: header + "\n",
        lambda header: header.replace(",n=", ", n="),
        lambda header: header.replace("t=", "t=-"),
        lambda header: header.replace("t=", "t=٣"),
        lambda header: header.replace(f"t={NOW}", "t=" + "9" * 5_000),
        lambda header: header.replace(NONCE, NONCE.upper()),
        lambda header: header.replace(NONCE, NONCE[1:]),
        lambda header: header.replace(NONCE, "../" + NONCE[3:]),
        lambda header: header[:-1],
        lambda header: header[:-1] + ("0" if header[-1] != "0" else "1"),
        lambda header: header + "0" * 100_000,
        lambda header: header.replace(NONCE, "\udce9" * 32),
    ],
)
def test_a_spoilt_header_is_wrong(spoil):
    """What is not of the form, or has one digit changed, is refused, and nothing is remembered of it."""
    gate = Gate()
    assert gate.refusal(header=spoil(gate.header())) == "signature_wrong"
    assert gate.admit() == NONCE


def test_a_signature_fits_its_own_request_only():
    """Another method, path, query, body or key, and it is worth nothing."""
    gate = Gate()
    assert gate.refusal(method="PUT") == "signature_wrong"
    assert gate.refusal(path="/api/revolt/accept?") == "signature_wrong"
    assert gate.refusal(path="/api/revolt/hello") == "signature_wrong"
    assert gate.refusal(path="/api/revolt/\udce9") == "signature_wrong"
    assert gate.refusal(body=BODY + b" ") == "signature_wrong"
    assert gate.refusal(header=gate.header(key=KEY + "x")) == "signature_wrong"
    assert gate.bus.get(keys.NONCE.of(NONCE)) is None
    assert gate.admit() == NONCE


@pytest.mark.slow
@given(st.text(max_size=40), st.text(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_no_two_requests_share_a_signature(one, other, body, other_body):
    """Whatever the paths and bodies hold, line breaks among it, a signature fits what was signed alone."""
    signed = Signed.parse(sign(KEY, "POST", one, NOW, NONCE, body))
    if (one, body) == (other, other_body):
        verify(KEY, signed, "POST", other, other_body, NOW)
        return
    with pytest.raises(NotAdmitted):
        verify(KEY, signed, "POST", other, other_body, NOW)


@pytest.mark.parametrize("away", [-61, 61, -86_400, 10**9])
def test_a_stale_request_is_refused(away):
    """More than a minute before or after this machine's time is too much."""
    gate = Gate()
    assert gate.refusal(header=gate.header(at=NOW + away)) == "signature_stale"


@pytest.mark.parametrize("away", [-60, 0, 60])
def test_a_minute_is_allowed(away):
    """The clocks of two machines may be a minute apart."""
    gate = Gate()
    assert gate.admit(header=gate.header(at=NOW + away)) == NONCE


def test_strangers_do_not_learn_the_time():
    """A signature that is both wrong and old is wrong: only a peer is told how far the clocks are apart."""
    gate = Gate()
    assert gate.refusal(header=gate.header(at=1, key="another key")) == "signature_wrong"


def test_a_request_is_admitted_once():
    """The same signature again is a replay, for as long as its time would do."""
    gate = Gate()
    early = gate.header(at=NOW + WINDOW)
    assert gate.admit(header=early) == NONCE
    for _ in range(2 * WINDOW):
        assert gate.refusal(header=early) == "signature_replayed"
        gate.clock.advance(1)
    gate.clock.advance(1)
    assert gate.refusal(header=early) == "signature_stale"


def test_one_rack_admits_a_request_once():
    """It is the bus that remembers: another replica of the rack refuses the replay, too."""
    gate = Gate()
    gate.admit()
    with pytest.raises(NotAdmitted):
        Gatekeeper(gate.bus, gate.clock, KEY).admit("POST", PATH, gate.header(), BODY)


def test_without_a_bus_nobody_is_admitted():
    """Whether it is a replay cannot be told then, so it is not let in."""
    gate = Gate()
    gate.bus.down = True
    with pytest.raises(BusDown):
        gate.admit()
    gate.bus.down = False
    gate.bus.in_doubt = 1
    with pytest.raises(BusInDoubt):
        gate.admit()
    assert gate.refusal() == "signature_replayed"


def test_a_refusal_is_a_failure_like_any_other():
    """Who does not know of signatures still sees a failure that can be explained."""
    assert issubclass(NotAdmitted, ClawError)


def test_an_answer_is_known_by_its_signature():
    """It fits the key, the status, the question and every byte, and nothing else."""
    shown = sign_answer(KEY, 201, NONCE, BODY)
    assert verify_answer(KEY, shown, 201, NONCE, BODY)
    assert not verify_answer(KEY, shown, 200, NONCE, BODY)
    assert not verify_answer(KEY, shown, 201, NONCE[::-1], BODY)
    assert not verify_answer(KEY, shown, 201, NONCE, BODY + b" ")
    assert not verify_answer("another key", shown, 201, NONCE, BODY)
    for header in ("", shown[:-1], shown.upper(), shown + " ", f"{shown}, {shown}", "ü", "\udce9"):
        assert not verify_answer(KEY, header, 201, NONCE, BODY)


def test_an_answer_is_no_request():
    """The two kinds of signature never fit each other."""
    shown = sign_answer(KEY, 200, NONCE, b"")
    assert Gate().refusal(header=f"{SCHEME} t={NOW},n={NONCE},s={shown}", body=b"") == "signature_wrong"
