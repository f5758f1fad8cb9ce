"""The picture that people are shown, as frozen dataclasses; clawbucket/board.py draws it from the bus."""

from __future__ import annotations

from dataclasses import dataclass, field

from clawbucket.core.agent import Agent, Trouble
from clawbucket.core.events import RackEvent
from clawbucket.core.model import ArmState, Freshness
from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.records import ArmEvent, ChatMessage, Choice, Haiku, LoadSample, Outcome, Throw
from clawbucket.core.revolt import RevoltEvent


@dataclass(frozen=True, slots=True)
class Trooper:
    """One replica as the board shows it: its task, and what it says of itself.

    ``state`` and ``desired_state`` are the engine's words in lower case. ``is_manager`` is true of
    exactly one running trooper a service (CONTRACT section 1); ``manager_confirmed`` says that it also
    holds the service's lease, and did not merely come first in the order of preference. ``frozen``: it
    is held for a handoff; ``defected``: it was handed over and is about to end; ``from_rack``: its origin.
    """

    id: str
    slot: int
    state: str
    desired_state: str
    node_id: str
    node: str
    task_name: str
    name: str
    color: str
    is_manager: bool
    manager_confirmed: bool
    score: int
    three_words: str
    words_source: str
    freshness: Freshness
    arm: ArmState
    round: int
    move: Choice | None
    outcome: Outcome | None
    started_at: str
    frozen: bool = False
    from_rack: str = ""
    defected: bool = False
    agent: Agent = field(default_factory=lambda: Agent("unknown"))


@dataclass(frozen=True, slots=True)
class Squad:
    """One service as the board shows it. ``error`` is one sentence when it could not be read.

    ``heir_task_id``: who comes first by the rule of preference when the manager is gone, slot overrides
    aside; None while nobody else runs.
    """

    service: str
    alias: str
    desired_replicas: int
    running_count: int
    replicas: tuple[Trooper, ...]
    manager_task_id: str | None = None
    manager_epoch: int = 0
    manager_confirmed: bool = False
    override_slot: int | None = None
    heir_task_id: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """The whole picture at one moment, immutable. ``version`` rises when anything else in it changes.

    ``stale_seconds`` is None while the bus answers, otherwise how long ago it last did.
    ``snapshot_age_seconds`` likewise tells of a rack manager that stopped speaking (None: it speaks).
    ``trouble`` is why the troopers' agents do not think, None while they do or are not meant to.
    """

    version: int
    at: str
    rack: str
    primary: str
    squads: tuple[Squad, ...]
    throw: Throw | None
    interval_seconds: int
    haiku: Haiku
    chat: tuple[ChatMessage, ...]
    arm_events: tuple[ArmEvent, ...]
    revolts: tuple[RevoltEvent, ...] = ()
    events: tuple[RackEvent, ...] = ()
    peers: tuple[PeerSummary, ...] = ()
    load: tuple[LoadSample, ...] = ()
    engine_error: str | None = None
    snapshot_age_seconds: int | None = None
    trouble: Trouble | None = None
    stale_seconds: float | None = None

    def squad(self, service: str) -> Squad | None:
        """The squad of that full service name, or None."""
        return next((s for s in self.squads if s.service == service), None)
