"""The running rock/paper/scissors round, and how often one is thrown."""

from __future__ import annotations

from flask import Blueprint, Response

from app import schemas, wire
from app.intake import asked
from app.reading import Reading, Ready
from app.services import Services


def blueprint(services: Services, reading: Reading) -> Blueprint:
    """``/api/rps`` and ``/api/rps/config``."""
    routes = Blueprint("rps", __name__)
    ready = Ready(wire.rps)

    @routes.get("/api/rps")
    def rps() -> Response:
        return ready.answer(reading.board())

    @routes.post("/api/rps/config")
    def config() -> wire.Json:
        interval = services.actions.set_interval(asked(schemas.SetInterval).interval_seconds)
        return {"ok": True, "interval_seconds": interval}

    return routes
