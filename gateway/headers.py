"""What becomes of header fields on their way through: pure.

Hop-by-hop fields (RFC 9110 section 7.6.1) end here in both directions, also those that ``Connection``
names. What says where a request came from is said by the gateway alone: a client's own word for it
(``Forwarded``, ``X-Forwarded-*``, ``X-Real-IP``) and everything that the gateway and a replica tell each
other (``X-Served-By``, ``X-Clawbucket-*``) is dropped, also when spelled with underscores, which WSGI
cannot tell from hyphens.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache

from multidict import CIMultiDict, CIMultiDictProxy

VIA = "1.1 clawbucket"
READ_AFTER = "X-Clawbucket-Read-After"
"""Request field to a replica: how many milliseconds ago the latest mutation was answered. A replica whose
copy of the bus is older than that reads again, so that people see what they just did."""

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_SAID_HERE = frozenset({"expect", "forwarded", "x-real-ip", "x-served-by"})
_SAID_HERE_PREFIXES = ("x-forwarded-", "x-clawbucket-")
_NEVER_BY_CONNECTION = frozenset({"host", "content-length"})
"""``Connection: host`` cannot make the gateway drop what says where a request goes and where it ends."""

_DROPPED_FROM_ANSWERS = frozenset(name.encode() for name in _HOP_BY_HOP | {"x-served-by"})
_CONNECTION = b"connection"
_CONTENT_LENGTH = b"content-length"


class BadHeader(ValueError):  # noqa: N818 - it names the thing, not the act
    """A field holds what cannot be passed on unchanged; the text says which."""


class Framing(Enum):
    """How the end of an answer's body is told (RFC 9112 section 6.3)."""

    LENGTH = auto()
    """By the replica's own Content-Length."""
    HEAD = auto()
    """There is no body, only the length that one would have: HEAD, 304."""
    EMPTY = auto()
    """No body and no length: 1xx and 204 (RFC 9110 section 8.6)."""
    CHUNKED = auto()
    CLOSE = auto()
    """By the end of the connection: a client of HTTP/1.0 knows no chunks."""

    @property
    def has_body(self) -> bool:
        """Whether bytes follow the head."""
        return self not in {Framing.HEAD, Framing.EMPTY}


def framing_of(method: str, status: int, length: int | None, *, chunks: bool) -> Framing:
    """How an answer of that status and length goes to a client who knows ``chunks``, or does not."""
    if status < 200 or status == 204:
        return Framing.EMPTY
    if method == "HEAD" or status == 304:
        return Framing.HEAD
    if length is not None:
        return Framing.LENGTH
    return Framing.CHUNKED if chunks else Framing.CLOSE


@lru_cache(maxsize=1024)
def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


@lru_cache(maxsize=1024)
def _ends_here(name: str) -> bool:
    plain = _plain(name)
    return plain in _HOP_BY_HOP or plain in _SAID_HERE or plain.startswith(_SAID_HERE_PREFIXES)


def _named(values: Iterable[str]) -> frozenset[str]:
    """The fields that ``Connection`` names."""
    names = {_plain(part.strip(" \t")) for value in values for part in value.split(",")}
    return frozenset(names - _NEVER_BY_CONNECTION)


def request_headers(
    given: CIMultiDictProxy[str], client: str | None, read_after_ms: int | None = None
) -> CIMultiDict[str]:
    """What a replica is sent, for what a client at the address ``client`` sent.

    BadHeader for bytes that are not UTF-8, which the HTTP client below would silently leave out.
    """
    named = _named(given.getall("Connection")) if "Connection" in given else frozenset()
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in given.items():
        if _ends_here(name) or (named and _plain(name) in named):
            continue
        if not value.isascii() and not _is_text(value):
            raise BadHeader(f"the header {name} holds bytes that are not UTF-8")
        headers.add(name, value)
    if client:
        headers.add("X-Forwarded-For", client)
    headers.add("X-Forwarded-Proto", "http")
    host = given.get("Host")
    if host is not None:
        headers.add("X-Forwarded-Host", host)
    headers.add("Via", VIA)
    if read_after_ms is not None:
        headers.add(READ_AFTER, str(read_after_ms))
    return headers


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # aiohttp reads what is not UTF-8 as lone surrogates
        return False
    return True


def wants_websocket(given: CIMultiDictProxy[str]) -> bool:
    """True when the client asks to go on as a WebSocket (RFC 6455 section 4.1)."""
    if "Upgrade" not in given:
        return False
    return given["Upgrade"].lower() == "websocket" and "upgrade" in _named(given.getall("Connection", ()))


def as_upgrade(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """The same headers, asking the next hop too to go on as a WebSocket."""
    headers["Connection"] = "Upgrade"
    headers["Upgrade"] = "websocket"
    return headers


def request_head(
    method: str,
    target: str,
    headers: CIMultiDict[str],
    *,
    host: str,
    chunked: bool = False,
    unsaid: bool = False,
    last: bool = False,
) -> bytes:
    """The head of a request to a replica at ``host``, which is named where the client named none.

    ``chunked``: a body follows whose length nobody knows. ``unsaid``: there is no body, and the method is
    one that should say so (RFC 9110 section 8.6). ``last``: no other request follows on the connection.
    BadHeader for a stray CR, LF or NUL, with which a client
    could be made to send a second request.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    if "Host" not in headers:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if "Content-Length" not in headers:
        if chunked:
            lines.append("Transfer-Encoding: chunked")
        elif unsaid:
            lines.append("Content-Length: 0")
    if last and "Connection" not in headers:
        lines.append("Connection: close")
    head = "\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count("\r") != breaks or head.count("\n") != breaks or "\0" in head:
        raise BadHeader("a header holds a control character")
    return f"{head}\r\n\r\n".encode()


def response_head(
    status: int,
    reason: str,
    given: Iterable[tuple[bytes, bytes]],
    *,
    served_by: str,
    framing: Framing,
    connection: str | None,
) -> bytes:
    """The head of the answer to a client, for what the replica ``served_by`` answered.

    Values stay the bytes they were; ``connection`` is the gateway's own Connection field. BadHeader for a
    stray CR, LF or NUL, with which a replica could be made to write a second answer.
    """
    drop = _DROPPED_FROM_ANSWERS
    for name, value in given:
        if name.lower() == _CONNECTION:
            drop = drop | {part.encode() for part in _named([value.decode("latin-1")])}
    if framing not in {Framing.LENGTH, Framing.HEAD}:
        drop = drop | {_CONTENT_LENGTH}
    lines = [f"HTTP/1.1 {status} {reason}".encode("utf-8", "surrogateescape")]
    lines += [name + b": " + value for name, value in given if name.lower() not in drop]
    lines.append(f"X-Served-By: {served_by}\r\nVia: {VIA}".encode())
    if framing is Framing.CHUNKED:
        lines.append(b"Transfer-Encoding: chunked")
    if connection is not None:
        lines.append(b"Connection: " + connection.encode())
        if connection == "Upgrade":
            lines.append(b"Upgrade: websocket")
    head = b"\r\n".join(lines)
    breaks = head.count(b"\r\n")
    ours = len(lines)  # one break between two lines, and one more between X-Served-By and Via
    if breaks != ours or head.count(b"\r") != ours or head.count(b"\n") != ours or b"\0" in head:
        raise BadHeader("the replica's answer holds a control character in a header")
    return head + b"\r\n\r\n"
