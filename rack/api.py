"""The rack manager's HTTP API: what runs here, and orders to change it. Everybody else uses rack/client.py.

Every answer is JSON; an error is ``{"error": one sentence, "code": snake_case}``. ``/v1/*`` needs the
rack's bearer token.
"""

from __future__ import annotations

import hmac
import socket
import threading
from dataclasses import dataclass
from functools import partial

import orjson
import structlog
from flask import Flask, Response, request
from waitress.server import create_server
from waitress.wasyncore import close_all, loop
from werkzeug.exceptions import HTTPException

from clawbucket.core.model import resolve_service
from clawbucket.health import Health
from clawbucket.ports import (
    ClawError,
    Conflict,
    Engine,
    EngineDown,
    EngineInDoubt,
    NodeUnknown,
    ServiceUnknown,
    TaskElsewhere,
    TaskUnknown,
)
from rack import metrics
from rack.engines import slots
from rack.observer import Observer

log = structlog.get_logger(__name__)

MOST_REPLICAS = slots.MOST
"""Of one service; CONTRACT section 1, ``POST /api/scale``."""
LONGEST_WAIT = 25.0
"""Seconds that a long poll may last: less than the 30 s after which proxies commonly give up."""
LARGEST_BODY = 64 * 1024
_THREADS = 24
_WAITERS = 16
"""Long polls at one time, below the threads: orders always find one."""

_STATUS: dict[type[ClawError], tuple[int, str]] = {
    ServiceUnknown: (404, "service_unknown"),
    TaskUnknown: (404, "task_unknown"),
    NodeUnknown: (404, "node_unknown"),
    TaskElsewhere: (409, "task_elsewhere"),
    Conflict: (409, "conflict"),
    EngineDown: (503, "engine_down"),
    EngineInDoubt: (504, "engine_in_doubt"),
}


_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "media_type",
}
"""The stable codes of what Flask itself refuses: those of the replica, for the same faults."""


class _BadRequestError(ClawError):
    """The request makes no sense; the text says why."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """What the API stands on. ``most`` replicas of a service can be asked for."""

    engine: Engine
    observer: Observer
    metrics: metrics.Metrics
    live: Health
    ready: Health
    token: str
    most: int = MOST_REPLICAS


def create_api(wiring: Wiring) -> Flask:
    """The WSGI application."""
    api = Flask("rack", static_folder=None)
    api.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    api.url_map.merge_slashes = False  # an empty name is unknown, not a redirect; hence also <path:...>
    waiters = threading.BoundedSemaphore(_WAITERS)
    api.before_request(partial(_authorize, wiring.token))
    _register_errors(api)
    _register_orders(api, wiring)

    @api.get("/livez")
    def livez() -> Response:
        return _verdict(wiring.live)

    @api.get("/readyz")
    def readyz() -> Response:
        return _verdict(wiring.ready)

    @api.get("/metrics")
    def metrics_page() -> Response:
        return Response(wiring.metrics.page(), content_type=metrics.CONTENT_TYPE)

    @api.get("/v1/snapshot")
    def snapshot() -> Response:
        after = _number("after", 0, 2**53)
        wait = _number("wait", 0, LONGEST_WAIT)
        if wait and not waiters.acquire(blocking=False):
            raise EngineDown(f"{_WAITERS} callers wait for the snapshot already; ask with wait=0")
        try:
            publication = wiring.observer.wait(int(after), wait)
        finally:
            if wait:
                waiters.release()
        if publication is None:
            return Response(status=204)
        return Response(publication.body, content_type="application/json")

    @api.get("/v1/services/<path:name>/history")
    def history(name: str) -> Response:
        service = _full_name(wiring, name)
        return _json({"service": service, "tasks": wiring.engine.history(service)})

    return api


def _register_orders(api: Flask, wiring: Wiring) -> None:
    """What is wanted is visible to all before an order is answered; a death follows it."""
    engine = wiring.engine

    @api.post("/v1/services/<path:name>/scale")
    def scale(name: str) -> Response:
        replicas = _body().get("replicas")
        if isinstance(replicas, bool) or not isinstance(replicas, int) or not 0 <= replicas <= wiring.most:
            raise _BadRequestError(f"replicas must be a whole number from 0 to {wiring.most}")
        service = _full_name(wiring, name)
        engine.scale(service, replicas)
        wiring.observer.publish()
        return _json({"ok": True, "service": service, "replicas": replicas}, 202)

    @api.post("/v1/services/<path:name>/resize")
    def resize(name: str) -> Response:
        by, mark, leaving = _change(_body())
        service = _full_name(wiring, name)
        replicas = engine.resize(service, by, mark, leaving)
        wiring.observer.publish()
        return _json({"ok": True, "service": service, "replicas": replicas}, 202)

    @api.post("/v1/services/<path:name>/restart")
    def restart(name: str) -> Response:
        service = _full_name(wiring, name)
        engine.restart(service)
        wiring.observer.publish()
        return _json({"ok": True, "service": service}, 202)

    @api.post("/v1/tasks/<path:task_id>/kill")
    def kill(task_id: str) -> Response:
        engine.kill(task_id)
        return _json({"ok": True, "task_id": task_id}, 202)

    @api.post("/v1/nodes/<path:node_id>/availability")
    def availability(node_id: str) -> Response:
        wanted = _body().get("availability")
        if wanted not in {"active", "drain"}:
            raise _BadRequestError("availability must be 'active' or 'drain'")
        engine.set_availability(node_id, wanted)
        wiring.observer.publish()
        return _json({"ok": True, "node_id": node_id, "availability": wanted}, 202)


def _register_errors(api: Flask) -> None:
    @api.errorhandler(ClawError)
    def known(error: ClawError) -> Response:
        if isinstance(error, _BadRequestError):
            return _error(400, "bad_request", str(error))
        status, code = _STATUS.get(type(error), (503, "engine_down"))
        response = _error(status, code, str(error))
        if status == 503:
            response.headers["Retry-After"] = "1"
        return response

    @api.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        code = _CODES.get(status, "refused")
        return _error(status, code, f"{request.method} {request.path[:100]}: {error.name}")

    @api.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        log.error("request failed", path=request.path, exc_info=error)
        return _error(500, "internal", "the rack manager made a mistake; its log says which")


def _authorize(token: str) -> Response | None:
    if not request.path.startswith("/v1/"):
        return None
    shown = request.headers.get("Authorization", "")
    if hmac.compare_digest(shown.encode(), f"Bearer {token}".encode()):
        return None
    response = _error(401, "unauthorized", "the rack API needs the rack's token: Authorization: Bearer ...")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _full_name(wiring: Wiring, name: str) -> str:
    """The full name behind a full name or a short alias; what is neither is the engine's to refuse."""
    latest = wiring.observer.latest()
    known = tuple(service.name for service in latest.services) if latest else ()
    return resolve_service(name, known) or name


def _number(name: str, low: float, high: float) -> float:
    raw = request.args.get(name, "0")
    try:
        number = float(raw)
    except ValueError:
        number = -1.0
    if not low <= number <= high:
        raise _BadRequestError(f"{name} must be a number from {low:g} to {high:g}, not {raw[:32]!r}")
    return number


def _change(body: dict[str, object]) -> tuple[int, str, str]:
    """``by``, ``mark`` and ``leaving`` of a change of the count by one."""
    by, mark, leaving = body.get("by"), body.get("mark"), body.get("leaving")
    if isinstance(by, bool) or not isinstance(by, int) or by not in {1, -1}:
        raise _BadRequestError("by must be 1 or -1")
    if not isinstance(mark, str) or not slots.MARK.fullmatch(mark):
        raise _BadRequestError("mark must be 1 to 80 of a-z, 0-9, ':', '_' and '-'")
    if leaving is None:
        return by, mark, ""
    if not isinstance(leaving, str) or not leaving or by > 0:
        raise _BadRequestError("leaving must be the id of a task, and goes with a by of -1")
    return by, mark, leaving


def _body() -> dict[str, object]:
    try:
        body = orjson.loads(request.get_data())
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise _BadRequestError("the body must be a JSON object")
    return body


def _json(value: object, status: int = 200) -> Response:
    return Response(orjson.dumps(value), status=status, content_type="application/json")


def _error(status: int, code: str, sentence: str) -> Response:
    return _json({"error": sentence, "code": code}, status)


def _verdict(health: Health) -> Response:
    verdict = health.check()
    return _json(verdict, 200 if verdict.ok else 503)


class ApiServer:
    """The application on waitress, over a socket that already listens."""

    def __init__(self, api: Flask, listener: socket.socket) -> None:
        self._server = create_server(  # type: ignore[no-untyped-call]
            api,
            sockets=[listener],
            threads=_THREADS,
            ident="clawbucket",
            channel_timeout=60,
            connection_limit=200,
            max_request_body_size=LARGEST_BODY,
        )
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rack-api", daemon=True)

    def start(self) -> None:
        """Serve from a thread of its own until ``close``."""
        self._thread.start()

    def close(self) -> None:
        """Close every connection and stop serving. Whoever waits in a long poll must have been let go.

        waitress itself can only be stopped by an exception in its own thread. So its loop is turned here,
        and everything is closed once the loop and the workers, who use the same pipe, have ended.
        """
        self._stopped.set()
        self._server.pull_trigger()
        self._thread.join(timeout=2.0)
        self._server.task_dispatcher.shutdown(timeout=1.0)
        close_all(self._server._map)  # type: ignore[no-untyped-call]  # noqa: SLF001

    def _run(self) -> None:
        while not self._stopped.is_set():
            loop(timeout=1.0, use_poll=True, map=self._server._map, count=1)  # type: ignore[no-untyped-call]  # noqa: SLF001
