"""The aggregator's HTTP face: it answers questions and takes no orders."""

from __future__ import annotations

from dataclasses import asdict

from flask import Blueprint, Flask, Response, jsonify, render_template, request
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from werkzeug.exceptions import HTTPException

from aggregator.reading import Reader
from clawbucket.core.scoreboard import SCORING, STATE_RULE
from clawbucket.health import Health
from clawbucket.ports import BusDown
from clawbucket.settings import Settings

RETRY_AFTER = 2
"""Seconds after which somebody may ask again when the bus has never answered yet."""
SOURCE = "memcached"
"""Where the events come from, as the contract's answer names it."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def create_app(settings: Settings, reader: Reader, health: Health) -> Flask:
    """The WSGI application."""
    app = Flask(__name__)
    metrics = _Metrics()
    app.register_blueprint(_scoreboard(settings, reader))
    app.register_blueprint(_operations(reader, health, metrics))
    app.register_error_handler(BusDown, _bus_down)
    app.register_error_handler(HTTPException, _refusal)

    @app.after_request
    def seal(response: Response) -> Response:
        response.headers.update(HEADERS)
        if request.endpoint != "static":
            response.headers["Cache-Control"] = "no-store"
        metrics.requests.labels(request.endpoint or "none", str(response.status_code)).inc()
        return response

    return app


def _scoreboard(settings: Settings, reader: Reader) -> Blueprint:
    """What people and scripts come for."""
    routes = Blueprint("scoreboard", __name__)

    @routes.get("/")
    def page() -> Response:
        try:
            reading = reader.reading()
        except BusDown as error:
            html = render_template("scoreboard.html", label=settings.label, reading=None, unknown=str(error))
            return _later(Response(html, mimetype="text/html"))
        html = render_template("scoreboard.html", label=settings.label, reading=reading, scoring=SCORING)
        return Response(html, mimetype="text/html")

    @routes.get("/api/scoreboard")
    def scoreboard() -> Response:
        reading = reader.reading()
        stale = {} if reading.stale_seconds is None else {"stale_seconds": reading.stale_seconds}
        return jsonify(
            events=reading.events,
            scoreboard=[asdict(line) for line in reading.lines],
            scoring=SCORING,
            state_rule=STATE_RULE,
            source=SOURCE,
            **stale,
        )

    return routes


def _operations(reader: Reader, health: Health, metrics: _Metrics) -> Blueprint:
    """What those who run it come for."""
    routes = Blueprint("operations", __name__)

    @routes.get("/healthz")
    @routes.get("/livez")
    def livez() -> Response:
        return jsonify(ok=True)

    @routes.get("/readyz")
    def readyz() -> tuple[Response, int]:
        verdict = health.check()
        return jsonify(ok=verdict.ok, checks=verdict.checks), 200 if verdict.ok else 503

    @routes.get("/metrics")
    def expose() -> Response:
        return Response(metrics.exposition(reader), content_type=CONTENT_TYPE_LATEST)

    return routes


def _bus_down(error: BusDown) -> Response:
    return _later(jsonify(error=str(error), code="bus_down"))


def _later(response: Response) -> Response:
    response.status_code = 503
    response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def _refusal(error: HTTPException) -> tuple[Response, int, dict[str, str]]:
    status = error.code or 500
    sentences = {
        404: ("not_found", f"There is nothing at {request.path}; the scoreboard is at /api/scoreboard."),
        405: ("method_not_allowed", f"{request.method} is not answered here; the aggregator only tells."),
    }
    code, sentence = sentences.get(status, ("internal", "The aggregator failed to answer; its log says why."))
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    return jsonify(error=sentence, code=code), status, headers


class _Metrics:
    """The aggregator's own registry."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "clawbucket_aggregator_requests_total", "Requests answered",
            ["endpoint", "status"], registry=self._registry,
        )  # fmt: skip
        self._events = Gauge(
            "clawbucket_aggregator_arm_events", "ARM events that are known", registry=self._registry
        )
        self._stale = Gauge(
            "clawbucket_aggregator_bus_stale_seconds", "Since the bus last answered; 0 while it does, "
            "-1 if it never did", registry=self._registry,
        )  # fmt: skip

    def exposition(self, reader: Reader) -> bytes:
        """Everything, in Prometheus' text form."""
        try:
            reading = reader.reading()
        except BusDown:
            self._stale.set(-1)
        else:
            self._events.set(reading.events)
            self._stale.set(reading.stale_seconds or 0)
        return generate_latest(self._registry)
