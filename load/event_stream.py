"""Reads a stream of server-sent events as it comes, byte by byte if need be.

Locust's own clients hold small events back (``FastHttpUser.iter_lines`` waits for 1,024 bytes) or cost a
call for every byte. Here a read returns what has arrived: ``http.client`` with ``read1``, which also undoes
the chunks, on a socket that Locust has patched.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from dataclasses import dataclass

from load.plain_http import Unreachable, connection

PIECE = 65_536
LARGEST_EVENT = 8 * 1_048_576
"""Bytes of an event; a snapshot of 5,000 troopers has about four million."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``at_ms``: when the server made it, in unix milliseconds; None where it does not say."""

    id: str
    kind: str
    data: str
    at_ms: int | None


class Refused(Exception):  # noqa: N818 - it names the answer
    """The server answered, and it was no stream."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status} {said}".strip())
        self.status = status


class Broken(Exception):  # noqa: N818
    """The stream ended in a way that it should not; the text says how."""


class CutOff(Broken):
    """The other side ended without a word, as when the replica that sent it dies."""


class Parser:
    """Bytes in, events out, wherever the bytes are cut (WHATWG HTML, section 9.2.6)."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, list[str]] = {}
        self._id = ""
        self._at: int | None = None

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that are whole now. Broken where one has no end."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > LARGEST_EVENT:
            raise Broken(f"an event has more than {LARGEST_EVENT} bytes")
        for line in lines:
            event = self._line(line.removesuffix(b"\r").decode("utf-8", "replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._whole()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self._comment(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name in {"event", "data"}:
            self._fields.setdefault(name, []).append(value)
        return None

    def _comment(self, text: str) -> None:
        word, _, number = text.partition(" ")
        if word == "at" and number.isascii() and number.isdigit() and len(number) < 16:
            self._at = int(number)

    def _whole(self) -> Event | None:
        fields, at, self._fields, self._at = self._fields, self._at, {}, None
        if "data" not in fields:
            return None
        return Event(self._id, fields.get("event", ["message"])[-1], "\n".join(fields["data"]), at)


class Stream:
    """One request for a stream, on a connection of its own."""

    def __init__(self, host: str, path: str, *, last_event_id: str = "", timeout: float = 10.0) -> None:
        self._path, self._timeout = path, timeout
        self._connection = connection(host, timeout)
        self._headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id:
            self._headers["Last-Event-ID"] = last_event_id
        self._response: http.client.HTTPResponse | None = None
        self._parser = Parser()
        self.served_by = ""

    def open(self, patience: float) -> None:
        """Connect, and wait for the head of the answer; from then on a read waits ``patience`` seconds.

        Unreachable, Refused.
        """
        try:
            self._connection.connect()
            socket = self._connection.sock  # http.client lets go of it once the answer has begun
            self._connection.request("GET", self._path, headers=self._headers)
            response = self._connection.getresponse()
            if response.status != 200 or response.headers.get_content_type() != "text/event-stream":
                raise Refused(response.status, response.headers.get_content_type())
            socket.settimeout(patience)
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(str(error) or type(error).__name__) from error
        self.served_by = response.headers.get("X-Served-By", "")
        self._response = response

    def events(self) -> Iterator[tuple[Event, float]]:
        """Each event with the unix seconds at which it was read. Broken; ends where the stream does.

        All events of one read have that read's time.
        """
        if self._response is None:
            raise Broken("the stream was not opened")
        while True:
            try:
                piece = self._response.read1(PIECE)
            except TimeoutError as error:
                raise Broken("the stream said nothing for too long") from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise CutOff(f"the stream broke off ({type(error).__name__})") from error
            read_at = time.time()
            if not piece:
                return
            for event in self._parser.feed(piece):
                yield event, read_at

    def close(self) -> None:
        """Leave. Safe to repeat."""
        if self._response is not None:
            self._response.close()
        self._connection.close()
