"""What a sim engine and its workers say to each other: JSON objects, one a line, over a loopback connection.

The first line of whoever connects is ``{"token": …}``, the rack's. Then orders go one way::

    {"start": [{"id", "name", "service", "slot"}, …]}   have these troopers live
    {"stop": [id, …]}      end in order: who leads releases the lease first
    {"kill": [id, …]}      end as a crash would

and news the other::

    {"here": [id, …]}          at first: who lives in this worker already
    {"running": [id, …]}       their loops have turned
    {"ended": [[id, code], …]}
    {"alive": count, "asked": keys}   every second: who lives here, and what the bus was asked so far
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

LONGEST = 16_000_000
"""Bytes of one line: far above what ten thousand tasks make."""
ALIVE_EVERY = 1.0
"""Seconds between two signs of life."""


def line(message: dict[str, Any]) -> bytes:
    """The message as it goes over."""
    return orjson.dumps(message) + b"\n"


class Lines:
    """Messages out of the pieces in which they come. ValueError for what is none."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are whole now."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LONGEST:
            raise ValueError(f"a line of more than {LONGEST} bytes")
        for raw in whole:
            message = orjson.loads(raw)
            if not isinstance(message, dict):
                raise ValueError("not a JSON object")  # noqa: TRY004 - to whoever reads it is all one
            yield message
