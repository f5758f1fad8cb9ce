"""What troopers tell each other, as frozen dataclasses; clawbucket/codecs.py says how each looks on the bus.

``seq`` on an event is a hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014, reduced
to one number): the greater of the last seen plus one and unix milliseconds. It orders the events of one
list even where two machines' clocks differ, and ``id`` decides between equals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from clawbucket.core.agent import PERSON, Agent
from clawbucket.core.model import ArmState

Choice = Literal["rock", "paper", "scissors"]
Outcome = Literal["win", "loss", "draw"]
LONGEST_CHAT = 280
"""Characters of a chat message that are kept (CONTRACT section 1)."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads a service. ``renewal`` counts up while held; ``released`` says that nobody holds it."""

    task_id: str
    epoch: int
    renewal: int
    released: bool = False


@dataclass(frozen=True, slots=True)
class Throw:
    """The primary manager's throw of one round. ``by`` is its callsign; ``epoch`` fences the writer."""

    choice: Choice
    by: str
    at: str
    round: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Arm:
    """A trooper's own memory of its ARM state: the ``seq`` of the event that set it."""

    state: ArmState
    seq: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A trooper's beat. ``seq`` rises with each; it alone tells freshness, ``at`` is for people.

    ``round`` is the latest round that it scored or, as manager, threw; ``move`` and ``outcome`` are what
    it threw when it scored last and how that went; ``score`` is its own truth, published again under the
    score key. ``agent`` tells how the trooper's agent is. ``frozen`` is the handoff that it is held for,
    ``handoff`` the one that it came by, from ``from_rack``.
    """

    task_id: str
    task_name: str
    service: str
    slot: int
    node: str
    seq: int
    at: str
    started_at: str
    score: int = 0
    round: int = 0
    move: Choice | None = None
    outcome: Outcome | None = None
    arm: Arm | None = None
    agent: Agent | None = None
    frozen: str = ""
    from_rack: str = ""
    handoff: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """A trooper's three words, at most 50 characters; ``source`` says honestly where they come from."""

    text: str
    at: str
    source: str


@dataclass(frozen=True, slots=True)
class Haiku:
    """The primary manager's haiku; ``epoch`` fences the writer (0 in a reader's own fallback)."""

    text: str
    source: str
    at: str
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One line of the chat. ``sender`` is ``from`` on the wire; ``host`` is the replica that took it.

    ``source`` is ``person``, or where a trooper's answer honestly comes from.
    """

    id: str
    seq: int
    sender: str
    host: str
    text: str
    at: str
    source: str = PERSON


@dataclass(frozen=True, slots=True)
class ArmEvent:
    """Somebody armed or disarmed a trooper."""

    id: str
    seq: int
    task_id: str
    bot: str
    state: ArmState
    at: str
    source: str


@dataclass(frozen=True, slots=True)
class LoadSample:
    """One second of a running load test, as its generator measured it. ``at`` is the time of who took it.

    ``run`` names the test; ``rate`` is requests a second and ``p95_ms`` their 95th percentile over the last
    seconds; ``failures`` counts from the test's beginning.
    """

    run: str
    users: int
    rate: float
    p95_ms: float
    failures: int
    at: str


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody asks of one task. ``id`` makes it safe to send twice: it is applied once.

    An ``ask`` has the ``text`` said by ``asker``; with ``to_chat`` the answer goes into the chat too, and
    ``wait`` is the seconds by which it is put off, so that a whole squad does not think at once. The
    ``text`` of ``freeze``, ``thaw`` and ``restore`` is the handoff's id.
    """

    id: str
    seq: int
    kind: Literal["self_destruct", "ask", "freeze", "thaw", "restore"]
    at: str
    text: str = ""
    asker: str = ""
    to_chat: bool = False
    wait: int = 0


@dataclass(frozen=True, slots=True)
class Ack:
    """What the task did with an order: ``id`` is the order's."""

    id: str
    seq: int
    kind: str
    at: str
    result: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A trooper's answer to an ask: ``id`` is the order's.

    ``failed`` is None, or why there is no ``text``: a code of clawbucket/loops/answering.py.
    """

    id: str
    seq: int
    at: str
    text: str = ""
    session: str = ""
    model: str = ""
    backend: str = ""
    outcome: str = ""
    milliseconds: int = 0
    failed: str | None = None
    sentence: str = ""
