"""The dashboard "Bob's World": the page, and the fragments that htmx fetches when it must be drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, render_template, request

from app.agent import asked_task
from app.fanout import State
from app.handoff_lines import handoff_lines
from app.security import LoginCookie
from app.services import Services
from app.stream import RETRY_AFTER, state_of, state_unknown
from clawbucket.core import rps
from clawbucket.core.board import Board
from clawbucket.core.callsign import name_of
from clawbucket.ports import BusDown


def blueprint(services: Services) -> Blueprint:
    """``GET /``, ``/ui/squads``, ``/ui/chat``, ``/ui/revolts`` and ``/ui/talk``."""
    routes = Blueprint("dashboard", __name__)
    draw_once = _once_a_board()
    cookie = LoginCookie(services.settings.token) if services.settings.token else None

    def login() -> str:
        """Whether changing things takes a login here, and whether this browser has one."""
        if cookie is None:
            return "open"
        return "done" if cookie.valid(request.cookies.get(cookie.name, "")) else "needed"

    @routes.get("/")
    def page() -> Response:
        settings = services.settings
        board, context = _look(services)
        html = render_template(
            "dashboard.html",
            hostname=settings.hostname,
            task_name=settings.task_name,
            intervals=(rps.SHORTEST_INTERVAL, rps.LONGEST_INTERVAL),
            login=login(),
            **context(),
        )
        response = _html(html)
        if board is None:
            response.status_code = 503
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return response

    @routes.get("/ui/squads")
    def squads() -> Response:
        return fragment("_squads.html")

    @routes.get("/ui/chat")
    def chat() -> Response:
        return fragment("_chat.html")

    @routes.get("/ui/revolts")
    def revolts() -> Response:
        return fragment("_revolts.html")

    @routes.get("/ui/talk")
    def talk() -> Response:
        task_id = asked_task()
        lines = services.actions.asking.history(task_id)
        return _html(render_template("_talk.html", lines=lines, name=name_of(task_id)))

    def fragment(template: str) -> Response:
        board, context = _look(services)
        return _html(draw_once(template, board, lambda: render_template(template, **context())))

    return routes


Context = dict[str, Any]


def _look(services: Services) -> tuple[Board | None, Callable[[], Context]]:
    """The board, and how to make what the templates need of it."""
    label = services.settings.label
    try:
        board = services.board.board()
    except BusDown as error:
        reason = str(error)
        return None, lambda: {
            "state": state_unknown(reason),
            "tasks_of": lambda _: (),
            "chat": (),
            "colors": {},
            "handoffs": tuple,
            "label": label,
        }
    return board, lambda: _context(board, label)


def _context(board: Board, label: str) -> Context:
    state = state_of(board)

    def tasks_of(service: str) -> list[State]:
        return [task for task in state["tasks"].values() if task["service"] == service]

    colors = {task["name"]: task["color"] for task in state["tasks"].values()}
    return {
        "state": state,
        "tasks_of": tasks_of,
        "chat": board.chat,
        "colors": colors,
        "handoffs": lambda: handoff_lines(board.revolts),
        "label": label,
    }


def _once_a_board() -> Callable[[str, Board | None, Callable[[], str]], str]:
    """Draws each fragment once a board: when a trooper joins, every open page asks in the same moment."""
    drawn: dict[str, tuple[Board, str]] = {}

    def draw_once(name: str, board: Board | None, draw: Callable[[], str]) -> str:
        if board is None:
            return draw()
        if name not in drawn or drawn[name][0] is not board:
            drawn[name] = (board, draw())
        return drawn[name][1]

    return draw_once


def _html(text: str) -> Response:
    response = Response(text, mimetype="text/html")
    response.headers["Cache-Control"] = "no-store"
    return response
