"""Writing an answer to a client: the bytes that are given, and none that aiohttp would add.

aiohttp's own responses add Server, Date and a Content-Type, and encode header values as text; a gateway
passes on what the replica said. The connection, its parser and its back-pressure remain aiohttp's.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from gateway.errors import Fault, prefers_html, render

STALLED = 60.0
"""Seconds that a client may leave bytes unread before it is let go (nginx' send_timeout)."""


class Answer(web.StreamResponse):
    """A head and, where it is known already, the body. For a stream: ``begin``, then ``write``.

    aiohttp's server calls ``prepare`` and ``write_eof`` once the handler returned it; every write raises
    ConnectionError when the client is gone or has stalled.
    """

    def __init__(self, status: int, head: bytes, body: bytes = b"", *, keep_alive: bool) -> None:
        super().__init__(status=status)
        self._unsent = head + body
        self._stays = keep_alive
        self._request: web.BaseRequest | None = None
        self._ended = False

    @property
    def keep_alive(self) -> bool:
        """Whether the connection is good for another request afterwards."""
        return self._stays

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
            request.writer.enable_chunking()

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a part of the body, framed as the head said; waits while the client is behind."""
        await self._within_patience(data, last=False)

    async def write_eof(self, data: bytes = b"") -> None:
        """Send what is unsent and end the body. A second call does nothing."""
        if not self._ended:
            self._ended = True
            await self._within_patience(self._unsent + data, last=True)

    def cut(self, *, noticeably: bool = True) -> None:
        """The replica broke off: end the connection, so that the client cannot take the part for the whole.

        A client that counts or is told chunks notices an ordinary end, after what came before it. One that
        waits for the connection's end (``noticeably=False``) notices only a reset.
        """
        self._ended = True
        self._stays = False
        transport = self._request.transport if self._request is not None else None
        if transport is not None:
            if noticeably:
                transport.close()
            else:
                transport.abort()

    async def _within_patience(self, data: bytes | bytearray | memoryview, *, last: bool) -> None:
        if self._request is None:
            raise RuntimeError("an answer is written after prepare() or begin()")
        writer = self._request.writer
        try:
            async with asyncio.timeout(STALLED):
                if last:
                    await writer.write_eof(bytes(data))
                else:
                    await writer.write(data)
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionResetError("the client stopped reading") from None


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
    return Answer(status, head, b"" if request.method == "HEAD" else body, keep_alive=stays)


def refusal(request: web.BaseRequest, fault: Fault) -> Answer:
    """The fault as contract JSON, or as a page for a browser."""
    headers, body = render(fault, as_page=prefers_html(request.headers.get("Accept", "")))
    return local(request, fault.status, headers, body, close=fault.closes)


def connection_field(request: web.BaseRequest, *, stays: bool) -> str | None:
    """What Connection must say, or None where the version's default is meant (RFC 9112 section 9.3)."""
    if not stays:
        return "close"
    return None if request.version >= (1, 1) else "keep-alive"
