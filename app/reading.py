"""How a request sees the board: as fresh as it must be, and as bytes that were made once.

However many ask, one board is turned into JSON once an endpoint; everybody gets those bytes. The ETag is
made of the bytes alone, so replicas that know the same give the same, and a client may ask now one and
now the other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson
from flask import Response, request

from clawbucket.board import MAX_AGE, BoardReader
from clawbucket.core.board import Board
from clawbucket.ports import Clock

Environ = Mapping[str, Any]
"""A request as WSGI has it."""
Header = tuple[str, str]
Plain = tuple[str, list[Header], bytes]
"""An answer: status line, headers, body."""
READ_AFTER = "HTTP_X_CLAWBUCKET_READ_AFTER"
"""The gateway's request header: milliseconds since the last mutation that it saw succeed (the WSGI name)."""
SPACING = 0.05
"""Seconds between two refreshes for that header's sake: a burst of writes is no burst of reads."""

JSON_HEADERS = ("Content-Type", "application/json")
REVALIDATE = ("Cache-Control", "no-cache")
"""A copy may be kept, and must be asked about (ETag) before each use."""


class Reading:
    """One replica's way to its board."""

    def __init__(self, board: BoardReader, clock: Clock) -> None:
        self._board, self._clock = board, clock
        self._forced_at = float("-inf")
        self._pause = threading.Event()

    def board(self, environ: Environ | None = None) -> Board:
        """The board for this request. BusDown while there never was one."""
        asked = (request.environ if environ is None else environ).get(READ_AFTER)
        return self._board.board() if asked is None else self._board.board(self._max_age(asked))

    def _max_age(self, asked: str) -> float:
        """How old the board may be, for one who wrote ``asked`` milliseconds ago; may wait up to SPACING."""
        if not (asked.isascii() and asked.isdigit() and len(asked) < 10):
            return MAX_AGE
        age = max(0, int(asked) - 1) / 1000  # whoever counted whole milliseconds may have rounded up
        if age >= SPACING:
            return min(age, MAX_AGE)
        wait = self._forced_at + SPACING - self._clock.monotonic()
        if wait > 0:
            self._pause.wait(wait)
            age += wait
        self._forced_at = self._clock.monotonic()
        return age


class Ready:
    """One endpoint's answer, ready as bytes. Greenlet-safe: what is kept is replaced as a whole."""

    def __init__(self, make: Callable[[Board], dict[str, Any]]) -> None:
        self._make = make
        self._kept: tuple[Board | None, bytes, str] = (None, b"", "")

    def answer(self, board: Board) -> Response:
        """What ``make`` says of the board: 200, or 304 where the client has it."""
        status, headers, body = self.plain(board, request.environ)
        return Response(body, status, headers)

    def plain(self, board: Board, environ: Environ) -> Plain:
        """The same, before Flask makes a response of it."""
        known, body, etag = self._kept
        if known is not board:
            body = orjson.dumps(self._make(board))
            etag = etag_of(body)
            self._kept = (board, body, etag)
        return conditional(body, etag, environ)


def told(body: bytes, etag: str) -> Response:
    """JSON bytes as an answer: 200, or 304 where the client has them."""
    status, headers, body = conditional(body, etag, request.environ)
    return Response(body, status, headers)


def conditional(
    body: bytes, etag: str, environ: Environ, of: Sequence[Header] = (JSON_HEADERS,), *more: Header
) -> Plain:
    """200 with the body, which ``of`` describes, or 304 where the client has it; ``more`` is for both."""
    both = [("ETag", etag), REVALIDATE, *more]
    match = environ.get("HTTP_IF_NONE_MATCH")
    if match is not None and has(match, etag):
        return "304 NOT MODIFIED", both, b""
    return "200 OK", [*of, *both], body


def etag_of(body: bytes) -> str:
    """A strong validator of exactly these bytes."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def has(if_none_match: str, etag: str) -> bool:
    """Whether an If-None-Match header names the ETag (RFC 9110 section 13.1.2: weak comparison)."""
    if if_none_match == etag or if_none_match.strip() == "*":
        return True
    return etag in {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
