"""Every failure in the contract's form: ``{"error": "<one sentence>", "code": "snake_case"}``.

Whatever goes wrong below (a refusal of ours, a failure of a port, Flask's own 404, a bug) is turned into
that here, and nowhere else. A bug is logged with its trace; who asked is never shown it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson
import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from clawbucket import ports
from clawbucket.handoff.files import DiskRefused
from clawbucket.handoff.source import RevoltInDoubt
from clawbucket.handoff.target import Rejected, Unclear

log = structlog.get_logger(__name__)

RETRY_AFTER = 2
"""Seconds after which a 503 or 504 is worth another try: the bus and the rack manager heal by themselves."""

_PORTS: dict[type[ports.ClawError], tuple[int, str]] = {
    ports.ServiceUnknown: (404, "service_unknown"),
    ports.TaskUnknown: (404, "task_unknown"),
    ports.NodeUnknown: (404, "node_unknown"),
    ports.Conflict: (409, "conflict"),
    ports.TaskElsewhere: (409, "task_elsewhere"),
    ports.BusDown: (503, "bus_down"),
    ports.BusInDoubt: (503, "bus_in_doubt"),
    ports.BusRefused: (503, "bus_refused"),
    ports.EngineDown: (503, "engine_down"),
    ports.EngineInDoubt: (504, "engine_in_doubt"),
    ports.AgentInDoubt: (504, "agent_in_doubt"),
    ports.PeerDown: (502, "peer_down"),
    ports.PeerRefused: (502, "peer_refused"),
    ports.PeerInDoubt: (504, "revolt_in_doubt"),
    RevoltInDoubt: (504, "revolt_in_doubt"),
    Unclear: (504, "revolt_in_doubt"),
    Rejected: (504, "revolt_rejected"),
    DiskRefused: (503, "disk_refused"),
}
_AGENT = {"agent_off": 409, "agent_context_overflow": 409, "agent_turn_timeout": 504}
"""What an agent's failure is answered with, 503 where it is not listed: another time it may do better."""
_FLASK: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request cannot be understood."),
    404: ("not_found", "There is nothing at this address; /openapi.json lists what there is."),
    405: ("method_not_allowed", "This address does not take that method; the Allow header lists which."),
    408: ("body_too_slow", "The body did not come in time."),
    413: ("body_too_large", "The body is larger than the 64 KiB that are taken."),
    415: ("media_type", "This address does not take that type of content."),
}


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - it is our answer, not an error of ours
    """A request is answered with this instead. ``code`` is stable; ``sentence`` is for a person."""

    status: int
    code: str
    sentence: str
    headers: dict[str, str] = field(default_factory=dict)


def too_large() -> Refusal:
    """The refusal of a large body."""
    return Refusal(413, *_FLASK[413])


def answer(status: int, code: str, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """An error as an HTTP answer. A 503 or 504 says when to come back."""
    body = orjson.dumps({"error": sentence, "code": code})
    response = Response(body, status, mimetype="application/json")
    if status in {503, 504}:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    response.headers.update(headers or {})
    return response


def install(app: Flask) -> None:
    """From now on every failure of ``app`` is answered here."""
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(ports.ClawError, _failed)
    app.register_error_handler(HTTPException, _flask_says)
    app.register_error_handler(Exception, _bug)


def _refused(refusal: Refusal) -> Response:
    return answer(refusal.status, refusal.code, refusal.sentence, refusal.headers)


def _failed(error: ports.ClawError) -> Response:
    if isinstance(error, ports.AgentFailed):
        return answer(_AGENT.get(error.code, 503), error.code, _sentence(str(error)))
    status, code = next((_PORTS[kind] for kind in type(error).__mro__ if kind in _PORTS), (500, "internal"))
    if status >= 500:
        log.warning("act failed", path=request.path, code=code, reason=str(error))
    return answer(status, code, _sentence(str(error)))


def _flask_says(error: HTTPException) -> Response:
    status = error.code or 500
    if status < 400:  # a redirect
        return Response(error.get_body(), status, error.get_headers())
    code, sentence = _FLASK.get(status, ("refused", error.description or error.name))
    headers = dict(error.get_headers())
    return answer(status, code, sentence, {"Allow": headers["Allow"]} if "Allow" in headers else None)


def _bug(error: Exception) -> Response:
    log.error("request failed", path=request.path, method=request.method, exc_info=error)
    return answer(500, "internal", "Something failed inside this replica; its log tells what.")


def _sentence(text: str) -> str:
    """The port's sentence as one: with a capital letter, unless it begins with a URL, and a full stop."""
    text = text.strip() or "Something failed"
    first = text[0] if "://" in text.partition(" ")[0] else text[0].upper()
    return first + text[1:] + ("" if text.endswith((".", "?", "!", ")")) else ".")
