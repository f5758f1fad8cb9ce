"""What this replica saw since it watches: the rack's course, and each trooper's scores and changes."""

from __future__ import annotations

from typing import Any

import orjson
from flask import Blueprint, Response

from app.errors import Refusal
from app.reading import etag_of, told
from app.services import Services
from clawbucket.core.callsign import name_of
from clawbucket.core.history import FORGET_AFTER, SAMPLE_EVERY, Gap, History, TaskHistory

Json = dict[str, Any]
COLUMNS = ("seconds", "running", "desired", "score", "armed", "not_alive")
"""What of a sample is told, a list each."""


def blueprint(services: Services) -> Blueprint:
    """``/api/history`` and ``/api/history/<task_id>``."""
    routes = Blueprint("history", __name__)
    watched = services.watched
    teller = name_of(services.settings.task_id)
    kept: tuple[int, bytes, str] = (-1, b"", "")

    @routes.get("/api/history")
    def everything() -> Response:
        nonlocal kept
        version = watched.version  # before the look: what is newer by then is told the next time, too
        known, body, etag = kept
        if known != version:
            body = orjson.dumps(watched.read(lambda history: rack_history(history, teller)))
            etag = etag_of(body)
            kept = (version, body, etag)
        return told(body, etag)

    @routes.get("/api/history/<task_id>")
    def one(task_id: str) -> Response:
        said = watched.read(lambda history: task_history(history, teller, task_id))
        body = orjson.dumps(said)
        return told(body, etag_of(body))

    return routes


def rack_history(history: History, teller: str) -> Json:
    """All that is drawn of it: the rack's samples as columns, and every trooper's scores, oldest first."""
    return {
        "since": history.since,
        "replica": teller,
        "rack": {
            "every_seconds": SAMPLE_EVERY,
            **{name: [getattr(sample, name) for sample in history.samples] for name in COLUMNS},
            "gaps": [_gap(gap) for gap in history.gaps()],
            "managers": [{"seconds": r.seconds, "task_id": r.task_id} for r in history.reigns()],
        },
        "tasks": {task_id: task.scores.tolist() for task_id, task in history.tasks.items()},
    }


def task_history(history: History, teller: str, task_id: str) -> Json:
    """What was seen of one task. Refusal (404) of one that is not remembered."""
    task = history.tasks.get(task_id)
    if task is None:
        raise Refusal(
            404,
            "task_unknown",
            f"No task {task_id[:64]} is remembered here. {teller} tells what it saw since {history.since}, "
            f"and forgets a task that has been gone for {FORGET_AFTER / 60:.0f} minutes.",
        )
    return {
        "since": history.since,
        "replica": teller,
        "task_id": task_id,
        "name": name_of(task_id),
        "first_seen": task.first_seen,
        "gone_at": task.gone_at,
        "scores": _scores(task),
        "changes": [{"at": c.at, "kind": c.kind, "was": c.was, "now": c.now} for c in task.changes],
    }


def _scores(task: TaskHistory) -> list[Json]:
    return [{"round": number, "score": score} for number, score in zip(task.rounds, task.scores, strict=True)]


def _gap(gap: Gap) -> Json:
    return {"from_seconds": gap.begin, "to_seconds": gap.end, "reason": gap.reason}
