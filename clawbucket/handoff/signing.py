"""How two racks that share a key know each other: signed requests, and signed answers to them. Pure.

A request shows ``Authorization: Claw-Peer t=<unix seconds>,n=<nonce>,s=<signature>``, and its answer
``Claw-Peer-Answer: <signature>``. Both are HMAC-SHA256 (RFC 2104) under the shared key, over the lines that
``_of_request`` and ``_of_answer`` spell. The answer's covers the request's nonce, so that no answer can be
used for another question. Headers named ``X-Clawbucket-…`` would not do: the gateway drops them.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from clawbucket import keys
from clawbucket.ports import Bus, Clock, Definite

SCHEME = "Claw-Peer"
"""What the Authorization header of a signed request begins with."""
ANSWER_HEADER = "Claw-Peer-Answer"
"""The header of an answer that holds its signature."""
WINDOW = 60
"""Seconds that a request's time may be away from this machine's."""
Code = Literal["signature_missing", "signature_wrong", "signature_stale", "signature_replayed"]

# What this matches can be taken apart in one way only, whatever the path holds: a signature never fits
# another request.
_FORM = re.compile(rf"{SCHEME} t=([0-9]{{1,12}}),n=([0-9a-f]{{32}}),s=([0-9a-f]{{64}})")


class NotAdmitted(Definite):
    """A request does not show what a peer's shows. ``code`` is stable, for programs."""

    def __init__(self, code: Code, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Signed:
    """What the Authorization header of a signed request says."""

    timestamp: int
    nonce: str
    signature: str

    @classmethod
    def parse(cls, header: str) -> Signed:
        """Read the header. NotAdmitted."""
        if not header.startswith(f"{SCHEME} "):
            raise NotAdmitted(
                "signature_missing",
                f"Only another rack may ask this: the request needs 'Authorization: {SCHEME} …'.",
            )
        found = _FORM.fullmatch(header)
        if found is None:
            raise NotAdmitted(
                "signature_wrong",
                f"The signature cannot be read; it is '{SCHEME} t=<unix seconds>,n=<32 hex digits>,"
                "s=<64 hex digits>'.",
            )
        return cls(int(found[1]), found[2], found[3])


def sign(key: str, method: str, path_with_query: str, timestamp: int, nonce: str, body: bytes) -> str:
    """The Authorization header's value for this request."""
    signature = _of_request(key, method, path_with_query, timestamp, nonce, body)
    return f"{SCHEME} t={timestamp},n={nonce},s={signature}"


def verify(key: str, signed: Signed, method: str, path_with_query: str, body: bytes, now: int) -> None:
    """Check that whoever has the key signed this request, at about ``now`` (unix seconds). NotAdmitted."""
    right = _of_request(key, method, path_with_query, signed.timestamp, signed.nonce, body)
    if not hmac.compare_digest(right, signed.signature):
        raise NotAdmitted(
            "signature_wrong",
            "The signature is not this rack's: CLAWBUCKET_PEER_KEY must be the same on both racks.",
        )
    # The one place where the clocks of two machines are compared: the issue orders it (± 60 s). It decides
    # no order and nobody's lease; it bounds how long a nonce must be remembered.
    apart = signed.timestamp - now
    if abs(apart) > WINDOW:
        raise NotAdmitted(
            "signature_stale",
            f"The request's time is {abs(apart)} s {'after' if apart > 0 else 'before'} this machine's, at "
            f"most {WINDOW} s are allowed: set both machines' clocks.",
        )


def sign_answer(key: str, status: int, nonce: str, body: bytes) -> str:
    """The value of ``ANSWER_HEADER`` for this answer to the request with that nonce."""
    return _mac(key, f"v1\nanswer\n{status}\n{nonce}\n{sha256(body).hexdigest()}")


def verify_answer(key: str, header: str, status: int, nonce: str, body: bytes) -> bool:
    """Whether whoever has the key gave this answer to the request with that nonce."""
    right = sign_answer(key, status, nonce, body)
    return hmac.compare_digest(right.encode(), header.encode("utf-8", "surrogatepass"))


class Gatekeeper:
    """Admits requests that a peer signed, each once for the whole rack. Thread- and greenlet-safe."""

    def __init__(self, bus: Bus, clock: Clock, key: str) -> None:
        self._bus, self._clock, self._key = bus, clock, key

    def admit(self, method: str, path: str, header: str, body: bytes) -> str:
        """The nonce, with which the answer is to be signed. ``path`` with its query. NotAdmitted.

        BusDown, BusInDoubt and BusRefused pass through: what may have been seen before is not admitted.
        """
        signed = Signed.parse(header)
        verify(self._key, signed, method, path, body, self._clock.wall_ms() // 1000)
        # Its time to live is beyond the 120 s for which one signature is neither too early nor too late.
        if not self._bus.add(keys.NONCE.of(signed.nonce), b"1", keys.NONCE.ttl):
            raise NotAdmitted(
                "signature_replayed", "This very request was taken before; a new one needs a new nonce."
            )
        return signed.nonce


def _of_request(key: str, method: str, path: str, timestamp: int, nonce: str, body: bytes) -> str:
    return _mac(key, f"v1\n{method}\n{path}\n{timestamp}\n{nonce}\n{sha256(body).hexdigest()}")


def _mac(key: str, text: str) -> str:
    # A path from the network may hold what UTF-8 cannot; it is compared like any other, and fits nothing.
    return hmac.new(key.encode(), text.encode("utf-8", "surrogatepass"), sha256).hexdigest()
