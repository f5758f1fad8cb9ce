"""``python -m aggregator``: the scoreboard, put together and served until SIGTERM."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()  # type: ignore[no-untyped-call]

import sys  # noqa: E402 - gevent must come first

import structlog  # noqa: E402

from aggregator.factory import create_app  # noqa: E402
from aggregator.reading import Reader  # noqa: E402
from clawbucket import logs  # noqa: E402
from clawbucket.bus.memcached import MemcachedBus  # noqa: E402
from clawbucket.clock import SystemClock  # noqa: E402
from clawbucket.codecs import Gate  # noqa: E402
from clawbucket.health import Health  # noqa: E402
from clawbucket.listening import listening_socket  # noqa: E402
from clawbucket.settings import BadSetting, Settings  # noqa: E402
from clawbucket.wsgi import Program, serve  # noqa: E402

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
