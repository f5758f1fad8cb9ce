"""Arming and disarming troopers."""

from __future__ import annotations

from flask import Blueprint, Response

from app import schemas, wire
from app.intake import asked
from app.reading import Reading, Ready
from app.services import Services
from clawbucket.core.model import ArmState


def blueprint(services: Services, reading: Reading) -> Blueprint:
    """``/api/arm`` and ``/api/arm/events``."""
    routes = Blueprint("arm", __name__)
    ready = Ready(wire.arm_events)

    @routes.get("/api/arm/events")
    def events() -> Response:
        return ready.answer(reading.board())

    @routes.post("/api/arm")
    def arm() -> tuple[wire.Json, int]:
        wanted = asked(schemas.SetArm)
        bot = (wanted.bot or "").strip() or None
        event = services.actions.arm(wanted.task_id, bot, ArmState(wanted.state))
        return {"ok": True, "event": wire.arm_event(event)}, 201

    return routes
