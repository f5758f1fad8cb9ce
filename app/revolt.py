"""Troopers that change racks: the call that begins it, and what two racks ask of each other.

Between racks a request is signed with the key that both have, and so is its answer
(clawbucket/handoff/signing.py): that is all the login there is, under whatever name a rack is reached.
"""

from __future__ import annotations

import threading
from functools import partial
from urllib.parse import urlsplit

import structlog
from flask import Blueprint, Response, g, jsonify, request

from app import revolt_wire, schemas, wire
from app.errors import Refusal, too_large
from app.intake import asked
from app.orders import service_of
from app.reading import Reading
from app.schemas import LARGEST_BODY
from app.services import ANSWERED_WITHIN, Services
from clawbucket.core.revolt import SNAPSHOT_ID, Handoff
from clawbucket.handoff.offers import decode_offer
from clawbucket.handoff.signing import ANSWER_HEADER, SCHEME, NotAdmitted, sign_answer
from clawbucket.ports import ClawError

log = structlog.get_logger(__name__)

SIGNED = frozenset({"revolt.accept"})
"""The mutations that a signature opens, and nothing else."""


def blueprint(services: Services, reading: Reading) -> Blueprint:
    """``/api/revolt`` and what is below it."""
    routes = Blueprint("revolt", __name__)
    handoffs = services.handoffs

    @routes.post("/api/revolt")
    def revolt() -> tuple[wire.Json, int]:
        wanted = asked(schemas.Revolt)
        service = service_of(services, wanted.service)
        record = handoffs.source.revolt(service, wanted.task_id, wanted.peer or "")
        after = threading.Timer(ANSWERED_WITHIN, partial(_retire, services, record))
        after.daemon = True
        after.start()
        squad = services.board.board().squad(service)
        left = squad.desired_replicas - 1 if squad is not None else 0
        return revolt_wire.revolted(record, left), 202

    @routes.get("/api/revolt/events")
    def events() -> Response:
        return jsonify(wire.revolt_events(reading.board()))

    @routes.get("/api/revolt/<string(length=32):snapshot_id>")
    def handoff(snapshot_id: str) -> Response:
        if not SNAPSHOT_ID.fullmatch(snapshot_id):
            raise _unknown()
        if request.headers.get("Authorization", "").startswith(f"{SCHEME} "):
            _admitted(services)
            return jsonify(revolt_wire.to_peer(handoffs.target.refuse_unknown(snapshot_id)))
        record = handoffs.registry.find(snapshot_id)
        if record is None:
            raise _unknown()
        return jsonify(revolt_wire.handoff(record))

    _for_racks(routes, services)
    return routes


def _for_racks(routes: Blueprint, services: Services) -> None:
    """What only another rack asks, and the signature under what it is answered."""
    settings, handoffs = services.settings, services.handoffs

    @routes.post("/api/revolt/accept")
    def accept() -> tuple[wire.Json, int]:
        _admitted(services)
        try:
            offer = decode_offer(request.get_data())
        except ValueError as error:
            raise Refusal(400, "bad_payload", f"The offer cannot be taken: {error}.") from None
        return revolt_wire.accepted(handoffs.target.accept(offer)), 201

    @routes.get("/api/revolt/hello")
    def hello() -> wire.Json:
        _admitted(services)
        return {"rack": settings.label, "services": list(settings.swarm_services)}

    @routes.after_request
    def signed(response: Response) -> Response:
        """The answer to a signed request is signed, whatever it is."""
        nonce = g.get("nonce")
        if nonce is not None and settings.peer_key is not None:
            response.headers[ANSWER_HEADER] = sign_answer(
                settings.peer_key, response.status_code, nonce, response.get_data()
            )
        return response


def _admitted(services: Services) -> None:
    """Refusal unless the request is signed as a peer signs it; its answer will be, too."""
    gatekeeper = services.gatekeeper
    if gatekeeper is None:
        raise Refusal(
            403, "no_peer_key", "This rack shares no key with another: set CLAWBUCKET_PEER_KEY on both."
        )
    body = request.get_data()
    if len(body) > LARGEST_BODY:  # what came without its length may be one byte longer, never more
        raise too_large()
    path = urlsplit(request.full_path)
    target = path.path if not path.query else f"{path.path}?{path.query}"
    try:
        g.nonce = gatekeeper.admit(request.method, target, request.headers.get("Authorization", ""), body)
    except NotAdmitted as refused:
        raise Refusal(401, refused.code, f"{refused}", {"WWW-Authenticate": SCHEME}) from None


def _unknown() -> Refusal:
    return Refusal(404, "handoff_unknown", "No handoff of that id is known here; see /api/revolt/events.")


def _retire(services: Services, record: Handoff) -> None:
    """What comes after the answer; where it fails, the service's manager does it."""
    try:
        services.handoffs.source.retire(record)
    except ClawError as error:
        log.warning("retired later", handoff=record.snapshot_id, reason=str(error))
