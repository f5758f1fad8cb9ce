"""Other racks over HTTP: what they say for themselves, and what anybody between may say in their place.

Only an answer that is signed for this very request is the other rack's own word. Of the rest just what
cannot come after the other rack took an offer counts as a no: a redirect, a gateway's refusal, a rack with
another key. Whatever else comes, or does not come, leaves an offer in doubt, and doubt is resolved by asking.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.revolt import Offer, Phase, Told
from clawbucket.handoff.exchange import Answer, Exchange, Request, Unanswered, Unreached
from clawbucket.handoff.looking import summed_up
from clawbucket.handoff.offers import LONGEST_LABEL, encode_offer
from clawbucket.handoff.signing import ANSWER_HEADER, sign, verify_answer
from clawbucket.ports import Clock, PeerDown, PeerInDoubt, PeerRefused

HELLO, ASK, LOOK = 3.0, 3.0, 1.5
"""Seconds in all for each kind of call; an offer's are given with it."""
_LARGEST = 64 * 1024
_LARGEST_LOOK = 512 * 1024
_LONGEST_SENTENCE, _LONGEST_PROBLEM, _LONGEST_PATH = 300, 200, 500

_NEVER_TOOK_IT = frozenset({400, 401, 403, 404, 405, 413, 415, 421, 431})
"""Statuses that nobody gives after an offer was taken."""
_NOTHING_DONE = frozenset({"draining", "no_replica", "gateway_busy", "bus_down"})
"""Codes of a 503 that say that nothing was done (docs/protocol.md)."""
_ITS_NO = frozenset({(504, "revolt_rejected"), (503, "disk_refused")})
"""Statuses and codes by which the other rack itself says that it does not take an offer."""
_SAME_KEY = "is CLAWBUCKET_PEER_KEY the same on both racks?"
_RIGHT_URL = "is its URL right (PEER_DASHBOARD_URL, CLAWBUCKET_PEERS)?"
_ADVICE = {
    "signature_missing": "something between drops the Authorization header",
    "signature_wrong": f"it has another key; {_SAME_KEY}",
    "signature_stale": "the two machines' clocks are over a minute apart; set them",
    "signature_replayed": "it was asked the very same before",
    "no_peer_key": "it has no key; set the same CLAWBUCKET_PEER_KEY on both racks",
    "draining": "it is about to end; try again in a moment",
    "no_replica": "no replica of it is ready; try again in a moment",
    "gateway_busy": "it has too much to do; try again in a moment",
    "bus_down": "its bus is down; try again in a moment",
    "bus_in_doubt": "its bus does not answer; try again in a moment",
}
"""What to tell of an error that is not signed, by its code."""
_NO_KEY = (
    "this rack shares no key with another: set CLAWBUCKET_PEER_KEY or CLAWBUCKET_PEER_KEY_FILE on both racks"
)

_TaskId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{0,64}$")]


class _Answered(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Hello(_Answered):
    rack: Annotated[str, StringConstraints(max_length=LONGEST_LABEL)]


class _Accepted(_Answered):
    snapshot_id: str
    target_task_id: _TaskId
    snapshot_path: str
    rack: str


class _Known(_Accepted):
    phase: Literal["ACCEPTED", "RESTORED", "REJECTED"]


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Said:
    """An answer, and whose word it is. ``own``: the other rack's. ``marked``: it claims to be signed."""

    answer: Answer
    own: bool
    marked: bool

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def code(self) -> str:
        """The stable code of an error in the contract's form; "" where it is none."""
        return self._text("code")

    @property
    def sentence(self) -> str:
        """The sentence of such an error, on one line."""
        return " ".join(self._text("error").split())[:_LONGEST_SENTENCE]

    def told(self, shape: type[M]) -> M | None:
        """What it says, where that is of the shape."""
        try:
            return shape.model_validate_json(self.answer.body, strict=True)
        except ValidationError:
            return None

    def _text(self, name: str) -> str:
        try:
            told: Any = orjson.loads(self.answer.body)
        except orjson.JSONDecodeError:
            return ""
        value = told.get(name) if isinstance(told, dict) else None
        return value if isinstance(value, str) else ""


class HttpPeers:
    """The other racks by their dashboards' URLs. Thread- and greenlet-safe. ``key`` None: none is shared.

    What is signed is the path after the base URL: a proxy that serves a rack below a path of its own takes
    that off again.
    """

    def __init__(self, key: str | None, clock: Clock, nonces: Callable[[], uuid.UUID] = uuid.uuid4) -> None:
        self._key, self._clock, self._nonces = key, clock, nonces
        self._exchange = Exchange()

    def hello(self, url: str) -> str:
        """The other rack's label, once it has shown that it has the same key."""
        try:
            said = self._signed(url, "GET", "/api/revolt/hello", None, HELLO)
        except Unreached as error:
            raise _down(url, error) from error
        except Unanswered as error:
            raise PeerDown(
                f"{url} takes connections, but gives no answer within {HELLO:g} s ({error}); {_RIGHT_URL}"
            ) from error
        if not said.own:
            raise PeerRefused(_stranger(url, said))
        if said.status != 200:
            raise PeerRefused(_its_own_no(url, said))
        hello = said.told(_Hello)
        if hello is None or not hello.rack.isprintable():
            raise PeerRefused(f"{url} has the same key, but does not say who it is; is it of this version?")
        return hello.rack

    def offer(self, url: str, offer: Offer, seconds: float) -> Told:
        """Have it take a trooper in."""
        try:
            said = self._signed(url, "POST", "/api/revolt/accept", encode_offer(offer), seconds)
        except Unreached as error:
            raise _down(url, error) from error
        except Unanswered as error:
            raise PeerInDoubt(f"{url} was offered the trooper and gave no whole answer ({error})") from error
        if said.own and said.status == 201:
            accepted = said.told(_Accepted)
            if accepted is None or accepted.snapshot_id != offer.snapshot_id:
                raise PeerInDoubt(f"{url} took something in, and its answer is not about this trooper")
            return _record(accepted, Phase.RESTORED)
        if said.own and (400 <= said.status < 500 or (said.status, said.code) in _ITS_NO):
            raise PeerRefused(_its_own_no(url, said))
        if said.status == 503 and said.code in _NOTHING_DONE:
            raise PeerRefused(_its_own_no(url, said) if said.own else _stranger(url, said))
        # Replayed: somebody between sent it twice, and the first may be under way.
        if said.code != "signature_replayed" and (300 <= said.status < 400 or said.status in _NEVER_TOOK_IT):
            raise PeerRefused(_stranger(url, said))
        raise PeerInDoubt(f"{url} was offered the trooper, and its answer {said.status} tells neither way")

    def ask(self, url: str, snapshot_id: str) -> Told:
        """What became of a handoff there."""
        try:
            said = self._signed(url, "GET", f"/api/revolt/{snapshot_id}", None, ASK)
        except Unreached as error:
            raise _down(url, error) from error
        except Unanswered as error:
            raise PeerInDoubt(f"{url} was asked what became of it and does not tell ({error})") from error
        known = said.told(_Known) if said.own and said.status == 200 else None
        if known is None or known.snapshot_id != snapshot_id:
            why = _its_own_no(url, said) if said.own else _stranger(url, said)
            raise PeerInDoubt(f"what became of it is not told: {why}")
        return _record(known, Phase(known.phase))

    def look(self, name: str, url: str) -> PeerSummary:
        """How it is; what anybody may see, so that it needs no key."""
        try:
            answer = self._exchange(url, Request("GET", "/api/swarms", {}), LOOK, _LARGEST_LOOK)
        except (Unreached, Unanswered) as error:
            return self._unseen(name, url, str(error))
        if answer.status != 200:
            said = _Said(answer, own=False, marked=False)
            return self._unseen(name, url, _ADVICE.get(said.code, f"it answers {answer.status}"))
        seen = summed_up(answer.body, name, url, self._clock.iso())
        return seen or self._unseen(name, url, "it answers, but not as a rack does")

    def _unseen(self, name: str, url: str, problem: str) -> PeerSummary:
        return PeerSummary(
            name=name, url=url, reachable=False, label="", running=0, desired=0, manager="", score=0,
            at=self._clock.iso(), problem=problem[:_LONGEST_PROBLEM],
        )  # fmt: skip

    def _signed(self, url: str, method: str, path: str, body: bytes | None, seconds: float) -> _Said:
        """Ask as a peer does, and check whose answer it is. PeerRefused: there is no key to sign with."""
        if self._key is None:
            raise PeerRefused(_NO_KEY)
        nonce = self._nonces().hex
        signature = sign(self._key, method, path, self._clock.wall_ms() // 1000, nonce, body or b"")
        headers = {"Authorization": signature, "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = self._exchange(url, Request(method, path, headers, body), seconds, _LARGEST)
        shown = answer.headers.get(ANSWER_HEADER, "")
        own = verify_answer(self._key, shown, answer.status, nonce, answer.body)
        return _Said(answer, own=own, marked=bool(shown))


def _record(told: _Accepted, phase: Phase) -> Told:
    return Told(phase, told.rack[:LONGEST_LABEL], told.target_task_id, told.snapshot_path[:_LONGEST_PATH])


def _down(url: str, error: Unreached) -> PeerDown:
    return PeerDown(f"{url} cannot be reached ({error}); is that rack up, and {_RIGHT_URL}")


def _its_own_no(url: str, said: _Said) -> str:
    """The other rack's own sentence."""
    return f"{url} says: {said.sentence}" if said.sentence else f"{url} answers {said.status}"


def _stranger(url: str, said: _Said) -> str:
    """Why an answer that is not the other rack's own word may be, and what to check."""
    answers = f"{url} answers {said.status}"
    if 300 <= said.status < 400:
        return f"{answers} and points elsewhere, where nobody is asked; {_RIGHT_URL}"
    if said.marked:
        return f"{answers}, signed with another key; {_SAME_KEY}"
    if said.code in _ADVICE:
        return f"{answers}: {_ADVICE[said.code]}"
    return (
        f"{answers}, but not as a clawbucket with the same key does; check its URL (PEER_DASHBOARD_URL, "
        "CLAWBUCKET_PEERS), and that CLAWBUCKET_PEER_KEY is the same on both racks"
    )
