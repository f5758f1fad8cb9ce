"""The gateway's own side of HTTP: its health, its metrics, its limits; everything else is proxied."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import orjson
import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from prometheus_client import CONTENT_TYPE_LATEST

from clawbucket.health import Health
from gateway.answer import Answer, local, refusal
from gateway.errors import Fault
from gateway.metrics import Metrics
from gateway.proxy import Proxy

log = structlog.get_logger(__name__)

LONGEST_LINE = 8190
"""Bytes of a request line, and of one header field with its name (Apache's LimitRequestLine)."""
MOST_FIELDS = 100
"""Header fields of a request (Apache's LimitRequestFields)."""
IDLE = 75.0
"""Seconds that a connection may wait for its next request to be there with its whole head."""
LINGER = 2.0
"""Seconds for which the rest of a body that nobody wants is read, so that its sender sees the answer."""
MOST_AT_ONCE = 10_000
"""Requests and streams under way; the next is told 503."""
STOP = 0.1
"""Seconds that requests under way are given to end once the gateway stops; streams are cut then."""

_READS = frozenset({"GET", "HEAD"})


class Load:
    """What is under way in this program, on all its ports together."""

    def __init__(self, metrics: Metrics) -> None:
        self.under_way = 0
        metrics.in_flight.set_function(lambda: self.under_way)


class Gateway:
    """Answers what comes by one port: ``/livez``, ``/readyz`` and ``/metrics`` itself, all else by ``proxy``.

    Without ``health`` nothing is its own: the port is another program's, which answers those itself.
    """

    def __init__(self, proxy: Proxy, health: Health | None, metrics: Metrics, load: Load) -> None:
        self._proxy = proxy
        self._metrics = metrics
        self._load = load
        self._own: dict[str, Callable[[web.BaseRequest], Answer]] = {}
        if health is not None:
            self._own = {"/livez": _livez, "/readyz": partial(_readyz, health), "/metrics": self._page}

    async def handle(self, request: web.BaseRequest) -> Answer:
        """The answer to any request that is well formed."""
        own = self._own.get(request.raw_path.partition("?")[0])
        load = self._load
        if own is None and load.under_way >= MOST_AT_ONCE:
            return self.refuse(request, _busy())
        load.under_way += 1
        try:
            return await self._proxy.handle(request) if own is None else own(request)
        except Fault as fault:
            return self.refuse(request, fault)
        finally:
            load.under_way -= 1

    def refuse(self, request: web.BaseRequest, fault: Fault) -> Answer:
        """The fault as an answer, counted."""
        self._metrics.faults.labels(fault.code).inc()
        self._metrics.answered(request.method, fault.status, 0.0)
        return refusal(request, fault)

    def _page(self, request: web.BaseRequest) -> Answer:
        _only_reads(request)
        return local(request, 200, {"Content-Type": CONTENT_TYPE_LATEST}, self._metrics.page())


def _livez(request: web.BaseRequest) -> Answer:
    return _json(request, 200, {"ok": True, "checks": {}})


def _readyz(health: Health, request: web.BaseRequest) -> Answer:
    verdict = health.check()
    status = 200 if verdict.ok else 503
    return _json(request, status, {"ok": verdict.ok, "checks": verdict.checks})


def _json(request: web.BaseRequest, status: int, value: object) -> Answer:
    _only_reads(request)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return local(request, status, headers, orjson.dumps(value))


def _busy() -> Fault:
    sentence = f"{MOST_AT_ONCE} requests are under way, the most there can be; ask again in a second."
    return Fault(503, "gateway_busy", sentence, retry_after=1, closes=True)


def _only_reads(request: web.BaseRequest) -> None:
    if request.method not in _READS:
        sentence = f"{request.raw_path[:80]} is the gateway's own and takes GET and HEAD."
        raise Fault(405, "method_not_allowed", sentence, allow="GET, HEAD")


class Server(web.Server):
    """aiohttp's low-level server: a client that goes away ends what was done for it."""

    def __init__(self, gateway: Gateway) -> None:
        # An Answer has what aiohttp uses of a web.StreamResponse, and is none.
        super().__init__(cast("Any", gateway.handle), handler_cancellation=True)
        self.gateway = gateway

    def __call__(self) -> web.RequestHandler:
        """The protocol of one more connection."""
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=IDLE,
            lingering_time=LINGER,
            max_line_size=LONGEST_LINE,
            max_field_size=LONGEST_LINE,
            max_headers=MOST_FIELDS,
        )


class _Connection(web.RequestHandler):
    """One client's connection, whose errors are the contract's."""

    __slots__ = ("_gateway",)

    def __init__(self, server: Server, **limits: Any) -> None:
        super().__init__(server, **limits)
        self._gateway = server.gateway

    def handle_error(  # type: ignore[override]  # an Answer is what aiohttp's server needs
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's own words may echo what was sent
    ) -> Answer:
        """The answer to what is not HTTP, and to an error of ours. ConnectionError: nobody to tell."""
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise ConnectionResetError("the client is gone, or was sent a part already") from exc
        return self._gateway.refuse(request, _fault_of(status, exc))


def _fault_of(status: int, error: BaseException | None) -> Fault:
    if isinstance(error, LineTooLong):
        sentence = f"The request line or a header is longer than {LONGEST_LINE} bytes."
        return Fault(431, "headers_too_large", sentence, closes=True)
    if isinstance(error, BadHttpMessage) and "Too many headers" in error.message:
        sentence = f"The request has more than {MOST_FIELDS} headers."
        return Fault(431, "headers_too_large", sentence, closes=True)
    if isinstance(error, HttpProcessingError) or status == HTTPStatus.BAD_REQUEST:
        return Fault(400, "bad_request", "The request is not well-formed HTTP/1.1.", closes=True)
    log.error("request failed", exc_info=error)
    return Fault(500, "internal", "The gateway failed over this request; its log says why.", closes=True)
