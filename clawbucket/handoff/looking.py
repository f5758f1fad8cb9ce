"""What another rack's ``/api/swarms`` says, believed as far as it is of that shape, and cut to size."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from clawbucket.core.callsign import name_of
from clawbucket.core.model import short_alias
from clawbucket.core.neighbours import MOST_TROOPERS, PeerSummary, PeerTrooper
from clawbucket.core.phrases import LONGEST_WORDS
from clawbucket.handoff.offers import LARGEST_SCORE, LONGEST_LABEL

LONGEST_ALIAS = 40
"""Characters of a service's name that are shown."""
_TaskId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{0,64}$")]
_Count = Annotated[int, Field(ge=0, le=10_000)]


class _Said(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Replica(_Said):
    """What a rack of an older version does not say has a default."""

    score: int = Field(ge=-LARGEST_SCORE, le=LARGEST_SCORE)
    id: _TaskId = ""
    slot: int = Field(default=0, ge=0, le=1_000_000)
    state: Annotated[str, StringConstraints(pattern=r"^[a-z]{0,16}$")] = ""
    freshness: Literal["", "alive", "suspect", "missing"] = ""
    arm: Literal["on", "off"] = "off"
    three_words: str = ""
    is_manager: bool = False
    frozen: bool = False


class _Squad(_Said):
    service: str
    desired_replicas: _Count
    running_count: _Count
    replicas: tuple[_Replica, ...]
    manager_task_id: str | None = None
    manager_confirmed: bool = False


class _Swarms(_Said):
    swarms: tuple[_Squad, ...] = Field(max_length=64)
    rack: str
    primary: str


def summed_up(body: bytes, name: str, url: str, at: str) -> PeerSummary | None:
    """The rack that says so, as it is told on; None where no rack says such a thing."""
    try:
        swarms = _Swarms.model_validate_json(body, strict=True)
    except ValidationError:
        return None
    squads = swarms.swarms
    score = sum(replica.score for squad in squads for replica in squad.replicas)
    managers = [
        name_of(squad.manager_task_id)
        for squad in squads
        if squad.service == swarms.primary and squad.manager_confirmed and squad.manager_task_id
    ]
    everybody = [_trooper(squad.service, replica) for squad in squads for replica in squad.replicas]
    shown = [trooper for trooper in everybody if trooper.id][:MOST_TROOPERS]
    return PeerSummary(
        name=name,
        url=url,
        reachable=True,
        label=swarms.rack[:LONGEST_LABEL],
        running=sum(squad.running_count for squad in squads),
        desired=sum(squad.desired_replicas for squad in squads),
        manager=managers[0] if managers else "",
        score=max(-LARGEST_SCORE, min(score, LARGEST_SCORE)),
        at=at,
        troopers=tuple(shown),
        more=len(everybody) - len(shown),
    )


def _trooper(service: str, replica: _Replica) -> PeerTrooper:
    return PeerTrooper(
        id=replica.id,
        service=_line(short_alias(service), LONGEST_ALIAS),
        slot=replica.slot,
        state=replica.state,
        freshness=replica.freshness,
        arm=replica.arm,
        score=replica.score,
        words=_line(replica.three_words, LONGEST_WORDS),
        is_manager=replica.is_manager,
        frozen=replica.frozen,
    )


def _line(text: str, longest: int) -> str:
    """The text on one line, without what cannot be printed, so that its bytes are bounded, too."""
    return "".join(c if c.isprintable() else " " for c in text[: 4 * longest]).strip()[:longest]
