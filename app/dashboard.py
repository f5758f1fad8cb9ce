"""The dashboard "Bob's World": the page, and the fragments that htmx fetches when it must be drawn anew."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, Response, render_template, request

from app import elsewhere, feed, reigns
from app.agent import asked_task
from app.assets import MODULES
from app.fanout import State
from app.glossary import term_of
from app.handoff_lines import handoff_lines
from app.scoreboard import of_state
from app.security import LoginCookie
from app.services import Services
from app.shown import with_ranks
from app.stream import RETRY_AFTER, state_of, state_unknown
from app.view import DENSITIES, GROUPS, SORTS, View, sections
from clawbucket.core import rps
from clawbucket.core.board import Board
from clawbucket.core.callsign import name_of
from clawbucket.ports import BusDown

WITHOUT_SCRIPTS = 8
"""Seconds after which a page without JavaScript loads itself anew."""
MOST_VIEWS = 50
"""Ways to look of which the same board's fragments are kept: addresses are anybody's to make up."""

FRAGMENTS = {
    "chat": "_chat.html",
    "revolts": "_revolts.html",
    "feed": "_feed_lines.html",
    "timeline": "_timeline_reigns.html",
}
"""The fragments that are the same for everybody, by the last part of their address."""


def blueprint(services: Services) -> Blueprint:
    """``GET /``, ``/ui/squads``, ``/ui/elsewhere``, ``/ui/talk``, and ``/ui/`` each of FRAGMENTS."""
    routes = Blueprint("dashboard", __name__)
    routes.add_app_template_global(term_of, "glossary_term")
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
        board, context = _look(services, View.of(request.args))
        feed_groups, feed_problems = feed.chosen(request.args.getlist("feed"))
        arms = services.scoreboard.seen()
        html = render_template(
            "dashboard.html",
            hostname=settings.hostname,
            task_name=settings.task_name,
            intervals=(rps.SHORTEST_INTERVAL, rps.LONGEST_INTERVAL),
            login=login(),
            feed_groups=feed_groups,
            feed_problems=feed_problems,
            arms=arms,
            aggregator=of_state(arms)["aggregator"],
            refresh=WITHOUT_SCRIPTS,
            modules=MODULES,
            typed=services.board.typed(services.board.snapshot, _port(services)),
            **context(),
        )
        response = _html(html)
        if board is None:
            response.status_code = 503
            response.headers["Retry-After"] = str(RETRY_AFTER)
        return response

    @routes.get("/ui/squads")
    def squads() -> Response:
        return fragment("_squads.html", View.of(request.args).of_tiles)

    @routes.get("/ui/elsewhere", endpoint="elsewhere")
    def racks() -> Response:
        return fragment("_elsewhere.html", View.of(request.args).of_tiles)

    @routes.get("/ui/talk")
    def talk() -> Response:
        task_id = asked_task()
        lines = services.actions.asking.history(task_id)
        return _html(render_template("_talk.html", lines=lines, name=name_of(task_id)))

    def fragment(template: str, view: View = View()) -> Response:  # noqa: B008 - it is frozen
        board, context = _look(services, view)
        draw = lambda: render_template(template, scripted=True, **context())  # noqa: E731 - it is passed on once
        return _html(draw_once((template, view), board, draw))

    for name, template in FRAGMENTS.items():
        routes.add_url_rule(f"/ui/{name}", name, partial(fragment, template))
    return routes


def _port(services: Services) -> int | None:
    """The port that this page was asked at, where other racks run beside this one: what is typed names it."""
    found = request.host.rpartition(":")[2] if services.settings.all_peers else ""
    return int(found) if found.isascii() and found.isdigit() and len(found) <= 5 else None


Context = dict[str, Any]


def _look(services: Services, view: View) -> tuple[Board | None, Callable[[], Context]]:
    """The board, and how to make what the templates need of it."""
    try:
        board = services.board.board()
    except BusDown as error:
        reason = str(error)
        return None, lambda: _context(state_unknown(reason), None, view, services)
    return board, lambda: _context(with_ranks(state_of(board)), board, view, services)


def _context(state: State, board: Board | None, view: View, services: Services) -> Context:
    label, clock = services.settings.label, services.clock
    peers = board.peers if board and view.group == "rack" else ()
    more = elsewhere.circumstances(peers)
    racks = {name: {**peer, **more.get(name, {})} for name, peer in state["peers"].items()}
    return {
        "state": state,
        "view": view,
        "sections": sections({**state, "peers": racks}, view, label, elsewhere.troopers_of(peers)),
        "density": view.drawn(len(state["tasks"])),
        "choices": {"group": GROUPS, "sort": SORTS, "density": DENSITIES},
        "chat": board.chat if board else (),
        "colors": {task["name"]: task["color"] for task in state["tasks"].values()},
        "handoffs": lambda: handoff_lines(board.revolts if board else ()),
        "feed_all": feed.GROUPS,
        "happened": lambda: feed.shown(board) if board else [],
        "since": feed.since(board) if board else "",
        "timelines": lambda: reigns.timelines(board, clock.wall_ms()) if board else [],
        "now_ms": clock.wall_ms(),
        "label": label,
    }


Fragment = tuple[str, View]


def _once_a_board() -> Callable[[Fragment, Board | None, Callable[[], str]], str]:
    """Draws each fragment once a board: when a trooper joins, every open page asks in the same moment."""
    drawn: dict[Fragment, str] = {}
    of: Board | None = None

    def draw_once(fragment: Fragment, board: Board | None, draw: Callable[[], str]) -> str:
        nonlocal of
        if board is None:
            return draw()
        if board is not of or len(drawn) >= MOST_VIEWS:
            drawn.clear()
            of = board
        if fragment not in drawn:
            drawn[fragment] = draw()
        return drawn[fragment]

    return draw_once


def _html(text: str) -> Response:
    response = Response(text, mimetype="text/html")
    response.headers["Cache-Control"] = "no-store"
    return response
