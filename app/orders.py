"""What people can do to the swarm: scale a service, take its manager out, end one replica."""

from __future__ import annotations

from flask import Blueprint

from app import schemas, wire
from app.errors import Refusal
from app.intake import asked
from app.services import Services
from clawbucket.actions import OVERRIDE_TTL
from clawbucket.ports import ServiceUnknown


def blueprint(services: Services) -> Blueprint:
    """``/api/scale``, ``/api/outage`` and ``/api/self_destruct``: 202, since the rack carries them out."""
    routes = Blueprint("orders", __name__)
    settings, actions = services.settings, services.actions

    @routes.post("/api/scale")
    def scale() -> tuple[wire.Json, int]:
        wanted = asked(schemas.Scale)
        service = settings.service_named(wanted.service or None)
        if service is None:
            raise _unknown(400, wanted.service, settings.swarm_services)
        try:
            actions.scale(service, wanted.replicas)
        except ServiceUnknown as error:
            raise Refusal(400, "service_unknown", f"{error}") from None
        return _ok(service=service, desired_replicas=wanted.replicas, status="scaling")

    @routes.post("/api/outage")
    def outage() -> tuple[wire.Json, int]:
        service, task_id = _task(services)
        slot = actions.outage(service, task_id)
        return _ok(
            service=service,
            removed_task_id=task_id,
            next_manager_slot=slot,
            override_ttl_seconds=OVERRIDE_TTL,
            status="outage-triggered",
        )

    @routes.post("/api/self_destruct")
    def self_destruct() -> tuple[wire.Json, int]:
        service, task_id = _task(services)
        actions.self_destruct(service, task_id)
        return _ok(service=service, removed_task_id=task_id, status="self-destruct-triggered")

    return routes


def _task(services: Services) -> tuple[str, str]:
    wanted = asked(schemas.OneTask)
    return service_of(services, wanted.service), wanted.task_id


def service_of(services: Services, given: str) -> str:
    """The full name of the service that is meant. Refusal 404."""
    service = services.settings.service_named(given)
    if service is None:
        raise _unknown(404, given, services.settings.swarm_services)
    return service


def _unknown(status: int, given: str | None, known: tuple[str, ...]) -> Refusal:
    return Refusal(
        status, "service_unknown", f"No service {given!r} is shown here; there are: {', '.join(known)}."
    )


def _ok(**facts: object) -> tuple[wire.Json, int]:
    return {"ok": True, **facts}, 202
