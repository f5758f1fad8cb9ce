"""The rules of a handoff: how a trooper changes racks without being lost or doubled. Pure.

A handoff is a two-phase commit with two parties (Gray, "Notes on Data Base Operating Systems", 1978): the
source prepares, the target votes, the source does what the target decided. The vote is the target's one
durable decision, RESTORED or REJECTED, and everything follows from it: a source that does not know it
asks, for as long as it takes, and keeps its trooper frozen meanwhile. What it asks of a target that never
heard of the handoff leaves a tombstone there ("presumed abort", Mohan and Lindsay, 1983), so that an
offer that comes late is refused.

Each side keeps a record of its own. ``advanced`` says which change of it is allowed; whoever stores records
compares and swaps, so that of two who decide one wins and the other learns of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from clawbucket.core.agent import Utterance
from clawbucket.core.model import ArmState

SNAPSHOT_ID = re.compile(r"[0-9a-f]{32}")
"""What names a handoff, and its file: 128 bits by chance, and nothing that could be a path."""
MOST_SAID = 16
"""Utterances of a trooper's conversation that go along: the end of it."""
MOST_PHASES = 16
"""Entries of a record's history; the rules allow four."""
Side = Literal["source", "target"]


class Phase(StrEnum):
    """Where one side of a handoff is."""

    PREPARED = "PREPARED"
    ACCEPTED = "ACCEPTED"
    RESTORED = "RESTORED"
    COMMITTED = "COMMITTED"
    ABORTED = "ABORTED"
    REJECTED = "REJECTED"
    IN_DOUBT = "IN_DOUBT"

    @property
    def decided(self) -> bool:
        """It will not change any more."""
        return self in _DECIDED


_DECIDED = frozenset({Phase.RESTORED, Phase.COMMITTED, Phase.ABORTED, Phase.REJECTED})
_FIRST: dict[Side, frozenset[Phase]] = {
    "source": frozenset({Phase.PREPARED, Phase.ABORTED}),
    "target": frozenset({Phase.ACCEPTED, Phase.REJECTED}),
}
_NEXT: dict[Phase, frozenset[Phase]] = {
    Phase.PREPARED: frozenset({Phase.COMMITTED, Phase.ABORTED, Phase.IN_DOUBT}),
    Phase.IN_DOUBT: frozenset({Phase.COMMITTED, Phase.ABORTED}),
    Phase.ACCEPTED: frozenset({Phase.RESTORED, Phase.REJECTED}),
}


@dataclass(frozen=True, slots=True)
class TrooperState:
    """What a trooper takes along: its score, its words and whose they are, its ARM state, its last talk."""

    score: int
    words: str
    words_source: str
    arm: ArmState
    conversation: tuple[Utterance, ...] = ()


@dataclass(frozen=True, slots=True)
class PhaseChange:
    """A side came to ``phase``; ``by`` is the task that decided it, ``at`` is for people."""

    phase: Phase
    at: str
    by: str


@dataclass(frozen=True, slots=True)
class Handoff:
    """One side's record. ``rev`` rises with every change of it.

    ``service`` is the side's own full name of it. ``peer`` is where the source finds the target. ``by``
    is the replica that takes care of it, while it lives. ``slot`` is the source's task's. ``before`` are
    the tasks that the side's service had when it was begun: who goes on as the trooper is none of them.
    ``state`` is None in a tombstone alone. ``settled``: nothing is left to do about it. ``path`` is where
    the record is on disk, ``peer_path`` where the other side's is. ``reason`` is one sentence on why it
    was refused or undone.
    """

    snapshot_id: str
    side: Side
    service: str
    source_task_id: str
    source_rack: str
    target_rack: str
    peer: str
    phase: Phase
    phases: tuple[PhaseChange, ...]
    by: str
    state: TrooperState | None = None
    slot: int = 0
    target_task_id: str = ""
    before: tuple[str, ...] = ()
    settled: bool = False
    path: str = ""
    peer_path: str = ""
    reason: str = ""
    rev: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a source asks a target to take in. ``service`` is the source's name of it, full or short.

    ``to_rack`` is the label that the target told of itself: several racks may have one key, and what was
    meant for one of them must not be taken by another.
    """

    snapshot_id: str
    service: str
    source_task_id: str
    from_rack: str
    to_rack: str
    state: TrooperState


@dataclass(frozen=True, slots=True)
class Told:
    """What a target says of a handoff."""

    phase: Phase
    rack: str = ""
    target_task_id: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class RevoltEvent:
    """A side of a handoff came to another phase; the journal has the last 300 of a rack."""

    id: str
    seq: int
    at: str
    source_task_id: str
    target_task_id: str
    service: str
    source_rack: str
    target_rack: str
    snapshot_id: str
    phase: Phase
    reason: str = ""


def event_of(record: Handoff, change: PhaseChange, seq: int = 0) -> RevoltEvent:
    """The event of one entry of the record's history; one event however often it is made."""
    return RevoltEvent(
        id=f"{record.snapshot_id}-{change.phase.value.lower()}",
        seq=seq,
        at=change.at,
        source_task_id=record.source_task_id,
        target_task_id=record.target_task_id,
        service=record.service,
        source_rack=record.source_rack,
        target_rack=record.target_rack,
        snapshot_id=record.snapshot_id,
        phase=change.phase,
        reason=record.reason,
    )


class NotAllowed(ValueError):  # noqa: N818 - it names the thing, not the act
    """A record cannot go from that phase to this."""


def opened(record: Handoff, phase: Phase, at: str) -> Handoff:
    """The record in its first phase. NotAllowed."""
    if phase not in _FIRST[record.side]:
        raise NotAllowed(f"a {record.side} does not begin with {phase}")
    return replace(record, phase=phase, phases=(PhaseChange(phase, at, record.by),), rev=1)


def advanced(record: Handoff, phase: Phase, at: str, by: str, reason: str = "") -> Handoff:
    """The record one phase on. NotAllowed; the record itself where it is in that phase already."""
    if record.phase is phase:
        return record
    if phase not in _NEXT.get(record.phase, frozenset()):
        raise NotAllowed(f"handoff {record.snapshot_id} is {record.phase} and cannot become {phase}")
    phases = (*record.phases, PhaseChange(phase, at, by))[-MOST_PHASES:]
    if phase not in {Phase.COMMITTED, Phase.RESTORED}:  # why it was in doubt says nothing about success
        reason = reason or record.reason
    return replace(record, phase=phase, phases=phases, by=by, reason=reason, rev=record.rev + 1)


def later(one: Handoff | None, other: Handoff | None) -> Handoff | None:
    """Of two copies of a record the one that knows more."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda r: (r.phase.decided, r.settled, r.rev))


def told_to_peer(record: Handoff) -> Phase:
    """What the other rack is told. A refusal only once nothing of the trooper is left here."""
    if record.phase is Phase.REJECTED and not record.settled:
        return Phase.ACCEPTED
    return record.phase


def verdict(told: Phase) -> Phase | None:
    """What a source does about what its target told it; None: ask again."""
    return {Phase.RESTORED: Phase.COMMITTED, Phase.REJECTED: Phase.ABORTED}.get(told)
