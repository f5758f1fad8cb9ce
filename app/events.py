"""What happened, as one list for programs."""

from __future__ import annotations

from functools import partial

from flask import Blueprint, Response, request

from app import feed, wire
from app.errors import Refusal
from app.reading import Reading, Ready


def blueprint(reading: Reading) -> Blueprint:
    """``/api/events``."""
    routes = Blueprint("events", __name__)
    ready = {kind: Ready(partial(wire.events, kind=kind)) for kind in ("", *feed.KINDS)}

    @routes.get("/api/events")
    def events() -> Response:
        kind = request.args.get("kind", "")
        if kind not in ready:
            allowed = ", ".join(feed.KINDS)
            raise Refusal(
                400, "bad_payload", f"There is no kind {kind[:40]!r} of event; there are: {allowed}."
            )
        return ready[kind].answer(reading.board())

    return routes
