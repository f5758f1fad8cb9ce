"""One HTTP exchange with a stranger, over within its time whatever the stranger does.

A socket's own timeout begins anew with each byte, so that who sends one a second could hold a caller for
hours: here a timer hangs up. The system's resolver has no timeout at all: it is asked in a thread of its
own. Nothing is followed (redirects), kept (connections), decoded (compressed bodies) or read beyond
a bound. Works the same under gevent, where threads and timers are greenlets.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import SplitResult, quote, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

CONNECT = 2.0
"""Seconds for a connection, the look-up of the name included."""
_PIECE = 65_536
_PATH = "/%:@!$&'()*+,;=~"


class Unreached(Exception):  # noqa: N818 - it says what became of the request
    """Nothing was sent, and nothing will be. The text says why in a few words."""


class Unanswered(Exception):  # noqa: N818
    """Something was sent, and no whole answer came. The text says why in a few words."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``path`` has its query and comes after the base URL's own; ``body`` None: without."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """Asks servers by their base URLs. Thread- and greenlet-safe."""

    def __init__(self) -> None:
        self._names = _Names()

    def __call__(self, url: str, request: Request, seconds: float, largest: int) -> Answer:
        """The answer, of at most ``largest`` bytes, within ``seconds``. Unreached, Unanswered."""
        ends_at = time.monotonic() + seconds
        parts, host, port = _taken_apart(url)
        connection = self._connected(parts.scheme, host, port, min(ends_at, time.monotonic() + CONNECT))
        headers = {
            "Host": _host_header(parts.scheme, host, port),
            "Accept-Encoding": "identity",
            "Connection": "close",
            **request.headers,
        }
        left = max(0.05, ends_at - time.monotonic())
        connection.timeout = left
        try:
            with _hanging_up(connection.sock, left) as over:
                try:
                    answer = _asked(connection, quote(parts.path, safe=_PATH), request, headers, largest)
                except (HTTPError, HTTPException, OSError, ValueError) as error:
                    reason = "it was not over in time" if _is_late(error, over) else _reason(error)
                    raise Unanswered(reason) from error
                if over():  # what ended because we hung up may look like an end
                    raise Unanswered("it was not over in time")
                return answer
        finally:
            connection.close()

    def _connected(self, scheme: str, host: str, port: int, ends_at: float) -> HTTPConnection:
        addresses = self._names.addresses(host, port, ends_at - time.monotonic())
        problem = "no connection in time"
        for number, address in enumerate(addresses):
            # Each gets its share of what is left: one that swallows everything does not hide the next.
            share = (ends_at - time.monotonic()) / (len(addresses) - number)
            if share <= 0:
                break
            connection = (
                HTTPSConnection(address, port, timeout=share, server_hostname=host)
                if scheme == "https"
                else HTTPConnection(address, port, timeout=share)
            )
            try:
                connection.connect()
            except (HTTPError, OSError, ValueError) as error:
                connection.close()
                problem = _reason(error)
            else:
                return connection
        raise Unreached(problem)


class _Names:
    """Host names looked up with a limit; each once at a time, so that no crowd of threads waits for one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._underway: dict[tuple[str, int], Future[tuple[str, ...]]] = {}

    def addresses(self, host: str, port: int, seconds: float) -> tuple[str, ...]:
        """The host's addresses in the order to try them. Unreached."""
        with suppress(ValueError):
            return (str(ipaddress.ip_address(host)),)
        with self._lock:
            found = self._underway.get((host, port))
            if found is None:
                found = Future()
                threading.Thread(target=self._look_up, args=(host, port, found), daemon=True).start()
                self._underway[host, port] = found
        try:
            return found.result(max(0.0, seconds))
        except TimeoutError:
            raise Unreached("its name was not found in time") from None
        except (OSError, ValueError) as error:
            raise Unreached(f"its name is not known: {_reason(error)}") from error

    def _look_up(self, host: str, port: int, found: Future[tuple[str, ...]]) -> None:
        try:
            known = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            self._forget(host, port)
            found.set_exception(error)
        else:
            self._forget(host, port)
            found.set_result(tuple(dict.fromkeys(str(one[4][0]) for one in known)))

    def _forget(self, host: str, port: int) -> None:
        with self._lock:
            del self._underway[host, port]


def _taken_apart(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:  # UnicodeError is one, too
        raise Unreached(f"its address is none: {error}") from None
    return parts, host, port


def _host_header(scheme: str, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == (443 if scheme == "https" else 80) else f"{name}:{port}"


@contextmanager
def _hanging_up(line: socket.socket, seconds: float) -> Iterator[Callable[[], bool]]:
    """Shut the connection when the time is over; what is given tells whether it was."""
    over = threading.Event()

    def cut() -> None:
        over.set()
        with suppress(OSError):
            # The plain socket's: TLS has a farewell of its own, which a stranger need not answer.
            socket.socket.shutdown(line, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield over.is_set
    finally:
        timer.cancel()


def _asked(
    connection: HTTPConnection, base: str, request: Request, headers: Mapping[str, str], largest: int
) -> Answer:
    # It may have answered before it heard everything, and hung up: its answer may still be there.
    with suppress(BrokenPipeError):
        connection.request(
            request.method, base + request.path, body=request.body, headers=headers,
            preload_content=False, decode_content=False,
        )  # fmt: skip
    response = connection.getresponse()
    try:
        body = bytearray()
        while piece := response.read(min(_PIECE, largest + 1 - len(body)), decode_content=False):
            body += piece
            if len(body) > largest:
                raise ValueError(f"its answer is longer than {largest} bytes")
        return Answer(response.status, response.headers, bytes(body))
    finally:
        response.close()


def _is_late(error: Exception, over: Callable[[], bool]) -> bool:
    return over() or isinstance(error, TimeoutError)


def _reason(error: Exception) -> str:
    """Why, in a few words: urllib3's own texts have memory addresses in them."""
    # A refused connection is a timeout too, by urllib3's classes: what was below it tells them apart.
    if isinstance(error, NewConnectionError) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, ConnectTimeoutError | TimeoutError):
        return "no connection in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, HTTPException | HTTPError):
        return f"what it says is no whole HTTP answer ({type(error).__name__})"
    return str(error) or type(error).__name__
