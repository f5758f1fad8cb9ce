"""Puts the replica's HTTP side together: one blueprint per concern, one guard before, one envelope around."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from flask import Flask, request
from htmx_flask import Htmx

from app import (
    agent,
    arm,
    chat,
    dashboard,
    drawer,
    errors,
    events,
    glossary,
    haiku,
    health_routes,
    history,
    load,
    orders,
    revolt,
    rps,
    scoreboard,
    session,
    stream,
    swarm,
    wire,
)
from app.assets import assets
from app.envelope import sealed
from app.errors import Refusal
from app.fanout import Fanout
from app.metrics import Gauge
from app.reading import Plain, Reading, Ready
from app.schemas import LARGEST_BODY
from app.security import SAFE_METHODS, Guard
from app.services import Services
from clawbucket.board import BoardReader
from clawbucket.ports import ClawError

WITHOUT_TOKEN = frozenset({"session.login", "session.logout"})
"""The mutations that nobody need be logged in for."""


def create_app(services: Services, fanout: Fanout | None = None) -> Flask:
    """The WSGI application. ``fanout`` is the process's stream where the caller wants to close it."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY + 1  # one more tells too long from just long enough
    Htmx(app)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    fanout = fanout or stream.fanout_of(services)
    viewers = fanout
    services.metrics.show(
        Gauge("clawbucket_app_stream_viewers", "Viewers of the stream", lambda: viewers.viewers)
    )
    guard = Guard(services.settings, partial(_nodes, services.board))
    reading = Reading(services.board, services.clock)
    every = Ready(wire.swarms)

    def swarms_at_once(environ: dict[str, Any]) -> Plain | None:
        """What most requests ask for: the ready bytes, where nothing is out of the ordinary."""
        if services.health.draining:
            return None
        try:
            return every.plain(reading.board(environ), environ)
        except ClawError:
            return None

    @app.before_request
    def guarded() -> None:
        if services.health.draining and request.blueprint != "health":
            raise Refusal(503, "draining", "This replica is about to end; ask again, and another answers.")
        if request.method not in SAFE_METHODS and request.routing_exception is None:
            if request.endpoint in revolt.SIGNED:
                guard.check_body(request)
            else:
                guard.check(request, token=request.endpoint not in WITHOUT_TOKEN)

    for routes in (
        dashboard.blueprint(services),
        drawer.blueprint(services),
        glossary.blueprint(services),
        stream.blueprint(fanout),
        swarm.blueprint(services, reading, every),
        orders.blueprint(services),
        chat.blueprint(services, reading),
        agent.blueprint(services),
        arm.blueprint(services, reading),
        events.blueprint(reading),
        rps.blueprint(services, reading),
        haiku.blueprint(reading),
        history.blueprint(services),
        load.blueprint(services, reading),
        revolt.blueprint(services, reading),
        health_routes.blueprint(services),
        scoreboard.blueprint(services),
        session.blueprint(guard),
    ):
        app.register_blueprint(routes)
    errors.install(app)
    shortcuts = {path: asset.plain for path, asset in assets().items()} | {"/api/swarms": swarms_at_once}
    app.wsgi_app = sealed(app, services.metrics, services.clock, shortcuts)  # type: ignore[method-assign, assignment]
    return app


def _nodes(board: BoardReader) -> Iterable[str]:
    """The host names of the nodes of the last snapshot."""
    snapshot = board.snapshot
    return () if snapshot is None else tuple(node.hostname for node in snapshot.nodes)
