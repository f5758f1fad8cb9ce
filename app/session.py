"""Logging a browser in and out, where a token is set. The form is part of the dashboard."""

from __future__ import annotations

import structlog
from flask import Blueprint, jsonify, redirect
from htmx_flask import request
from werkzeug.wrappers import Response

from app import schemas
from app.errors import Refusal
from app.intake import FORM, asked
from app.security import Guard, LoginCookie

log = structlog.get_logger(__name__)


def blueprint(guard: Guard) -> Blueprint:
    """``/api/session`` and ``/api/session/end``."""
    routes = Blueprint("session", __name__)

    @routes.post("/api/session")
    def login() -> Response:
        cookie = _cookie(guard)
        if not guard.knows(asked(schemas.Login).token.encode()):
            log.warning("login refused", client=request.remote_addr)
            raise Refusal(401, "token_wrong", "That is not the token.", {"WWW-Authenticate": "Bearer"})
        response = _done()
        cookie.give(response, secure=request.is_secure)
        return response

    @routes.post("/api/session/end")
    def logout() -> Response:
        cookie = _cookie(guard)
        response = _done()
        cookie.take(response)
        return response

    return routes


def _cookie(guard: Guard) -> LoginCookie:
    if guard.login is None:
        raise Refusal(409, "no_token_set", "No token is set here, so there is nothing to log in to.")
    return guard.login


def _done() -> Response:
    """Back to the dashboard for a plain form; a word for a program, and for htmx."""
    plain = request.mimetype == FORM and not request.htmx  # type: ignore[attr-defined]  # see Htmx(app)
    return redirect("/", 303) if plain else jsonify(ok=True)
