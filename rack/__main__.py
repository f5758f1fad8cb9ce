"""``python -m rack``: the rack manager, put together and run until SIGTERM.

On the local engine SIGTERM and SIGINT take the replicas down; a crash leaves them running, for the next
rack manager to take up; the lifeline's end kills them with everything else. On Docker Swarm the replicas
are Swarm's, and outlive this process however it ends.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Sequence

import structlog

from clawbucket import lifeline, logs
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.health import Health
from clawbucket.listening import listening_socket
from clawbucket.ports import EngineDown
from clawbucket.settings import BadSetting, Settings, variable_of
from rack.api import ApiServer, Wiring, create_api
from rack.engine_choice import Chosen, choose
from rack.engines.state_file import Locked
from rack.metrics import Metrics
from rack.observer import Observer

log = structlog.get_logger(__name__)

_LOOK = 1.0
"""Seconds between two looks at whether the engine's loop still turns."""
_PATIENCE = 3


APP = (sys.executable, "-m", "app")
NURSERY = (sys.executable, "-m", "app.nursery")


def main(command: Sequence[str] = APP, nursery: Sequence[str] = NURSERY) -> int:
    """Run the rack manager over replicas that run ``command``, or are forked from ``nursery``.

    0: it was told to stop; 1: its engine broke; 2: it cannot start as it is set.
    """
    try:
        settings = Settings.from_env()
        token = _token(settings)
        listener = listening_socket(settings.bind)
    except BadSetting as error:
        sys.stderr.write(f"rack: {error}\n")
        return 2
    logs.configure("rack", settings.log_format, settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clock, metrics = SystemClock(), Metrics()
    try:
        chosen = choose(settings, metrics, url_of(listener), command, nursery)
    except BadSetting as error:
        sys.stderr.write(f"rack: {error}\n")
        return 2
    engine = chosen.engine
    lifeline.watch(settings.lifeline_fd, lambda: _cut(chosen))
    try:
        chosen.start()
    except (Locked, EngineDown, OSError) as error:
        sys.stderr.write(f"rack: {error}\n")
        return 2
    bus = MemcachedBus(settings.memcached_host, settings.memcached_port)
    observer = Observer(engine, bus, clock, metrics, settings.label)
    metrics.watch(engine.calls, observer.latest)
    live, ready = Health(), Health()
    live.register("engine", chosen.ping)
    ready.register("engine", chosen.reach)
    ready.register("bus", bus.ping)
    observer.start()
    server = ApiServer(
        create_api(Wiring(engine, observer, metrics, live, ready, token, chosen.most)), listener
    )
    server.start()
    log.info("rack manager runs", url=url_of(listener), engine=settings.engine)
    broken = _wait(stop, chosen)
    ready.drain()
    if broken:
        engine.close()
        return 1
    log.info("rack manager stops")
    chosen.end()
    observer.stop()
    observer.publish()  # the last word: on the local engine, that nothing runs here any more
    engine.close()
    return 0


def url_of(listener: socket.socket) -> str:
    """Where programs on this machine reach the listening socket."""
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _token(settings: Settings) -> str:
    if settings.rack_token is None:
        name, file = variable_of("rack_token").name, variable_of("rack_token_file").name
        raise BadSetting(f"{name} or {file} must be set: whoever reaches the rack's API can end its replicas")
    return settings.rack_token


def _cut(chosen: Chosen) -> None:
    chosen.cut()
    lifeline.exit_now()


def _wait(stop: threading.Event, chosen: Chosen) -> bool:
    """Until told to stop (False) or until the engine is down (True).

    Down at one look may only mean that the whole process was stopped for a while and just woke up.
    """
    complaints = 0
    while not stop.wait(_LOOK):
        try:
            chosen.ping()
        except EngineDown as error:
            complaints += 1
            log.warning("engine is down", reason=str(error), looks=complaints)
            if complaints == _PATIENCE:
                return True
        else:
            complaints = 0
    return False


if __name__ == "__main__":
    # Everything is closed and saved; unwinding the interpreter and its threads would only cost 0.3 s more.
    lifeline.exit_now(main())
