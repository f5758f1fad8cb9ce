"""The chat that every replica of the rack shares."""

from __future__ import annotations

from flask import Blueprint, Response

from app import schemas, wire
from app.intake import asked
from app.reading import Reading, Ready
from app.services import Services
from clawbucket.core.callsign import name_of


def blueprint(services: Services, reading: Reading) -> Blueprint:
    """``/api/chat``. A message is from the replica that took it, under its callsign."""
    routes = Blueprint("chat", __name__)
    ready = Ready(wire.chat)
    me = name_of(services.settings.task_id)

    @routes.get("/api/chat")
    def messages() -> Response:
        return ready.answer(reading.board())

    @routes.post("/api/chat")
    def say() -> tuple[wire.Json, int]:
        said, passed_on = services.actions.say(asked(schemas.Say).text, me)
        return {"ok": True, "message": wire.message(said), **wire.addressed(passed_on)}, 201

    return routes
