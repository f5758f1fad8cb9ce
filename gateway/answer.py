"""Writing an answer to a client: the bytes that are given, and none that aiohttp would add.

aiohttp's own responses add Server, Date and a Content-Type, and encode header values as text; a gateway
passes on what the replica said. The connection, its parser and its back-pressure remain aiohttp's.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import StreamWriter

from gateway.errors import Fault, prefers_html, render

STALLED = 60.0
"""Seconds that a client may leave bytes unread before it is let go (nginx' send_timeout)."""


class Answer:
    """A head and, where it is known already, the body. For a stream: ``begin``, then ``write``.

    aiohttp's server calls ``prepare`` and ``write_eof`` once the handler returned it, and reads
    ``keep_alive``; it needs nothing else of a web.StreamResponse, whose fields and cookies would be made for
    each answer in vain. Every write raises ConnectionError when the client is gone or has stalled.
    """

    __slots__ = ("_chunked", "_ended", "_request", "_unsent", "keep_alive")

    def __init__(self, head: bytes, body: bytes = b"", *, keep_alive: bool) -> None:
        self._unsent = head + body if body else head
        self._request: web.BaseRequest | None = None
        self._ended = False
        self._chunked = False
        self.keep_alive = keep_alive
        """Whether the connection is good for another request afterwards."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Know where to write. Nothing is sent yet."""
        self._request = request
        return request.writer

    async def begin(self, request: web.BaseRequest, *, chunked: bool) -> None:
        """Send the head of a stream."""
        self._request = request
        await self.write(self._unsent)
        self._unsent = b""
        if chunked:
            self._chunked = True
            request.writer.enable_chunking()

    async def write(self, data: bytes) -> None:
        """Send a part of the body, framed as the head said; waits while the client is behind."""
        request = self._told()
        await _writer(request).write(data, drain=False)
        if request.protocol.writing_paused:
            await self._drained(request)

    async def write_eof(self) -> None:
        """Send what is unsent and end the body. A second call does nothing."""
        if self._ended:
            return
        self._ended = True
        request = self._told()
        if self._unsent:
            await _writer(request).write(self._unsent, drain=False)
        if self._chunked or request.protocol.writing_paused:
            await self._drained(request, last=True)

    async def _drained(self, request: web.BaseRequest, *, last: bool = False) -> None:
        """Wait until the client took most of what was written; the ``last`` part ends the chunks too.

        Only where that is to be waited for is there a timer: most answers fit into the kernel's buffer.
        """
        try:
            async with asyncio.timeout(STALLED):
                if last:
                    await request.writer.write_eof()
                else:
                    await request.writer.drain()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the client stopped reading") from None

    def _told(self) -> web.BaseRequest:
        if self._request is None:
            raise RuntimeError("an answer is written after prepare() or begin()")
        return self._request

    def cut(self, *, noticeably: bool = True) -> None:
        """The replica broke off: end the connection, so that the client cannot take the part for the whole.

        A client that counts or is told chunks notices an ordinary end, after what came before it. One that
        waits for the connection's end (``noticeably=False``) notices only a reset.
        """
        self._ended = True
        self.keep_alive = False
        transport = self._request.transport if self._request is not None else None
        if transport is not None:
            if noticeably:
                transport.close()
            else:
                transport.abort()


def _writer(request: web.BaseRequest) -> StreamWriter:
    """The writer as what it is, which can write without waiting."""
    return cast("StreamWriter", request.writer)


def local(
    request: web.BaseRequest, status: int, headers: dict[str, str], body: bytes, *, close: bool = False
) -> Answer:
    """An answer that is the gateway's own."""
    stays = request.keep_alive and not close
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(body)}")
    connection = connection_field(request, stays=stays)
    if connection is not None:
        lines.append(f"Connection: {connection}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    return Answer(head, b"" if request.method == "HEAD" else body, keep_alive=stays)


def refusal(request: web.BaseRequest, fault: Fault) -> Answer:
    """The fault as contract JSON, or as a page for a browser."""
    headers, body = render(fault, as_page=prefers_html(request.headers.get("Accept", "")))
    return local(request, fault.status, headers, body, close=fault.closes)


def connection_field(request: web.BaseRequest, *, stays: bool) -> str | None:
    """What Connection must say, or None where the version's default is meant (RFC 9112 section 9.3)."""
    if not stays:
        return "close"
    return None if request.version >= (1, 1) else "keep-alive"
