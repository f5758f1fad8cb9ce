"""One request to a replica and the answer to it, on a connection that is given back at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Self

import aiohttp
from aiohttp.http import RawResponseMessage, StreamWriter
from aiohttp.http_exceptions import HttpProcessingError

from gateway.errors import Fault
from gateway.upstreams import Link, Upstreams

UPSTREAM_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError)
"""What a connection that ends, stalls (TimeoutError) or does not speak HTTP raises."""


class Exchange:
    """``send`` once, ``hear`` once, read ``content``, ``close`` always.

    ``link`` is the connection; after a 101 its bytes are no HTTP any more.
    """

    __slots__ = ("_feeding", "_message", "_upstreams", "content", "keep", "length", "link")

    link: Link
    _message: RawResponseMessage
    content: aiohttp.StreamReader
    length: int | None

    def __init__(self, upstreams: Upstreams, link: Link, *, keep: bool) -> None:
        self._upstreams = upstreams
        self.keep = keep
        self._feeding: asyncio.Task[None] | None = None
        self.link = link

    @classmethod
    async def begin(cls, upstreams: Upstreams, address: str, *, kept: bool) -> Self:
        """On a connection to that address. Unreached when there is none."""
        return cls(upstreams, await upstreams.take(address, kept=kept), keep=kept)

    @property
    def status(self) -> int:
        """The answer's status."""
        return self._message.code

    @property
    def reason(self) -> str:
        """What the replica called it."""
        return self._message.reason or ""

    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """The answer's header fields, as they came."""
        fields: tuple[tuple[bytes, bytes], ...] = self._message.raw_headers
        return fields

    def send(
        self, head: bytes, body: bytes | AsyncIterator[bytes] | None, *, chunked: bool, answered: bool
    ) -> None:
        """Send the request; a ``body`` that comes in parts meanwhile, ``chunked`` where its head says so.

        ``answered``: the answer may have a body, as none to HEAD has.
        """
        link = self.link
        link.expect(body=answered)
        if link.transport is None:
            raise ConnectionResetError("it closed the connection")
        if body is None or isinstance(body, bytes):
            link.transport.write(head + body if body else head)
            return
        link.transport.write(head)
        self._feeding = asyncio.create_task(self._feed(body, chunked=chunked))

    async def _feed(self, parts: AsyncIterator[bytes], *, chunked: bool) -> None:
        writer = StreamWriter(self.link, asyncio.get_running_loop())
        if chunked:
            writer.enable_chunking()
        try:
            async for part in parts:
                await writer.write(part)
            await writer.write_eof()
        except (Fault, aiohttp.ClientError, OSError) as error:
            self.link.set_exception(error)  # for whoever waits for the answer

    async def hear(self) -> None:
        """Wait for the answer's head. One of UPSTREAM_ERRORS when there is none."""
        while True:
            message, content = await self.link.read()
            if message.code >= 200 or message.code == 101:
                break
        self._message, self.content = message, content
        told = None if message.chunked else message.headers.get("Content-Length")
        self.length = int(told) if told is not None and told.isdigit() else None
        if message.code != 101 and not content.is_eof():
            self.link.watch_body()

    async def whole(self) -> bytes:
        """The body, of which the caller knows that it is small. One of UPSTREAM_ERRORS when it breaks off."""
        content = self.content
        body = await content.readany()
        while not content.at_eof():
            body += await content.readany()
        return body

    def close(self) -> None:
        """Give the connection back: for the next request if all was said and heard on it."""
        if self._feeding is not None and not self._feeding.done():
            self._feeding.cancel()
            self.keep = False
        self._upstreams.give(self.link, keep=self.keep)
