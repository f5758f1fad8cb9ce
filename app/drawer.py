"""All about one trooper: the fragment that fills the drawer of its tile."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, render_template

from app import shown, wire
from app.agent import asked_task
from app.fanout import pruned
from app.services import Services
from clawbucket.core.board import Board, Squad, Trooper
from clawbucket.core.callsign import name_of
from clawbucket.core.model import Snapshot, Task, TaskState
from clawbucket.core.revolt import RevoltEvent
from clawbucket.core.why import Seen, why, why_ended
from clawbucket.ports import TaskUnknown


def blueprint(services: Services) -> Blueprint:
    """``GET /ui/trooper``."""
    routes = Blueprint("drawer", __name__)

    @routes.get("/ui/trooper")
    def trooper() -> Response:
        task_id = asked_task()
        board, snapshot = services.board.board(), services.board.snapshot
        found = _find(board, task_id)
        if found is not None:
            html = render_template(
                "_trooper.html", label=services.settings.label, **_context(board, snapshot, *found)
            )
        elif snapshot is not None and task_id in snapshot.ended:
            said = why_ended(snapshot.ended[task_id])
            html = render_template("_trooper_ended.html", name=name_of(task_id), why=said)
        else:
            raise TaskUnknown(f"no task {task_id} runs here")
        response = Response(html, mimetype="text/html")
        response.headers["Cache-Control"] = "no-store"
        return response

    return routes


def _find(board: Board, task_id: str) -> tuple[Squad, Trooper] | None:
    """The trooper of that task, and its service."""
    return next(((s, t) for s in board.squads for t in s.replicas if t.id == task_id), None)


def _context(board: Board, snapshot: Snapshot | None, squad: Squad, trooper: Trooper) -> dict[str, Any]:
    """What the fragment is drawn from. ``record`` is as the page has it, to be kept up to date."""
    rank = shown.ranks(t.score for t in squad.replicas)[trooper.score]
    record = pruned({**wire.replica(trooper), **shown.of_trooper(trooper, squad), "rank": rank})
    task = (snapshot and snapshot.task(trooper.id)) or _as_shown(trooper, squad)
    raw = {"trooper": record, "task": asdict(task), "agent": asdict(trooper.agent)}
    return {
        "task": record,
        "engine": task,
        "agent": trooper.agent,
        "peers": {peer.name: pruned(wire.peer(peer)) for peer in board.peers},
        "why": why(_seen(board, squad, trooper, task)),
        "raw": json.dumps(raw, indent=2, ensure_ascii=False),
    }


def _as_shown(trooper: Trooper, squad: Squad) -> Task:
    """The task as the board has it, where a newer snapshot has it no more."""
    return Task(
        trooper.id, squad.service, trooper.slot, trooper.node_id, TaskState(trooper.state),
        TaskState(trooper.desired_state), trooper.task_name,
    )  # fmt: skip


def _seen(board: Board, squad: Squad, trooper: Trooper, task: Task) -> Seen:
    handoff = _last_handoff(board, trooper.id)
    return Seen(
        task=task,
        alias=squad.alias,
        node=trooper.node,
        freshness=trooper.freshness,
        manages=trooper.is_manager,
        confirmed=trooper.manager_confirmed,
        epoch=squad.manager_epoch,
        chosen=squad.override_slot == trooper.slot,
        frozen=trooper.frozen,
        defected=trooper.defected,
        to_rack=handoff.target_rack if handoff else "",
        phase=handoff.phase if handoff else None,
        agent=trooper.agent,
        stale_seconds=board.stale_seconds,
        silent_seconds=board.snapshot_age_seconds,
        engine_error=board.engine_error,
    )


def _last_handoff(board: Board, task_id: str) -> RevoltEvent | None:
    """What was told last of a handoff that takes this trooper elsewhere."""
    return next((e for e in reversed(board.revolts) if e.source_task_id == task_id), None)
