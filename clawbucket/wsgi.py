"""How a replica and the aggregator serve HTTP: gunicorn with one gevent worker, started from the program.

Each program's ``__main__`` patches the standard library for gevent in its first lines, then calls ``serve``.

The master only watches. It binds nothing (the listening socket may come from the engine) and brings no
worker back: when the worker ends unasked, the whole program ends with an exit code, so that whoever
supervises it sees a failure and replaces the task, as a Swarm would. The worker ends with its master,
however that ended, by a pipe (clawbucket/lifeline.py).

On SIGTERM the worker first lets its program say goodbye (a leader releases its lease, streams are closed),
then closes its port once nobody has come for ``QUIET`` seconds, then finishes the requests under way, all in
at most ``DRAIN``. Closed at once, the port would reset whoever was connected and not yet heard, and a client
cannot tell that from an order that was read. gunicorn's own gevent worker does that, waits for idle
keep-alive connections too, and looks only once a second, which is why ``run`` is written anew here.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from io import BytesIO
from typing import Any

import gevent
import orjson
import structlog
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.sock import close_sockets
from gunicorn.util import close_graceful
from gunicorn.workers.ggevent import GeventWorker

from clawbucket import lifeline

log = structlog.get_logger(__name__)

CONNECTIONS = 5000
"""Most connections of one worker (DESIGN, measured): above every cap on viewers."""
KEEPALIVE = 75
"""Seconds that an idle connection is kept: longer than the gateway keeps one, so that it closes first."""
BODY_WITHIN = 10.0
"""Seconds in which a request's body must have come."""
LINGER, LINGER_BYTES = 1.0, 1024 * 1024
"""Seconds and bytes for which a connection is still read after its last answer (RFC 9112 section 9.6).

Closed with something unread, it would be reset, and who sent too much would never see why it was refused.
"""
DRAIN = 0.5
"""Seconds that requests under way are given after SIGTERM."""
QUIET, LOUD = 0.05, 0.25
"""Seconds without a new connection after which every gateway has heard that this program is about to end,
and seconds for which at most that is waited for."""
END_WITHIN = 0.9
"""Seconds after SIGTERM in which the worker must have ended; then it is killed."""
HUNG_AFTER = 30
"""Seconds without a sign of life after which the master kills its worker."""

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Program:
    """What is served. ``goodbye`` is called once on SIGTERM, before anything else, and returns quickly.

    ``largest_body`` is bytes; the application refuses what is larger, having been given one byte more.
    """

    application: WsgiApp
    goodbye: Callable[[], None]
    largest_body: int = 65_536


def serve(listener: socket.socket, start: Callable[[], Program], *, lifeline_fd: int | None = None) -> None:
    """Serve until told to end; never returns. ``start`` makes the program, in the worker process.

    Exits with 0 after SIGTERM or SIGINT, otherwise with 1. ``lifeline_fd``: end when it is cut.
    """
    try:
        _Master(_Application(listener, start, lifeline_fd)).run()
    except SystemExit as ending:
        # Master and worker both come by here. What is left is an interpreter to take apart, and nobody
        # waits for that: a tenth of a second that the next leader would have to.
        logging.shutdown()
        lifeline.exit_now(ending.code if isinstance(ending.code, int) else 1)


class _Application(BaseApplication):
    """gunicorn's view of the program."""

    def __init__(
        self, listener: socket.socket, start: Callable[[], Program], lifeline_fd: int | None
    ) -> None:
        self._fd = listener.detach()
        self._start = start
        self._lifeline_fd = lifeline_fd
        self._pipe = os.pipe()
        self.program: Program | None = None
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": f"fd://{self._fd}",
            "worker_class": _Worker,
            "workers": 1,
            "worker_connections": CONNECTIONS,
            "keepalive": KEEPALIVE,
            "timeout": HUNG_AFTER,
            "graceful_timeout": 1,
            "accesslog": None,
            "logger_class": _Logger,
            "control_socket_disable": True,
            "post_fork": lambda _master, _worker: self._forked(),
        }
        config: Any = self.cfg
        for name, value in settings.items():
            config.set(name, value)

    def load(self) -> WsgiApp:
        self.program = self._start()
        return body_within(self.program.application, BODY_WITHIN, self.program.largest_body)

    def _forked(self) -> None:
        reading, writing = self._pipe
        os.close(writing)
        lifeline.watch(reading, partial(lifeline.exit_now, 1))
        lifeline.watch(self._lifeline_fd, partial(lifeline.exit_now, 1))


class _Master(Arbiter):
    """Ends when its worker does."""

    stopping = False

    def stop(self, graceful: bool = True) -> None:  # noqa: ARG002 - gunicorn's signature
        """End the worker, in order or by force; gunicorn's own looks ten times a second."""
        self.stopping = True
        listeners, self.LISTENERS = self.LISTENERS, []
        close_sockets(listeners, unlink=False)
        self.kill_workers(signal.SIGTERM)
        deadline = time.monotonic() + END_WITHIN
        while self.WORKERS and time.monotonic() < deadline:
            time.sleep(0.005)
            self.reap_workers()
        self.kill_workers(signal.SIGKILL)

    def handle_hup(self) -> None:
        """The terminal is gone: end. gunicorn would load its application anew."""
        raise StopIteration

    def _ignored(self) -> None:
        """A second worker would be a second trooper of the same task."""

    handle_ttin = handle_ttou = handle_usr2 = handle_winch = _ignored

    def reap_workers(self) -> None:
        before = len(self.WORKERS)
        super().reap_workers()
        if before and not self.WORKERS and not self.stopping:
            raise HaltServer("the worker ended unasked", 1)


class _Worker(GeventWorker):
    """gunicorn's gevent worker, with an end that is quick and in order."""

    def init_process(self) -> None:
        self.ending = Event()
        self.underway: set[Any] = set()
        self.unheard: dict[Any, float] = {}  # when each connection came of which no request was read yet
        self.came_at = 0.0
        super().init_process()

    def handle_exit(self, sig: int, frame: object) -> None:
        super().handle_exit(sig, frame)
        self.ending.set()

    def handle_quit(self, sig: int, frame: object) -> None:
        self.handle_exit(sig, frame)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        # Nothing that this program sends or reads is ever silent for longer than an idle connection is.
        client.settimeout(KEEPALIVE + 15)
        self.came_at = self.unheard[client] = time.monotonic()
        try:
            super(GeventWorker, self).handle(listener, client, addr)
        finally:
            self.unheard.pop(client, None)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        self.unheard.pop(sock, None)
        self.underway.add(req)
        try:
            super().handle_request(listener_name, req, sock, addr)
        except StopIteration:  # gunicorn's way to say that this was the connection's last answer
            self.underway.discard(req)
            close_graceful(sock, LINGER, LINGER_BYTES)
            raise
        finally:
            self.underway.discard(req)
        # A client that asks again before we look would otherwise keep everybody else waiting, the
        # trooper's own loops among them.
        gevent.sleep(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what is no HTTP in the form in which every error is answered, and hang up."""
        if isinstance(exc, TimeoutError | SystemExit | gevent.GreenletExit):
            return
        status, code, sentence = next(
            (told for kind, told in _NO_HTTP if isinstance(exc, kind)),
            (500, "internal", "Something failed here."),
        )
        if status == 500:
            log.error("request failed", exc_info=exc, path=getattr(req, "path", None))
        else:
            log.info("request refused", reason=str(exc)[:200], client=addr[0] if addr else None)
        with contextlib.suppress(OSError):
            client.sendall(_last_words(status, code, sentence))
            close_graceful(client, LINGER, LINGER_BYTES)

    def run(self) -> None:
        servers = []
        for listener in self.sockets:
            listener.setblocking(True)
            pool = Pool(self.worker_connections)
            servers.append(StreamServer(listener, handle=partial(self.handle, listener), spawn=pool))
            servers[-1].start()
        log.info("serving", address="{}:{}".format(*self.sockets[0].getsockname()[:2]))
        while not self.ending.wait(1.0):
            self.notify()
        for request in self.underway:
            request.must_close = True  # its answer is the last on its connection, and says so
        for client in [c for c, came_at in self.unheard.items() if came_at + DRAIN < time.monotonic()]:
            del self.unheard[client]  # it does not say what it wants, and holds nobody up
        program: Program | None = self.app.program
        if program is not None:
            program.goodbye()
        with gevent.Timeout(DRAIN, False):
            until = time.monotonic() + LOUD
            while self._takes_up(servers) or self.came_at + QUIET > time.monotonic():
                gevent.sleep(0.01)
                if time.monotonic() > until:
                    self._takes_up(servers)
                    break
            for server in servers:
                server.close()
            gevent.sleep(0)  # whoever was taken up last
            while self.underway or self.unheard:
                gevent.sleep(0.01)

    def _takes_up(self, servers: list[StreamServer]) -> bool:
        """Accept whoever waits for it. True when somebody did."""
        came = False
        for server in servers:
            while (accepted := server.do_read()) is not None:
                server.do_handle(*accepted)
                came = True
        return came


class _Logger(Logger):
    """gunicorn's messages, in the program's own form (clawbucket/logs.py) and from warnings on."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.setLevel(logging.WARNING)
        self.error_log.propagate = True
        self.error_log.handlers.clear()


_NO_HTTP: tuple[tuple[type[Exception], tuple[int, str, str]], ...] = (
    (LimitRequestLine, (414, "uri_too_long", "The request line is longer than this server takes.")),
    (LimitRequestHeaders, (431, "headers_too_large", "The headers are larger than this server takes.")),
    (ParseException, (400, "bad_request", "This is not a request that HTTP/1.1 allows.")),
)


def _last_words(status: int, code: str, sentence: str) -> bytes:
    """A whole answer, for where no application was reached."""
    body = orjson.dumps({"error": sentence, "code": code})
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


def sync_elsewhere(fd: int) -> None:
    """``fsync`` in a thread: a slow disk holds up whoever asked, not the loop that renews leases."""
    gevent.get_hub().threadpool.apply(os.fsync, (fd,))


def body_within(application: WsgiApp, seconds: float, largest: int) -> WsgiApp:
    """``application``, given only requests whose body has come within ``seconds``, wholly or to ``largest``.

    What is longer is cut one byte after that, which the application refuses as too large.
    """

    def wrapped(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "CONTENT_LENGTH" in environ or "HTTP_TRANSFER_ENCODING" in environ:
            body = b""
            with gevent.Timeout(seconds, exception=False):
                body = environ["wsgi.input"].read(largest + 1)
                environ["wsgi.input"] = BytesIO(body)
            if not isinstance(environ["wsgi.input"], BytesIO):
                sentence = f"The body did not come within {seconds:g} seconds."
                start_response("408 Request Timeout", [("Content-Type", "application/json")])
                return [orjson.dumps({"error": sentence, "code": "body_too_slow"})]
        return application(environ, start_response)

    return wrapped
