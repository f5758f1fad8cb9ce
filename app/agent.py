"""Talking to one trooper: what it answers out of its own context, and what was said before."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, request

from app import schemas, wire
from app.errors import Refusal
from app.intake import asked
from app.services import Services

ASKER = "somebody at the dashboard"


def blueprint(services: Services) -> Blueprint:
    """``/api/agent/ask`` and ``/api/agent/history``. Any replica passes an ask on to whom it is for."""
    routes = Blueprint("agent", __name__)
    asking = services.actions.asking

    @routes.post("/api/agent/ask")
    def ask() -> wire.Json:
        wanted = asked(schemas.Ask)
        return wire.agent_answer(wanted.task_id, asking.ask(wanted.task_id, wanted.text, ASKER))

    @routes.get("/api/agent/history")
    def history() -> Response:
        task_id = asked_task()
        response = jsonify(wire.agent_history(task_id, asking.history(task_id)))
        response.headers["Cache-Control"] = "no-store"
        return response

    return routes


def asked_task() -> str:
    """The task that the request's address names. Refusal when that cannot be one."""
    task_id = request.args.get("task_id", "")
    if not schemas.TASK_ID.fullmatch(task_id):
        raise Refusal(400, "bad_payload", "task_id cannot be taken. It is a task's id; see /api/swarms.")
    return task_id
