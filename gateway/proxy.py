"""One request's way to a replica and its answer's way back.

What may be asked twice is decided by what is known, not by hope:

* *unreached* (refused, or no connection within a second): nothing was sent; the next replica, any method;
* *draining* (503 with that code): the replica refused it; the next one, if the body can be sent again;
* *died*, *silent*: it may have had effect; only GET and HEAD go to another replica, while the client was
  sent nothing yet and the retry budget lasts. All else is answered 502 or 504, in doubt.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import orjson
import structlog
from aiohttp import web
from multidict import CIMultiDict

from clawbucket.ports import Clock
from gateway.answer import Answer, connection_field
from gateway.errors import Fault, no_replica, upstream_failed, upstream_timeout
from gateway.exchange import UPSTREAM_ERRORS, Exchange
from gateway.headers import (
    BadHeader,
    Framing,
    as_upgrade,
    framing_of,
    request_head,
    request_headers,
    response_head,
    wants_websocket,
)
from gateway.metrics import Metrics
from gateway.routing import Replica, RetryBudget, Routes
from gateway.uploads import Upload
from gateway.upstreams import Unreached, Upstreams
from gateway.websockets import tunnel

log = structlog.get_logger(__name__)

FIRST_BYTE = 30.0
"""Seconds from the end of a request to the head of its answer, over all replicas that are asked."""
FIRST_BYTE_OF_MANY = 2.0
"""The same at one replica, where another can be asked instead: long for an answer from memory, which every
GET of a replica is, and short for a person who waits while one replica hangs."""
REPLAYS = 2
"""How often a request is sent again after a replica may have seen it."""
WHOLE = 128 * 1024
"""An answer of a known length up to this many bytes is read whole before the client is sent any of it, so
that a replica that dies over it can be replaced by another unnoticed."""
READ_AFTER = 1.0
"""Seconds for which reads are told of the latest mutation."""
UNREAD = "/api/load"
"""A mutation that reads are not told of. A load test sends its figures there every second; were reads told,
every one of them would be made anew, and the test would change what it measures."""

_REPEATABLE = frozenset({"GET", "HEAD"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_BODILESS = _SAFE | {"TRACE"}
"""Methods that say nothing of a body where there is none."""

Reason = Literal["unreached", "draining", "died", "silent"]


class _Failed(Exception):  # noqa: N818
    """One attempt gave nothing that the client was sent. ``fault`` is the answer if it was the last."""

    def __init__(self, reason: Reason, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.fault = fault


@dataclass(slots=True)
class _Trip:
    """What stays the same over all attempts of one request."""

    request: web.BaseRequest
    upload: Upload
    target: str
    headers: CIMultiDict[str]
    repeatable: bool
    upgrade: bool
    started: float


class Proxy:
    """Sends requests to replicas, or to what else ``kind`` says that ``routes`` lead to. One event loop's."""

    def __init__(
        self, routes: Routes, upstreams: Upstreams, metrics: Metrics, clock: Clock, kind: str = "replica"
    ) -> None:
        self._kind = kind
        self._routes = routes
        self._upstreams = upstreams
        self._metrics = metrics
        self._now = clock.monotonic
        self._budget = RetryBudget(clock.monotonic())
        self._mutated_at = -READ_AFTER

    async def handle(self, request: web.BaseRequest) -> Answer:
        """The answer of a replica. Fault when the gateway itself must answer."""
        started = self._now()
        self._budget.earn()
        repeatable = request.method in _REPEATABLE
        age = started - self._mutated_at
        tell = int(age * 1000) if repeatable and age < READ_AFTER else None
        try:
            headers = request_headers(request.headers, request.remote, tell)
        except BadHeader as error:
            raise Fault(400, "bad_request", f"{error}.".capitalize()) from error
        target = _target(request, headers)
        upgrade = wants_websocket(request.headers)
        if upgrade:
            as_upgrade(headers)
        upload = Upload(request)
        await upload.hold()
        try:
            return await self._travel(
                _Trip(request, upload, target, headers, repeatable and not upgrade, upgrade, started)
            )
        except BadHeader as error:
            raise Fault(400, "bad_request", f"{error}.".capitalize()) from error
        except Fault as fault:
            if upload.abandoned:
                fault.closes = True
            raise

    async def _travel(self, trip: _Trip) -> Answer:
        """Ask one replica after another, as far as the rules above let it."""
        tried: list[Replica] = []
        replays = 0
        failed: _Failed | None = None
        while True:
            now = self._now()
            left = trip.started + FIRST_BYTE - now
            replica = self._routes.choose(now, tried) if left > 0 else None
            if replica is None:
                raise self._nobody(failed, len(tried))
            tried.append(replica)
            others = len(self._routes) > len(tried) and replays < REPLAYS
            patience = min(left, FIRST_BYTE_OF_MANY) if trip.repeatable and others else left
            replica.in_flight += 1
            try:
                return await self._attempt(trip, replica, patience, again=replays > 0)
            except _Failed as error:
                failed = error
            finally:
                replica.in_flight -= 1
            self._mark(replica, failed)
            if failed.reason in {"died", "silent"}:
                if not trip.repeatable or not trip.upload.repeatable or replays >= REPLAYS:
                    raise failed.fault
                if not self._budget.spend(self._now()):
                    raise failed.fault
                if failed.reason == "died" and len(self._routes) == 1 and not replays:
                    tried.clear()  # the only replica gets a second go, on a connection of its own
                replays += 1
            elif not trip.upload.repeatable:
                raise failed.fault
            self._metrics.retries.labels(failed.reason).inc()

    def _nobody(self, failed: _Failed | None, tried: int) -> Fault:
        if failed is not None and failed.reason in {"died", "silent"}:
            return failed.fault
        if not len(self._routes):
            return no_replica(f"No {self._kind} is running; ask again in a second.")
        if not tried:
            return no_replica(f"Every {self._kind} that runs is about to end; ask again in a second.")
        sentence = f"None of the {tried} {self._kind}s asked took the request; ask again in a second."
        return no_replica(sentence)

    def _mark(self, replica: Replica, failed: _Failed) -> None:
        if failed.reason == "draining":
            if not replica.draining:
                log.info("upstream draining", kind=self._kind, task=replica.name)
            replica.draining = True
            return
        now = self._now()
        if replica.suspect_until <= now:
            log.warning(
                "upstream suspect",
                kind=self._kind,
                task=replica.name,
                reason=failed.reason,
                detail=str(failed),
            )
        self._routes.strike(replica, now)

    async def _attempt(self, trip: _Trip, replica: Replica, patience: float, *, again: bool) -> Answer:
        """Ask this replica. _Failed when the client was sent nothing of what came of it."""
        method = trip.request.method
        mutates = method not in _SAFE and trip.request.path != UNREAD
        try:
            exchange = await Exchange.begin(
                self._upstreams, replica.address, kept=trip.repeatable and not again
            )
        except Unreached as error:
            fault = no_replica(f"The {self._kind} {replica.name} cannot be reached; ask again in a second.")
            raise _Failed("unreached", fault, str(error)) from error
        try:
            try:
                await self._ask(exchange, trip, replica, patience)
            except _Failed:
                if mutates:
                    self._mutated_at = self._now()
                raise
            if replica.strikes:
                self._routes.clear(replica)
            if mutates and not 400 <= exchange.status < 500:
                self._mutated_at = self._now()
            return await self._relay(trip, replica, exchange)
        finally:
            exchange.close()

    async def _ask(self, exchange: Exchange, trip: _Trip, replica: Replica, patience: float) -> None:
        """Send the request and wait for the head of the answer."""
        method, upload = trip.request.method, trip.upload
        streams = upload.streams
        loop = asyncio.get_running_loop()
        # The time for the answer begins when the request is out; a stream's parts have their own limit.
        limit = asyncio.timeout(None if streams else patience)
        answered = False

        def uploaded() -> None:
            if not answered:  # a replica may begin to answer before it heard everything
                limit.reschedule(loop.time() + patience)

        head = request_head(
            method, trip.target, trip.headers, host=replica.address, chunked=streams,
            unsaid=not upload.exists and method not in _BODILESS, last=not exchange.keep,
        )  # fmt: skip
        chunked = streams and trip.request.content_length is None
        try:
            async with limit:
                exchange.send(head, upload.data(uploaded), chunked=chunked, answered=method != "HEAD")
                await exchange.hear()
                answered = True
        except TimeoutError as error:
            if upload.fault is not None:
                raise upload.fault from error
            fault = upstream_timeout(f"{self._kind} {replica.name}", patience, repeatable=trip.repeatable)
            raise _Failed("silent", fault, f"no answer within {patience:g} s") from error
        except UPSTREAM_ERRORS as error:
            if upload.fault is not None:
                raise upload.fault from error
            raise self._died(trip, replica, error) from error

    def _died(self, trip: _Trip, replica: Replica, error: Exception) -> _Failed:
        fault = upstream_failed(f"{self._kind} {replica.name}", repeatable=trip.repeatable)
        return _Failed("died", fault, str(error) or type(error).__name__)

    async def _relay(self, trip: _Trip, replica: Replica, exchange: Exchange) -> Answer:
        """Send the replica's answer on: whole where it is small, else as it comes."""
        request, status, length = trip.request, exchange.status, exchange.length
        if status == 101:
            return await self._switch(trip, replica, exchange)
        framing = framing_of(request.method, status, length, chunks=request.version >= (1, 1))
        body: bytes | None = b""
        if framing.has_body:
            small = length is not None and length <= WHOLE
            body = await self._whole(trip, replica, exchange) if small else None
        stays = request.keep_alive and framing is not Framing.CLOSE
        if trip.upgrade or trip.upload.abandoned:  # bytes may come that are no request
            stays = False
        head = self._head(trip, replica, exchange, framing, connection_field(request, stays=stays))
        if body is not None:
            return Answer(head, body, keep_alive=stays)
        answer = Answer(head, keep_alive=stays)
        await answer.begin(request, chunked=framing is Framing.CHUNKED)
        while True:
            try:
                part = await exchange.content.readany()
            except UPSTREAM_ERRORS as error:
                self._metrics.cut.inc()
                log.warning("answer cut", task=replica.name, path=request.raw_path[:200], detail=str(error))
                answer.cut(noticeably=framing is not Framing.CLOSE)
                return answer
            if not part:
                return answer
            await answer.write(part)

    async def _switch(self, trip: _Trip, replica: Replica, exchange: Exchange) -> Answer:
        """The replica goes on as a WebSocket: so does the client."""
        if not trip.upgrade:
            raise self._died(trip, replica, ValueError("it changed protocols unasked"))
        head = self._head(trip, replica, exchange, Framing.EMPTY, connection="Upgrade")
        return await tunnel(trip.request, exchange.link, head)

    def _head(
        self,
        trip: _Trip,
        replica: Replica,
        exchange: Exchange,
        framing: Framing,
        connection: str | None,
    ) -> bytes:
        self._metrics.answered(trip.request.method, exchange.status, self._now() - trip.started)
        try:
            return response_head(
                exchange.status,
                exchange.reason,
                exchange.fields,
                served_by=replica.name,
                framing=framing,
                connection=connection,
            )
        except BadHeader as error:
            raise self._died(trip, replica, error) from error

    async def _whole(self, trip: _Trip, replica: Replica, exchange: Exchange) -> bytes:
        try:
            body = await exchange.whole()
        except UPSTREAM_ERRORS as error:
            raise self._died(trip, replica, error) from error
        if exchange.status == 503 and says_draining(body):
            fault = no_replica(f"The {self._kind} {replica.name} is about to end; ask again in a second.")
            raise _Failed("draining", fault, "draining")
        return body


def says_draining(body: bytes) -> bool:
    """True for the error that a replica answers with from SIGTERM to its end: the code ``draining``."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(said, dict) and said.get("code") == "draining"


def _target(request: web.BaseRequest, headers: CIMultiDict[str]) -> str:
    """The request's target in origin form, as it was sent: nothing is decoded, sorted or tidied.

    A target in absolute form (RFC 9112 section 3.2.2) also says the host, and overrules Host.
    """
    if request.method == "CONNECT":
        raise Fault(405, "method_not_allowed", "This is no tunnel: CONNECT is not served.")
    raw = request.raw_path
    if not raw.isascii():
        raise Fault(400, "bad_request", "The path holds bytes that are not percent-encoded.")
    if raw.startswith("/"):
        return raw
    parts = urlsplit(raw)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise Fault(400, "bad_request", "The target is not a path that begins with a slash.")
    headers["Host"] = headers["X-Forwarded-Host"] = parts.netloc.rpartition("@")[2]
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
