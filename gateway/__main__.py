"""``python -m gateway``: the one published port, put together and run until SIGTERM."""

from __future__ import annotations

import asyncio
import resource
import signal
import socket
import sys
import threading
from contextlib import suppress

import structlog
import uvloop

from clawbucket import lifeline, logs
from clawbucket.clock import SystemClock
from clawbucket.health import Health
from clawbucket.listening import listening_socket
from clawbucket.ports import ClawError
from clawbucket.settings import BadSetting, Settings
from gateway.metrics import Metrics
from gateway.probes import Prober
from gateway.proxy import Proxy
from gateway.rack_feed import RackFeed
from gateway.routing import Routes
from gateway.server import STOP, Gateway, Server
from gateway.upstreams import Upstreams

log = structlog.get_logger(__name__)

_BACKLOG = 1024
_LAST_MOMENT = 0.8
"""Seconds from a signal until the program ends, whatever is still to be closed; the kernel closes it."""
_FIRST_LIST = 1.0
"""Seconds that the first requests are kept waiting for the rack manager's first list of replicas."""
_FILES = 32_768
"""Open files to ask for: each request under way needs two, and the usual limit is 1024."""


class NoReplica(ClawError):  # noqa: N818 - named as the ports' errors are
    """No replica can be given a request."""


def main() -> int:
    """Run the gateway. 2: a setting is bad, or its port is taken."""
    try:
        settings = Settings.from_env()
        listener = listening_socket(settings.bind, _BACKLOG)
    except BadSetting as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    logs.configure("gateway", settings.log_format, settings.log_level)
    lifeline.watch(settings.lifeline_fd, lifeline.exit_now)
    _raise_file_limit()
    uvloop.run(_until_signal(settings, listener))
    return 0


async def _until_signal(settings: Settings, listener: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(serve(settings, listener, stop))
    serving.add_done_callback(lambda _: stop.set())
    await stop.wait()
    last = threading.Timer(_LAST_MOMENT, lifeline.exit_now)  # thousands of streams on a busy machine
    last.daemon = True
    last.start()
    await serving


async def serve(settings: Settings, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve on ``listener`` until ``stop`` is set, then end within a second; streams are cut."""
    clock = SystemClock()
    routes = Routes()
    metrics = Metrics(routes, clock.monotonic)
    upstreams = Upstreams()
    feed = RackFeed(settings.rack_url, settings.rack_token, lambda s: routes.update(s.tasks), metrics, clock)
    health = Health()
    health.register("snapshot", feed.ping)
    health.register("replicas", lambda: _ping(routes, clock.monotonic()))
    server = Server(Gateway(Proxy(routes, upstreams, metrics, clock), health, metrics))
    background = [
        asyncio.create_task(feed.run(), name="rack feed"),
        asyncio.create_task(Prober(routes, upstreams, clock).run(), name="prober"),
    ]
    for task in background:
        task.add_done_callback(lambda done: _on_end(done, stop))
    await feed.first_list(_FIRST_LIST)
    accepting = await asyncio.get_running_loop().create_server(server, sock=listener, backlog=_BACKLOG)
    log.info("gateway listens", bind=settings.bind, rack=settings.rack_url)
    await stop.wait()
    log.info("gateway stops")
    accepting.close()
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    server.pre_shutdown()
    with suppress(TimeoutError):
        async with asyncio.timeout(2 * STOP + 0.1):
            await server.shutdown(STOP)
            await upstreams.close()


def _ping(routes: Routes, now: float) -> None:
    counts = routes.counts(now)
    if not counts["ready"] + counts["suspect"]:
        raise NoReplica("no replica is running")


def _on_end(task: asyncio.Task[None], stop: asyncio.Event) -> None:
    """A background task never ends by itself; if one does, the gateway ends and is started anew."""
    if not task.cancelled() and task.exception() is not None:
        log.error("background task failed", task=task.get_name(), exc_info=task.exception())
        stop.set()


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


if __name__ == "__main__":
    sys.exit(main())
