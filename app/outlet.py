"""A viewer's own socket, past the server that accepted it: how one piece goes to a thousand viewers.

A WSGI server writes what an application yields, in the greenlet of that request. With a thousand viewers
an event is then a thousand greenlets to wake and a thousand copies to frame, all before the next request
is even accepted (docs/adr/0014-one-writer.md). Here whoever has an event writes the same framed bytes to
every socket that takes them at once, and only a viewer whose socket is full is left to its own greenlet.

The server must have sent the head before. It is asked for two things that WSGI does not promise: the
socket (gunicorn's ``gunicorn.socket``), and that it frames a body without a length as HTTP/1.1 says, in
chunks (RFC 9112 section 7.1), and for HTTP/1.0 not at all. tests/contract/test_stream_wire.py holds it to
both. Without a socket there is no outlet, and the server writes as ever.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Mapping
from typing import Any

import structlog

log = structlog.get_logger(__name__)

UNREAD = 30.0
"""Seconds for which a viewer may leave what it was sent unread, or unconfirmed, until it is let go.

Twice what a viewer waits for a ping: who is silent for longer has long come back on another connection.
"""
_CHUNKED = {"HTTP/1.0": False, "HTTP/1.1": True}


class Piece:
    """Bytes for many viewers, framed once for all of them."""

    __slots__ = ("_chunk", "plain")

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        self._chunk: bytes | None = None

    @property
    def chunk(self) -> bytes:
        """The same as one HTTP/1.1 chunk."""
        if self._chunk is None:
            self._chunk = b"%X\r\n%b\r\n" % (len(self.plain), self.plain)
        return self._chunk


NOTHING = Piece(b"")


class Outlet:
    """One viewer's socket. What ``offer`` did not get out is left, and goes out before anything else."""

    __slots__ = ("_chunked", "_rest", "_socket", "_unread")

    def __init__(self, connection: socket.socket, *, chunked: bool, unread: float = UNREAD) -> None:
        self._socket, self._chunked, self._unread = connection, chunked, unread
        self._rest: memoryview | None = None
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            # Who vanished without a word confirms nothing; the kernel would try for a quarter of an hour.
            with contextlib.suppress(OSError):  # not on a Unix socket
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1_000 * unread))

    @property
    def unfinished(self) -> bool:
        """Whether something is left of what was offered."""
        return bool(self._rest)

    def offer(self, piece: Piece) -> bool:
        """Send what the socket takes at once. True: that was all of it. OSError: the viewer is gone."""
        data = piece.chunk if self._chunked else piece.plain
        try:
            # Not send(): gevent's would wait. A closed socket has no number, so nobody else's is written to.
            sent = os.write(self._socket.fileno(), data)
        except BlockingIOError:
            sent = 0
        if sent == len(data):
            return True
        self._rest = memoryview(data)[sent:]
        return False

    def send(self, piece: Piece) -> None:
        """Send all of it, and before it what is left, waiting for the viewer. OSError: it is gone."""
        self.finish()
        if piece.plain and not self.offer(piece):
            self.finish()

    def finish(self) -> None:
        """Send what is left, waiting. OSError: the viewer is gone, or was let go."""
        if not self._rest:
            return
        before = self._socket.gettimeout()
        self._socket.settimeout(self._unread)
        try:
            while self._rest:
                self._rest = self._rest[self._socket.send(self._rest) :]
        except TimeoutError:
            log.info("a viewer was let go", unread_seconds=self._unread)
            # The name by which gunicorn knows that there is nobody left to tell.
            raise BrokenPipeError(errno.EPIPE, "nothing was read for too long") from None
        finally:
            self._socket.settimeout(before)


def outlet_of(environ: Mapping[str, Any], *, unread: float = UNREAD) -> Outlet | None:
    """The outlet of a request's connection; None where its server does not lay it open."""
    connection, chunked = environ.get("gunicorn.socket"), _CHUNKED.get(environ.get("SERVER_PROTOCOL", ""))
    if chunked is None or environ.get("wsgi.url_scheme") != "http" or connection is None:
        return None
    if os.get_blocking(connection.fileno()):
        return None  # whoever writes to it would be held up
    return Outlet(connection, chunked=chunked, unread=unread)
