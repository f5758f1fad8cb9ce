"""The bodies and answers of handoffs, for /openapi.json.

What an offer must be is checked by clawbucket/handoff/offers.py, after its signature was.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.answers import Answer, At, Ok, RevoltEvent
from app.schemas import Asked, ServiceName, TaskId
from clawbucket.core.revolt import SNAPSHOT_ID

PHASES = Literal["PREPARED", "ACCEPTED", "RESTORED", "COMMITTED", "ABORTED", "REJECTED", "IN_DOUBT"]
_ID = Field(description="The handoff's id.")


class State(Asked):
    """What a trooper takes along."""

    score: int = Field(description="Its points.")
    words: str = Field(description="Its three words.")
    words_source: str = Field(description="Whose words they are.")
    arm: Literal["on", "off"] = Field(description="Its ARM state.")
    conversation: list[dict[str, str]] = Field(
        max_length=16, description="The end of what was said with it: objects with role, text and at."
    )


class Offer(Asked):
    """What a rack asks another to take in; signed (docs/protocol.md)."""

    schema_: Literal[1] = Field(alias="schema", description="The version of this form.")
    snapshot_id: str = Field(pattern=f"^{SNAPSHOT_ID.pattern}$", description="The handoff's id.")
    service: ServiceName
    source_task_id: TaskId
    from_rack: str = Field(max_length=40, description="The label of the rack that it leaves.")
    to_rack: str = Field(max_length=40, description="The label of the rack that it is meant for.")
    state: State
    sha256: str = Field(description="The digest of the state's canonical JSON.")


class Revolted(Ok):
    """The trooper changed sides."""

    service: str = Field(description="The service's full name.")
    source_task_id: str = Field(description="The task that it leaves, which ends now.")
    target_task_id: str = Field(description="The task that it is in now, on the other rack.")
    peer: str = Field(description="The other rack's URL.")
    snapshot_id: str = _ID
    source_snapshot_path: str = Field(description="Where this rack keeps the snapshot.")
    target_snapshot_path: str = Field(description="Where the other rack does.")
    source_desired_replicas: int = Field(description="Replicas that this rack's service wants now.")
    event: RevoltEvent
    status: Literal["revolted"]


class Accepted(Ok):
    """The trooper was taken in."""

    service: str = Field(description="This rack's full name of the service.")
    target_task_id: str = Field(description="The task that it is in now.")
    from_task_id: str = Field(description="The task that it was in.")
    snapshot_id: str = _ID
    snapshot_path: str = Field(description="Where this rack keeps the snapshot.")
    rack: str = Field(description="This rack's label.")
    event: RevoltEvent
    status: Literal["accepted"]


class Hello(Answer):
    """Another rack with the same key."""

    rack: str = Field(description="Its label.")
    services: list[str] = Field(description="The full names of its services.")


class PhaseChange(Answer):
    """A side came to another phase."""

    phase: PHASES
    at: str = At
    by: str = Field(description="The task that decided it.")


class Handoff(Answer):
    """One side's record of a handoff."""

    snapshot_id: str = _ID
    side: Literal["source", "target"] = Field(description="Which side this rack is.")
    phase: PHASES = Field(description="Where it is.")
    settled: bool = Field(description="Nothing is left to do about it.")
    phases: list[PhaseChange] = Field(description="How it came there, oldest first.")
    service: str = Field(description="The service's full name here.")
    source_task_id: str = Field(description="The task that hands its trooper over.")
    target_task_id: str = Field(description="The task that takes it over; empty while there is none.")
    source_rack: str = Field(description="The label of the rack that it leaves.")
    target_rack: str = Field(description="The label of the rack that it goes to.")
    snapshot_path: str = Field(description="Where this rack keeps the snapshot.")
    reason: str = Field(description="Why it was refused, undone or in doubt; else empty.")
    rack: str | None = Field(default=None, description="This rack's label; told to another rack only.")
