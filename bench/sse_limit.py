"""``python -m bench.sse_limit PORT FILE``: the yardstick of bench/sse.py, a stream without an application.

An asyncio loop that writes the same bytes to as many sockets: FILE is the body of a recorded stream, whose
first picture every client gets at once, and whose deltas go out in turn, one at each tick, with the times of
now in them. Anything but ``/api/stream`` is answered with two bytes. What a replica is slower than this is
what it costs to look, to compare, to serialise, and to be a Flask application.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from pathlib import Path

from bench.viewers import DUE, MADE

TICK = 0.53
"""Seconds between two events: no multiple of a replica's look, so that each finds it at another moment."""
LOT = 50
"""Written to between two looks of the loop at who else came."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
OTHERS = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


def pieces(body: bytes) -> tuple[bytes, list[bytes]]:
    """The first picture of a recorded stream, and its deltas."""
    events = [event + b"\n\n" for event in body.split(b"\n\n")[:-1]]
    deltas = [event for event in events if b"\nevent: delta\n" in event and DUE.search(event)]
    return next(event for event in events if b"\nevent: snapshot\n" in event), deltas


def timed(event: bytes, due: float) -> bytes:
    """``event`` as one chunk, with the monotonic time at which it was due, and made now."""
    said = DUE.search(event)
    if said is not None:
        event = b"%b%.6f%b" % (event[: said.start(1)], due, event[said.end(1) :])
    event = MADE.sub(b": at %d\n" % int(1_000 * time.time()), event, count=1)
    return b"%X\r\n%b\r\n" % (len(event), event)


async def main(port: int, body: bytes) -> None:
    """Serve until told to end."""
    whole, deltas = pieces(body)
    watching: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await reader.readuntil(b"\r\n\r\n")
            if not asked.startswith(b"GET /api/stream "):
                writer.write(OTHERS)
                await writer.drain()
                return
            writer.write(HEAD + timed(whole, time.monotonic()))
            await writer.drain()
            watching.add(writer)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            watching.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1_024)
    began = time.monotonic()
    async with server:
        for tick, event in enumerate(itertools.cycle(deltas), 1):
            due = began + tick * TICK
            await asyncio.sleep(due - time.monotonic())
            chunk = timed(event, due)
            for number, writer in enumerate(list(watching), 1):
                writer.write(chunk)
                if number % LOT == 0:
                    await asyncio.sleep(0)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
