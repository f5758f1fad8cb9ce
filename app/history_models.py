"""What ``/api/history`` answers, for the OpenAPI document; made of clawbucket/core/history.py."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.answers import Answer, At


class Gap(Answer):
    """Where nothing was seen."""

    from_seconds: float
    to_seconds: float = Field(description="Of the next sample, or of the last one while it lasts.")
    reason: Literal["bus", "unwatched"] = Field(
        description="The bus was silent, or the replica did not look."
    )


class Reign(Answer):
    """Who led the primary service from then on."""

    seconds: float
    task_id: str | None = Field(description="Null: nobody did, or nobody knows.")


Known = Field(max_length=600, description="Null where it was not known.")


class Course(Answer):
    """The rack's samples, a list a column, oldest first; ``seconds`` count from ``since``."""

    every_seconds: float = Field(description="Between two samples.")
    seconds: list[float] = Field(max_length=600)
    running: list[int | None] = Known
    desired: list[int | None] = Known
    score: list[int | None] = Known
    armed: list[int | None] = Known
    not_alive: list[int | None] = Known
    gaps: list[Gap] = Field(max_length=600)
    managers: list[Reign] = Field(max_length=600)


class Witnessed(Answer):
    """One replica's own view: it begins when that one began to watch."""

    since: str = At
    replica: str = Field(description="The callsign of the replica that saw this.", examples=["Brave Otter"])


class RackHistory(Witnessed):
    """How the rack went."""

    rack: Course
    tasks: dict[str, list[int]] = Field(description="Each task's last 60 scores, one a round, oldest first.")


class Point(Answer):
    """A score and the round that made it."""

    round: int
    score: int


class Change(Answer):
    """Something about a task became another."""

    at: str = At
    kind: Literal["state", "freshness", "manager", "board"]
    was: str
    now: str = Field(description="The engine's or freshness's word; yes or no; shown or gone.")


class TaskHistory(Witnessed):
    """What was seen of one task, oldest first."""

    task_id: str = Field(description="The trooper's task.")
    name: str = Field(description="Its callsign.")
    first_seen: str = At
    gone_at: str | None = Field(description="ISO-8601 UTC; null while it is there.")
    scores: list[Point] = Field(max_length=60)
    changes: list[Change] = Field(max_length=20)
