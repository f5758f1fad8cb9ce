"""What machines ask a replica: whether it lives, whether it is ready, its counts, and its API's document."""

from __future__ import annotations

import orjson
from flask import Blueprint, Response

from app.errors import RETRY_AFTER
from app.metrics import CONTENT_TYPE
from app.reading import etag_of, told
from app.services import Services


def blueprint(services: Services) -> Blueprint:
    """``/livez``, ``/readyz``, ``/metrics`` and ``/openapi.json``."""
    routes = Blueprint("health", __name__)
    document: bytes | None = None

    @routes.get("/livez")
    def livez() -> Response:
        return Response(b'{"ok":true,"checks":{}}', mimetype="application/json")

    @routes.get("/readyz")
    def readyz() -> Response:
        verdict = services.health.check()
        body = orjson.dumps({"ok": verdict.ok, "checks": verdict.checks})
        response = Response(body, 200 if verdict.ok else 503, mimetype="application/json")
        if not verdict.ok:
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return response

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(services.metrics.page(), content_type=CONTENT_TYPE)

    @routes.get("/openapi.json")
    def openapi() -> Response:
        nonlocal document
        if document is None:
            # Only now: describing the answers takes longer than all the rest of a start.
            from app.openapi import describe  # noqa: PLC0415

            document = orjson.dumps(describe(services.settings))
        return told(document, etag_of(document))

    return routes
