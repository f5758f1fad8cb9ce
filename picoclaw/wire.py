"""HTTP that keeps a turn's deadline exactly, however the server behaves, and that a cancellation ends.

A timeout of httpx is for each read, so a server that sends a byte now and then holds a caller for ever.
Here every wait of a connection (name look-up, connecting, TLS, sending, reading, a free connection)
happens in slices of at most ``SLICE`` seconds, and each slice asks the call that is under way
(``within``) how much is left. Plain blocking sockets only, so it is the same in threads and under gevent.

Proxies, netrc and such are never taken from the environment: the model's server is almost always on
this machine or beside it, and a prompt must not leave by a proxy that was meant for a browser. TLS
certificates are always verified; SSL_CERT_FILE and SSL_CERT_DIR name other authorities.
"""

from __future__ import annotations

import ipaddress
import os
import select
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import httpcore
import httpx

from picoclaw.deadline import Deadline
from picoclaw.errors import BackendUnreachable

SLICE = 0.1
"""Seconds that a wait lasts at most before the deadline and a cancellation are looked at again."""
CONNECT_SECONDS = 10.0
"""To look up and connect. A server that takes longer to take a connection is not there."""
MOST_CONNECTIONS = 32
"""Of one client. More callers than this wait for a free one, within their deadline."""
_KEPT_SECONDS = 30.0
_LOOKUPS = threading.BoundedSemaphore(8)
"""Names being looked up: a resolver that hangs cannot be interrupted, only left behind."""

T = TypeVar("T")
_Addresses = list[tuple[Any, ...]]
_Found = _Addresses | OSError | UnicodeError


@dataclass(frozen=True, slots=True)
class Attempt:
    """The limits of one call: the turn's deadline, and what this attempt may take of it."""

    deadline: Deadline
    own: Deadline
    server: str

    def slice(self) -> float:
        """Seconds to wait now. TurnTimeout at the deadline; BackendUnreachable when the attempt's are up."""
        self.deadline.check(f"waiting for {self.server}")
        if self.own.remaining() <= 0.0:
            raise BackendUnreachable(
                f"{self.server} gave no whole answer within the {self.own.seconds:g} s of one attempt "
                "(request_timeout); it may be loading the model: try again, or raise request_timeout"
            )
        return max(0.001, min(SLICE, self.deadline.remaining(), self.own.remaining()))


_current: ContextVar[Attempt | None] = ContextVar("picoclaw_attempt", default=None)


@contextmanager
def within(deadline: Deadline, server: str, seconds: float | None = None) -> Iterator[None]:
    """Every wait of this thread's (or greenlet's) calls inside ends when ``deadline`` does.

    ``seconds`` bounds the attempt itself, None not at all; ``server`` is the address for error texts. Not
    around a ``yield``: the context variable would leak to whoever iterates.
    """
    own = Deadline(deadline.seconds if seconds is None else seconds)
    token = _current.set(Attempt(deadline, own, server))
    try:
        yield
    finally:
        _current.reset(token)


def _attempt() -> Attempt:
    found = _current.get()
    if found is None:
        raise RuntimeError("a call to a model's server outside wire.within(): it would have no deadline")
    return found


class Stream(httpcore.NetworkStream):
    """A connected socket whose every wait is sliced."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - ours is stricter
        """Up to that many bytes; b"" at the end."""
        try:
            return self._sliced(lambda: self._sock.recv(max_bytes))
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Send all of it."""
        rest = memoryview(buffer)
        try:
            while rest:
                rest = rest[self._sliced(lambda: self._sock.send(rest)) :]  # noqa: B023 - called at once
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """The same connection, encrypted; the certificate is verified as the context says."""
        try:
            wrapped = ssl_context.wrap_socket(
                self._sock, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._sock = wrapped
            self._sliced(wrapped.do_handshake)
        except OSError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        except BaseException:
            self.close()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks a stream for; ``is_readable`` tells it that an idle connection was closed."""
        if info == "ssl_object":
            return self._sock if isinstance(self._sock, ssl.SSLSocket) else None
        if info == "is_readable":
            return _ready(self._sock, select.POLLIN, 0.0)
        return self._sock if info == "socket" else None

    def _sliced(self, act: Callable[[], T]) -> T:
        """Do it, as often as a slice passes without anything. OSError as the socket gives it."""
        attempt = _attempt()
        while True:
            self._sock.settimeout(attempt.slice())
            with suppress(TimeoutError):
                return act()


class Network(httpcore.NetworkBackend):
    """Connects such streams."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        """A connection to the first of the host's addresses that takes one."""
        attempt = _attempt()
        patience = Deadline(CONNECT_SECONDS)
        addresses = _addresses(host, port, attempt, patience)
        failed: OSError = OSError(f"{host} has no address")
        for number, address in enumerate(addresses):
            share = Deadline(patience.remaining() / (len(addresses) - number))
            try:
                return Stream(_connected(address, attempt, share))
            except OSError as error:
                failed = error
        raise httpcore.ConnectError(str(failed)) from failed


def _addresses(host: str, port: int, attempt: Attempt, patience: Deadline) -> _Addresses:
    """What the name stands for. The look-up is done beside, because nothing can interrupt it."""
    with suppress(ValueError):
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 0, "", (host, port))]
    found: list[_Found] = []
    done = threading.Event()

    def look_up() -> None:
        try:
            found.append(list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            found.append(error)
        finally:
            _LOOKUPS.release()
            done.set()

    while not _LOOKUPS.acquire(timeout=attempt.slice()):
        _patient(patience, f"no answer from the resolver about {host}")
    threading.Thread(target=look_up, name="lookup", daemon=True).start()
    while not done.wait(attempt.slice()):
        _patient(patience, f"no answer from the resolver about {host}")
    if isinstance(found[0], list):
        return found[0]
    raise httpcore.ConnectError(f"{host} cannot be looked up: {found[0]}") from found[0]


def _connected(address: tuple[Any, ...], attempt: Attempt, patience: Deadline) -> socket.socket:
    """A socket connected to that address. OSError when it cannot be."""
    sock = socket.socket(*address[:3])
    try:
        _connect(sock, address[4], attempt, patience)
    except BaseException:
        sock.close()
        raise
    return sock


def _connect(sock: socket.socket, address: Any, attempt: Attempt, patience: Deadline) -> None:
    sock.setblocking(False)
    with suppress(BlockingIOError):
        sock.connect(address)
    while not _ready(sock, select.POLLOUT, attempt.slice()):
        if patience.remaining() <= 0.0:
            raise TimeoutError(f"no answer within {CONNECT_SECONDS:g} s")
    refused = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if refused:
        raise OSError(refused, os.strerror(refused))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _patient(patience: Deadline, sentence: str) -> None:
    if patience.remaining() <= 0.0:
        raise httpcore.ConnectError(sentence)


def _ready(sock: socket.socket, event: int, seconds: float) -> bool:
    """Whether the socket is, or becomes within that time, what ``event`` says. poll has no limit of fds."""
    if sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(sock, event)
    return bool(poll.poll(seconds * 1_000))


class _Bounded(httpx.SyncByteStream):
    """A response's body, ended with an error when it is longer than allowed."""

    def __init__(self, inner: Iterable[bytes], close: Callable[[], None], limit: int, server: str) -> None:
        self._inner, self._close, self._limit, self._server = inner, close, limit, server

    def __iter__(self) -> Iterator[bytes]:
        left = self._limit
        with _as_httpx():
            for part in self._inner:
                left -= len(part)
                if left < 0:
                    raise BackendUnreachable(
                        f"{self._server} sent an answer of more than {self._limit} bytes; lower max_tokens, "
                        "or look whether this is a model's server",
                        retryable=False,
                    )
                yield part

    def close(self) -> None:
        """Give the connection back, or close it when something was left unread."""
        self._close()


class Transport(httpx.BaseTransport):
    """What an httpx client sends through: sliced waits, bounded answers, bounded connections, no retries.

    Building one costs microseconds: a TLS context (about 20 ms) is made once in a process, and only when
    the base is https. No answer may have more than ``limit`` bytes.
    """

    def __init__(self, base: str, limit: int) -> None:
        self._server, self._limit = shown(base), limit
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls() if urlsplit(base).scheme == "https" else None,
            max_connections=MOST_CONNECTIONS,
            # Not fewer: httpcore closes a surplus idle connection which another thread was just given.
            max_keepalive_connections=MOST_CONNECTIONS,
            keepalive_expiry=_KEPT_SECONDS,
            network_backend=Network(),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it; httpx's errors, those of ``Attempt.slice``, and BackendUnreachable."""
        content = request.read()
        headers = [*(h for h in request.headers.raw if h[0].lower() != b"accept-encoding")]
        url = request.url
        asked = httpcore.Request(
            request.method,
            httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=[*headers, (b"Accept-Encoding", b"identity")],
            content=content,
        )
        with _as_httpx():
            answer = self._sent(asked)
        body = _Bounded(answer.iter_stream(), answer.close, self._limit, self._server)
        if any(n.lower() == b"content-encoding" and v.lower() != b"identity" for n, v in answer.headers):
            answer.close()  # a compressed answer could be of any size once unpacked
            raise BackendUnreachable(
                f"{self._server} sends compressed answers although asked not to; switch that off",
                retryable=False,
            )
        return httpx.Response(answer.status, headers=answer.headers, stream=body)

    def close(self) -> None:
        """Close every connection, idle or not."""
        self._pool.close()

    def _sent(self, request: httpcore.Request) -> httpcore.Response:
        """The answer's head, once a connection is free. Nothing has been sent when the pool's wait ends."""
        attempt = _attempt()
        while True:
            request.extensions["timeout"] = {"pool": attempt.slice()}
            with suppress(httpcore.PoolTimeout):
                return self._pool.handle_request(request)


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Httpcore's errors as those that a client of httpx expects."""
    try:
        yield
    except (httpcore.ConnectError, httpcore.UnsupportedProtocol) as error:
        raise httpx.ConnectError(str(error)) from error
    except httpcore.NetworkError as error:
        raise httpx.ReadError(str(error)) from error
    except httpcore.ProtocolError as error:
        raise httpx.RemoteProtocolError(str(error)) from error


@cache
def _tls() -> ssl.SSLContext:
    """One context for the process: making it reads some hundred certificates."""
    return httpx.create_ssl_context()


def shown(url: str) -> str:
    """The address without a user and password in it, for error texts and status."""
    split = urlsplit(url)
    return urlunsplit(split._replace(netloc=split.netloc.rpartition("@")[2], query="", fragment=""))


class Bearer(httpx.Auth):
    """Sends this key, or none: also not one that a library found in the environment (OLLAMA_API_KEY)."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Set or remove the header."""
        request.headers.pop("Authorization", None)
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        yield request
