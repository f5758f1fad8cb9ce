"""The haiku of the primary service's manager."""

from __future__ import annotations

from flask import Blueprint, Response

from app import wire
from app.reading import Reading, Ready


def blueprint(reading: Reading) -> Blueprint:
    """``/api/haiku``. Never empty: the board has a haiku of its own where no manager wrote one."""
    routes = Blueprint("haiku", __name__)
    ready = Ready(wire.haiku)

    @routes.get("/api/haiku")
    def haiku() -> Response:
        return ready.answer(reading.board())

    return routes
