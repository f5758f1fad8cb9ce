"""WebSockets pass through as bytes: whatever extension, subprotocol or close code the two ends agree on.

Both of aiohttp's protocols hand what follows the handshake to a parser (``set_parser``, as aiohttp's own
WebSockets do); the parser here takes it as it is, into a StreamReader that stops the sender while the
other end is behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import StreamWriter

from gateway.answer import Answer
from gateway.upstreams import Link

IDLE = 300.0
"""Seconds without a byte in either direction after which a WebSocket is closed."""
_BUFFER = 64 * 1024


class _Bytes:
    """A parser, as aiohttp's protocols call one, that parses nothing."""

    def __init__(self, protocol: BaseProtocol) -> None:
        self.reader = aiohttp.StreamReader(protocol, _BUFFER, loop=asyncio.get_running_loop())

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.reader.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self.reader.feed_eof()


async def tunnel(request: web.BaseRequest, link: Link, head: bytes) -> Answer:
    """Tell the client that the replica switched, then carry bytes until one end closes."""
    answer = Answer(head, keep_alive=False)
    await answer.begin(request, chunked=False)
    if link.transport is None:  # it switched and closed at once
        answer.cut()
        return answer
    down, up = _Bytes(link), _Bytes(request.protocol)
    link.set_parser(down, down.reader)
    request.protocol.set_parser(cast("Any", up))
    to_replica = StreamWriter(link, asyncio.get_running_loop())
    await _carry((down.reader, answer.write), (up.reader, to_replica.write))
    return answer


async def _carry(*ways: tuple[aiohttp.StreamReader, Callable[[bytes], Awaitable[None]]]) -> None:
    """Copy each reader to its writer until the first of them ends or nothing moved for IDLE seconds."""
    loop = asyncio.get_running_loop()
    idle = asyncio.timeout(IDLE)

    async def copy(reader: aiohttp.StreamReader, write: Callable[[bytes], Awaitable[None]]) -> None:
        while part := await reader.readany():
            idle.reschedule(loop.time() + IDLE)
            await write(part)

    copies = [asyncio.create_task(copy(reader, write)) for reader, write in ways]
    try:
        async with idle:
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        return  # what is left is closed by those who hold it
    finally:
        for task in copies:
            task.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
