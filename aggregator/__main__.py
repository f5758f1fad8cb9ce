"""``python -m aggregator``: the scoreboard, put together and served until SIGTERM."""

# ruff: noqa: E402 - the standard library is patched before anything else can hold on to the unpatched one
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys

import structlog

from aggregator.factory import create_app
from aggregator.reading import Reader
from clawbucket import logs
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.codecs import Gate
from clawbucket.health import Health
from clawbucket.listening import listening_socket
from clawbucket.settings import BadSetting, Settings
from clawbucket.wsgi import Program, serve

log = structlog.get_logger(__name__)


def build(settings: Settings) -> Program:
    """The program on a real bus. Nothing connects until it is first used."""
    clock, health = SystemClock(), Health()
    bus = MemcachedBus(settings.memcached_host, settings.memcached_port)
    health.register("bus", bus.ping)
    reader = Reader(bus, Gate(clock), clock)
    return Program(create_app(settings, reader, health), goodbye=health.drain)


def main() -> int:
    """Serve. 0: it was told to stop; 1: it broke; 2: it cannot start as it is set."""
    try:
        settings = Settings.from_env()
        listener = listening_socket(settings.bind)
    except BadSetting as error:
        sys.stderr.write(f"aggregator: {error}\n")
        return 2
    logs.configure("aggregator", settings.log_format, settings.log_level)
    host, port = listener.getsockname()[:2]
    log.info("aggregator serves", url=f"http://{host}:{port}")
    serve(listener, lambda: build(settings), lifeline_fd=settings.lifeline_fd)
    return 0


if __name__ == "__main__":
    sys.exit(main())
