"""``/ui/scoreboard``: who is armed and how often that changed, as the aggregator counts it."""

from __future__ import annotations

from flask import Blueprint, Response, render_template

from app.fanout import State, pruned
from app.scoreboard_watch import Scoreboard
from app.services import Services


def of_state(arms: Scoreboard) -> State:
    """What the stream tells of it: a mark that changes with the lines, and how the aggregator is."""
    return {
        "scoreboard": arms.mark,
        "aggregator": pruned({"problem": arms.problem or None, "silent_since": arms.silent_since}),
    }


def blueprint(services: Services) -> Blueprint:
    """``GET /ui/scoreboard``, the lines as a fragment: of memory, whatever the aggregator does."""
    routes = Blueprint("scoreboard", __name__)

    @routes.get("/ui/scoreboard")
    def lines() -> Response:
        html = render_template("_scoreboard_lines.html", arms=services.scoreboard.seen())
        response = Response(html, mimetype="text/html")
        response.headers["Cache-Control"] = "no-store"
        return response

    return routes
