"""Who runs here: the services and their replicas."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response

from app import wire
from app.reading import Reading, Ready, etag_of, told
from app.services import Services
from clawbucket.core.board import Board
from clawbucket.core.callsign import color_of, name_of
from clawbucket.ports import BusDown, EngineDown, ServiceUnknown


def blueprint(services: Services, reading: Reading, every: Ready) -> Blueprint:
    """``/api/whoami``, ``/api/swarm`` and ``/api/swarms``, of which ``every`` keeps the answer ready."""
    routes = Blueprint("swarm", __name__)
    settings = services.settings
    me = orjson.dumps(whoami(services))
    my_etag = etag_of(me)
    primary = Ready(_primary)

    @routes.get("/api/whoami")
    def who() -> Response:
        return told(me, my_etag)

    @routes.get("/api/swarm")
    def swarm() -> Response:
        board = reading.board()
        if board.engine_error is not None:
            raise EngineDown(f"the engine cannot be asked: {board.engine_error}")
        snapshot = services.board.snapshot
        if snapshot is None or snapshot.service(settings.primary) is None:
            raise ServiceUnknown(f"no service {settings.primary} runs on this rack")
        return primary.answer(board)

    @routes.get("/api/swarms")
    def swarms() -> Response:
        try:
            return every.answer(reading.board())
        except BusDown as error:
            body = orjson.dumps(wire.swarms_unread(settings.swarm_services, str(error)))
            return told(body, etag_of(body))

    return routes


def whoami(services: Services) -> wire.Json:
    """Which replica this is; it never changes while it runs."""
    settings = services.settings
    return {
        "hostname": settings.hostname,
        "started_at_utc": services.started_at,
        "service": settings.service_name,
        "swarm_node": settings.swarm_node,
        "task_name": settings.task_name,
        "task_slot": settings.task_slot,
        "task_id": settings.task_id,
        "color": color_of(settings.task_id),
        "name": name_of(settings.task_id),
        "label": settings.label,
    }


def _primary(board: Board) -> wire.Json:
    squad = board.squad(board.primary)
    if squad is None:
        raise ServiceUnknown(f"no service {board.primary} runs on this rack")
    if squad.error is not None:
        raise EngineDown(squad.error)
    return wire.primary_swarm(board, squad)
