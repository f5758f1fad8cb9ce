"""``/api/stream``: the whole picture once, then what changes in it, to whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Response, jsonify, request

from app import wire
from app.fanout import Fanout, Full, State, pruned
from app.services import Services
from clawbucket.core.board import Board
from clawbucket.core.records import ChatMessage
from clawbucket.core.revolt import RevoltEvent
from clawbucket.ports import BusDown

RETRY_AFTER = 5
"""Seconds after which somebody who found no room may come again."""


def state_of(board: Board) -> State:
    """The board as one nested object without ``None``s: what the page shows and the stream tells.

    ``services`` by full name, ``tasks`` by id, ``peers`` by name, ``rps``, ``haiku``, and in ``chat`` and
    ``revolts`` a mark that changes when the chat or the handoffs do (their lines are fragments of their
    own). Whole seconds, so that time alone does not make a new state more often than that.
    """
    services, tasks = {}, {}
    for squad in board.squads:
        swarm = wire.swarm(squad)
        for replica in swarm.pop("replicas"):
            tasks[replica["id"]] = {**replica, "service": squad.service}
        services[squad.service] = swarm
    throw = wire.rps(board)["state"] or {}
    return pruned(
        {
            "rack": board.rack,
            "primary": board.primary,
            "stale_seconds": None if board.stale_seconds is None else int(board.stale_seconds),
            "snapshot_age_seconds": board.snapshot_age_seconds,
            "engine_error": board.engine_error,
            "agent_problem": board.trouble.problem if board.trouble else None,
            "agent_mend": board.trouble.mend if board.trouble else None,
            "services": services,
            "tasks": tasks,
            "rps": {**throw, "interval_seconds": board.interval_seconds},
            "haiku": wire.haiku(board)["haiku"],
            "chat": _mark(board.chat),
            "revolts": _mark(board.revolts),
            "peers": {peer.name: wire.peer(peer) for peer in board.peers},
            "load": wire.load_sample(board.load[-1]) if board.load else None,
        }
    )


def state_unknown(reason: str) -> State:
    """The state while nothing was ever read that could be shown."""
    return {
        "unknown": reason, "services": {}, "tasks": {}, "rps": {}, "haiku": {}, "chat": _mark(()),
        "revolts": _mark(()), "peers": {},
    }  # fmt: skip


def _mark(events: Sequence[ChatMessage] | Sequence[RevoltEvent]) -> str:
    """What changes when a list does."""
    return f"{len(events)}:{events[-1].id if events else ''}"


def producer(services: Services) -> Callable[[], State]:
    """What the fanout asks four times a second: the state now, built anew only when the board is new."""
    last: tuple[Board | None, State] = (None, {})

    def produce() -> State:
        nonlocal last
        try:
            board = services.board.board()
        except BusDown as error:
            return state_unknown(str(error))
        if board is not last[0]:
            last = (board, state_of(board))
        return last[1]

    return produce


def fanout_of(services: Services) -> Fanout:
    """This process's stream."""
    return Fanout(producer(services), services.clock, cap=services.settings.sse_clients)


def blueprint(fanout: Fanout) -> Blueprint:
    """``GET /api/stream``."""
    routes = Blueprint("stream", __name__)

    @routes.get("/api/stream")
    def stream() -> Response:
        if request.method == "HEAD":
            return _event_stream(())
        try:
            viewer = fanout.open(request.headers.get("Last-Event-ID"))
        except Full as error:
            response = jsonify(error=str(error), code="stream_full")
            response.status_code = 503
            response.headers["Retry-After"] = str(RETRY_AFTER)
            return response
        return _event_stream(viewer)

    return routes


def _event_stream(body: Any) -> Response:
    response = Response(body, mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"  # nginx, if one stands before us, must not hold events back
    return response
