"""Which engine the rack manager runs on, and how a rack manager's own life touches what runs there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from clawbucket.clock import SystemClock
from clawbucket.ports import Engine
from clawbucket.settings import MOST_PACKED, BadSetting, Settings, environment, variable_of
from rack.engines import slots
from rack.engines.local import LocalEngine
from rack.engines.sim import SimEngine
from rack.metrics import Metrics

WORKER = (sys.executable, "-m", "rack.packed")
"""The program into which the engine sim packs troopers."""


def _nothing() -> None:
    """What runs is not this process' to end."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An engine that is not started yet, and what is done with it besides what the port offers.

    ``start`` raises EngineDown, Locked or OSError with a sentence. ``ping`` says whether the engine here
    does its part, ``reach`` whether what it stands on answers; both raise EngineDown. ``end`` is for SIGTERM,
    ``cut`` for the lifeline's end. ``most`` is how many replicas of a service it takes.
    """

    engine: Engine
    start: Callable[[], None]
    ping: Callable[[], None]
    reach: Callable[[], None]
    end: Callable[[], None]
    cut: Callable[[], None]
    most: int = slots.MOST


def choose(
    settings: Settings, metrics: Metrics, url: str, command: Sequence[str], nursery: Sequence[str]
) -> Chosen:
    """The engine that the settings name.

    ``url`` is where replicas on this machine reach this program; ``command`` and ``nursery`` are what the
    local engine runs.
    """
    if settings.engine == "docker":
        return _swarm(settings, metrics)
    if settings.engine == "sim":
        return _sim(settings, metrics, url, command, nursery)
    return _local(settings, metrics, url, command, nursery)


def _swarm(settings: Settings, metrics: Metrics) -> Chosen:
    """Docker Swarm. Its tasks live and die by Swarm's hand, whatever becomes of this process."""
    # Docker's client takes 0.1 s to import, which a rack manager on the local engine would start later by.
    from rack.engines.docker import docker_engine  # noqa: PLC0415

    engine = docker_engine(
        settings.label, settings.swarm_services, settings.docker_host, SystemClock(), metrics
    )
    return Chosen(engine, engine.start, engine.ping, engine.reach, end=_nothing, cut=_nothing)


def _local(
    settings: Settings, metrics: Metrics, url: str, command: Sequence[str], nursery: Sequence[str]
) -> Chosen:
    """Processes of this machine, which end with this one unless it crashes."""
    engine = LocalEngine(**_on_this_machine(settings, metrics, url, command, nursery))
    return Chosen(engine, engine.start, engine.ping, engine.ping, engine.shut_down, engine.kill_all)


def _sim(
    settings: Settings, metrics: Metrics, url: str, command: Sequence[str], nursery: Sequence[str]
) -> Chosen:
    """Thousands of troopers, packed into a few processes of this machine. BadSetting."""
    for name in ("peer_url", "peers", "peer_key"):
        if getattr(settings, name):
            raise BadSetting(
                f"{variable_of(name).name} is set, and troopers of the engine sim cannot change racks: "
                "leave it out, or take the engine local"
            )
    engine = SimEngine(
        worker=WORKER,
        workers=settings.sim_workers,
        fronts=settings.sim_fronts,
        token=settings.rack_token or "",
        **_on_this_machine(settings, metrics, url, command, nursery),
    )
    ends = (engine.shut_down, engine.kill_all)
    return Chosen(engine, engine.start, engine.ping, engine.ping, *ends, most=MOST_PACKED)


def _on_this_machine(
    settings: Settings, metrics: Metrics, url: str, command: Sequence[str], nursery: Sequence[str]
) -> dict[str, Any]:
    """What an engine whose replicas are processes of this machine is made with."""
    return {
        "rack": settings.label,
        "command": command,
        "environment": environment({variable_of("rack_url").name: url}),
        "services": settings.swarm_services,
        "replicas": settings.replicas,
        "nodes": settings.nodes,
        "state_dir": settings.state_dir,
        "clock": SystemClock(),
        "metrics": metrics,
        "run_id": settings.run_id,
        "lifeline_fd": settings.lifeline_fd,
        "nursery": nursery,
    }
