"""``python -m rack.packed``: one sim worker, whom rack/engines/sim.py starts and tells who is to live here.

It listens on the socket that it is handed (``CLAWBUCKET_BIND``) for its engine, and goes on without one: like
any replica it outlives a rack manager that crashed, and is taken up by the next. SIGTERM ends its troopers in
order; the lifeline's end ends everything at once.
"""

from __future__ import annotations

import contextlib
import gc
import hmac
import selectors
import signal
import socket
import sys
from random import SystemRandom
from typing import Any

import structlog

from clawbucket import lifeline, logs
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.listening import listening_socket
from clawbucket.settings import BadSetting, Settings
from rack.packed import talk
from rack.packed.crew import Crew, Packed
from rack.packed.shared_bus import SharedBus

log = structlog.get_logger(__name__)
_TELL_EVERY = 0.1
"""Seconds between two messages about who has come to run: each makes the engine look through its books."""
_SEND_WITHIN = 1.0


class Caller:
    """Somebody who is connected. Nothing it says counts before it has shown the token."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.lines = talk.Lines()
        self.known = False

    def tell(self, message: dict[str, Any]) -> None:
        """OSError: it is gone, or does not listen."""
        self.connection.settimeout(_SEND_WITHIN)
        self.connection.sendall(talk.line(message))


class Worker:
    """The crew and whoever orders it about."""

    def __init__(self, settings: Settings, listener: socket.socket, crew: Crew, clock: SystemClock) -> None:
        self._token, self._listener, self._crew, self._clock = (
            settings.rack_token or "",
            listener,
            crew,
            clock,
        )
        self._callers: list[Caller] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, None)
        self._running: list[str] = []
        self._told_at = self._alive_at = clock.monotonic()
        self.stopping = False

    def run(self) -> None:
        """Turn until told to stop."""
        while not self.stopping:
            wait = self._crew.step()
            self._tell_news()
            for key, _ in self._selector.select(wait):
                if key.data is None:
                    self._accept()
                else:
                    self._hear(key.data)
        self._crew.stop(self._crew.here)
        self._tell_news()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            caller = Caller(connection)
            self._callers.append(caller)
            self._selector.register(connection, selectors.EVENT_READ, caller)

    def _hear(self, caller: Caller) -> None:
        try:
            piece = caller.connection.recv(1 << 20)
            for message in caller.lines.feed(piece):
                self._obey(caller, message)
        except (OSError, ValueError, LookupError, TypeError) as error:
            log.warning("caller dismissed", reason=str(error)[:200])
            piece = b""
        if not piece:
            self._dismiss(caller)
        self._tell_news()

    def _obey(self, caller: Caller, message: dict[str, Any]) -> None:
        if not caller.known:
            if not hmac.compare_digest(str(message.get("token", "")).encode(), self._token.encode()):
                raise ValueError("it does not know the rack's token")
            caller.known = True
            caller.tell({"here": self._crew.here})
            return
        if "start" in message:
            self._crew.start(Packed(**task) for task in message["start"])
        self._crew.stop(message.get("stop", ()))
        self._crew.kill(message.get("kill", ()))

    def _tell_news(self) -> None:
        news, now = self._crew.news(), self._clock.monotonic()
        self._running += news.running
        if news.ended:
            self._tell({"ended": news.ended})
        if self._running and now - self._told_at >= _TELL_EVERY:
            self._told_at = now
            self._tell({"running": self._running})
            self._running = []
        if now - self._alive_at >= talk.ALIVE_EVERY:
            self._alive_at = now
            self._tell({"alive": len(self._crew.here), "asked": self._crew.asked})

    def _tell(self, message: dict[str, Any]) -> None:
        for caller in list(self._callers):
            if caller.known:
                try:
                    caller.tell(message)
                except OSError as error:
                    log.warning("caller lost", reason=str(error))
                    self._dismiss(caller)

    def _dismiss(self, caller: Caller) -> None:
        if caller in self._callers:
            self._callers.remove(caller)
            self._selector.unregister(caller.connection)
            caller.connection.close()


def main() -> int:
    """Run the worker. 2: it cannot run as it is set."""
    try:
        settings = Settings.from_env()
        listener = listening_socket(settings.bind)
    except BadSetting as error:
        sys.stderr.write(f"worker: {error}\n")
        return 2
    clock = SystemClock()
    bus = SharedBus(
        MemcachedBus(settings.memcached_host, settings.memcached_port), clock, settings.swarm_services
    )
    crew = Crew(bus, clock, settings, SystemRandom())
    logs.configure("worker", settings.log_format, settings.log_level, task=lambda: crew.current)
    lifeline.watch(settings.lifeline_fd, lifeline.exit_now)
    worker = Worker(settings, listener, crew, clock)

    def stop(*_: object) -> None:
        worker.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # Troopers live long and hold many objects; looking through them all again and again finds nothing.
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)
    log.info("worker runs", node=settings.swarm_node)
    worker.run()
    log.info("worker ends")
    return 0


if __name__ == "__main__":
    lifeline.exit_now(main())
