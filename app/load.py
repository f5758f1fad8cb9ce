"""``/api/load``: how a running load test is doing, as its generator tells it, for the dashboard to show."""

from __future__ import annotations

from flask import Blueprint, Response

from app import schemas, wire
from app.intake import asked
from app.reading import Reading, Ready
from app.services import Services
from clawbucket import load_samples
from clawbucket.core.records import LoadSample


def blueprint(services: Services, reading: Reading) -> Blueprint:
    """``GET`` and ``POST /api/load``."""
    routes = Blueprint("load", __name__)
    ready = Ready(wire.load_samples)

    @routes.get("/api/load")
    def samples() -> Response:
        return ready.answer(reading.board())

    @routes.post("/api/load")
    def take() -> tuple[wire.Json, int]:
        told = asked(schemas.LoadReport)
        sample = LoadSample(
            told.run, told.users, round(told.rate, 1), round(told.p95_ms, 1), told.failures,
            services.clock.iso(),
        )  # fmt: skip
        load_samples.append(services.bus, services.gate, sample)
        return {"ok": True, "sample": wire.load_sample(sample)}, 201

    return routes
