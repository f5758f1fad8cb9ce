"""``/api/stream``: the whole picture once, then what changes in it, to whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, jsonify, request

from app import glance, reigns, shown, wire
from app.fanout import Fanout, Full, State, pruned
from app.outlet import UNREAD, outlet_of
from app.scoreboard import of_state
from app.scoreboard_watch import Scoreboard
from app.services import Services
from clawbucket.core.board import Board
from clawbucket.journal import Event
from clawbucket.ports import BusDown

RETRY_AFTER = 5
"""Seconds after which somebody who found no room may come again."""


NO_FEED = "0: 0: 0: 0:"
"""The feed's mark while nothing has happened."""


class Tiles:
    """The tasks' part of the state. A task of which nothing changed keeps its very object.

    That saves making it, and comparing it (``fanout.diff`` looks no further into what is one and the same).
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[tuple[Any, ...], State]] = {}

    def __len__(self) -> int:
        return len(self._last)

    def of(self, board: Board) -> dict[str, State]:
        """By task id, without ``None``s."""
        made = {}
        for squad in board.squads:
            for trooper in squad.replicas:
                # All that it is made of.
                parts = (trooper, squad.service, squad.alias, squad.manager_epoch)
                last = self._last.get(trooper.id)
                if last is None or last[0] != parts:
                    tile = {**wire.replica(trooper), **shown.of_trooper(trooper, squad)}
                    last = (parts, pruned(tile))
                made[trooper.id] = last
        self._last = made
        return {task_id: tile for task_id, (_, tile) in made.items()}


def state_of(
    board: Board,
    arms: Scoreboard = Scoreboard(),  # noqa: B008 - it is frozen
    tiles: Tiles | None = None,
) -> State:
    """The board as one nested object without ``None``s: what the page shows and the stream tells.

    ``services`` by full name, ``tasks`` by id, ``peers`` by name, ``rps``, ``haiku``, and in ``chat``,
    ``revolts``, ``feed`` and ``timeline`` a mark that changes when the chat, the handoffs, what happened or
    who leads does (their lines are fragments of their own). ``swarm`` is all of it in one line. Whole
    seconds, so that time alone does not make a new state more often than that. ``tiles``: whoever asks again
    keeps them, for what does not change between two boards.
    """
    services = {}
    for squad in board.squads:
        service = wire.swarm(replace(squad, replicas=()))
        del service["replicas"]
        services[squad.service] = {**service, **shown.of_squad(squad)}
    throw = wire.rps(board)["state"] or {}
    rest = pruned(
        {
            "rack": board.rack,
            "primary": board.primary,
            "stale_seconds": None if board.stale_seconds is None else int(board.stale_seconds),
            "snapshot_age_seconds": board.snapshot_age_seconds,
            "engine_error": board.engine_error,
            "agent_problem": board.trouble.problem if board.trouble else None,
            "agent_mend": board.trouble.mend if board.trouble else None,
            "swarm": {
                **shown.in_all(board.squads, board.primary),
                "summary": glance.summary(board.squads, board.primary),
            },
            "health": glance.health(board),
            **of_state(arms),
            "services": services,
            "rps": {**throw, "interval_seconds": board.interval_seconds},
            "haiku": wire.haiku(board)["haiku"],
            "chat": _mark(board.chat),
            "revolts": _mark(board.revolts),
            "feed": _marks(board),
            "timeline": reigns.mark(board),
            "peers": {peer.name: wire.peer(peer) for peer in board.peers},
            "load": wire.load_sample(board.load[-1]) if board.load else None,
        }
    )
    return {"tasks": (Tiles() if tiles is None else tiles).of(board), **rest}


def state_unknown(reason: str) -> State:
    """The state while nothing was ever read that could be shown."""
    return {
        "unknown": reason, "swarm": {}, "services": {}, "tasks": {}, "rps": {}, "haiku": {},
        "chat": _mark(()), "revolts": _mark(()), "feed": NO_FEED, "timeline": reigns.NO_MARK, "peers": {},
        "health": glance.UNKNOWN, **of_state(Scoreboard()),
    }  # fmt: skip


def _mark(events: Sequence[Event]) -> str:
    """What changes when a list does."""
    return f"{len(events)}:{events[-1].id if events else ''}"


def _marks(board: Board) -> str:
    """What changes when any of the lists does that the feed is made of."""
    lists: tuple[Sequence[Event], ...] = (board.events, board.arm_events, board.revolts, board.chat)
    return " ".join(map(_mark, lists))


def producer(services: Services) -> Callable[[], State]:
    """What the fanout asks four times a second: the state now, built anew only when the board is new."""
    last: tuple[Board | None, Scoreboard, State] = (None, Scoreboard(), {})
    tiles = Tiles()

    def produce() -> State:
        nonlocal last
        try:
            board = services.board.board()
        except BusDown as error:
            return state_unknown(str(error))
        arms = services.scoreboard.seen()
        if board is not last[0]:
            last = (board, arms, state_of(board, arms, tiles))
        elif arms != last[1]:
            last = (board, arms, {**last[2], **of_state(arms)})
        return last[2]

    return produce


def fanout_of(services: Services) -> Fanout:
    """This process's stream."""
    return Fanout(producer(services), services.clock, cap=services.settings.sse_clients)


def blueprint(fanout: Fanout, *, unread: float = UNREAD) -> Blueprint:
    """``GET /api/stream``. ``unread``: seconds after which a viewer that does not read is let go."""
    routes = Blueprint("stream", __name__)

    @routes.get("/api/stream")
    def stream() -> Response:
        if request.method == "HEAD":
            return _event_stream(())
        outlet = outlet_of(request.environ, unread=unread)
        try:
            viewer = fanout.open(request.headers.get("Last-Event-ID"), outlet)
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
