"""``python -m gateway``: what is published, put together and run until SIGTERM.

One port leads to the replicas. On Swarm a second one leads to the aggregator, whose own address nobody
outside can reach; on one machine the aggregator listens for itself.
"""

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
from gateway.names import NameFeed
from gateway.probes import Prober
from gateway.proxy import Proxy
from gateway.rack_feed import RackFeed
from gateway.routing import Routes
from gateway.server import STOP, Gateway, Load, Server
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
        second = _for_aggregator(settings)
    except BadSetting as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    logs.configure("gateway", settings.log_format, settings.log_level)
    lifeline.watch(settings.lifeline_fd, lifeline.exit_now)
    _raise_file_limit()
    uvloop.run(_until_signal(settings, listener, second))
    return 0


def _for_aggregator(settings: Settings) -> socket.socket | None:
    if settings.aggregator_bind is None:
        return None
    if settings.aggregator_upstream is None:
        raise BadSetting(
            "CLAWBUCKET_AGGREGATOR_BIND is set, and nothing says where the aggregator is; set "
            "CLAWBUCKET_AGGREGATOR_UPSTREAM to its host:port"
        )
    return listening_socket(settings.aggregator_bind, _BACKLOG, variable="CLAWBUCKET_AGGREGATOR_BIND")


async def _until_signal(settings: Settings, listener: socket.socket, second: socket.socket | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(serve(settings, listener, stop, second))
    serving.add_done_callback(lambda _: stop.set())
    await stop.wait()
    last = threading.Timer(_LAST_MOMENT, lifeline.exit_now)  # thousands of streams on a busy machine
    last.daemon = True
    last.start()
    await serving


async def serve(
    settings: Settings, listener: socket.socket, stop: asyncio.Event, second: socket.socket | None = None
) -> None:
    """Serve on ``listener`` until ``stop`` is set, then end within a second; streams are cut.

    ``second`` is where the aggregator is served, if it is.
    """
    clock = SystemClock()
    routes, aggregators = Routes(), Routes()
    metrics = Metrics(routes, None if second is None else aggregators, clock.monotonic)
    upstreams = Upstreams()
    feed = RackFeed(settings.rack_url, settings.rack_token, lambda s: routes.update(s.tasks), metrics, clock)
    health, load = Health(), Load(metrics)
    health.register("snapshot", feed.ping)
    health.register("replicas", lambda: _ping(routes, clock.monotonic()))
    ports = [(listener, Server(Gateway(Proxy(routes, upstreams, metrics, clock), health, metrics, load)))]
    background = [
        asyncio.create_task(feed.run(), name="rack feed"),
        asyncio.create_task(Prober(routes, upstreams, clock).run(), name="prober"),
    ]
    lists = [feed.first_list()]
    if second is not None and settings.aggregator_upstream is not None:
        names = NameFeed(settings.aggregator_upstream, aggregators.take)
        proxy = Proxy(aggregators, upstreams, metrics, clock, kind="aggregator")
        ports.append((second, Server(Gateway(proxy, None, metrics, load))))
        background += [
            asyncio.create_task(names.run(), name="name feed"),
            asyncio.create_task(Prober(aggregators, upstreams, clock).run(), name="prober of the aggregator"),
        ]
        lists.append(names.first_list())
    for task in background:
        task.add_done_callback(lambda done: _on_end(done, stop))
    with suppress(TimeoutError):
        async with asyncio.timeout(_FIRST_LIST):
            await asyncio.gather(*lists)
    loop = asyncio.get_running_loop()
    accepting = [await loop.create_server(server, sock=sock, backlog=_BACKLOG) for sock, server in ports]
    log.info(
        "gateway listens", bind=settings.bind, rack=settings.rack_url, aggregator=settings.aggregator_bind
    )
    await stop.wait()
    log.info("gateway stops")
    for port in accepting:
        port.close()
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    for _, server in ports:
        server.pre_shutdown()
    with suppress(TimeoutError):
        async with asyncio.timeout(2 * STOP + 0.1):
            await asyncio.gather(*(server.shutdown(STOP) for _, server in ports))
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
