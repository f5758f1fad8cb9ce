"""Which engine the rack manager runs on, and how a rack manager's own life touches what runs there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from clawbucket.clock import SystemClock
from clawbucket.ports import Engine
from clawbucket.settings import Settings, environment, variable_of
from rack.engines.local import LocalEngine
from rack.metrics import Metrics


def _nothing() -> None:
    """What runs is not this process' to end."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An engine that is not started yet, and what is done with it besides what the port offers.

    ``start`` raises EngineDown, Locked or OSError with a sentence. ``ping`` says whether the engine here
    does its part, ``reach`` whether what it stands on answers; both raise EngineDown. ``end`` is for SIGTERM,
    ``cut`` for the lifeline's end.
    """

    engine: Engine
    start: Callable[[], None]
    ping: Callable[[], None]
    reach: Callable[[], None]
    end: Callable[[], None]
    cut: Callable[[], None]


def choose(
    settings: Settings, metrics: Metrics, url: str, command: Sequence[str], nursery: Sequence[str]
) -> Chosen:
    """The engine that the settings name.

    ``url`` is where replicas on this machine reach this program; ``command`` and ``nursery`` are what the
    local engine runs.
    """
    return (
        _swarm(settings, metrics)
        if settings.engine == "docker"
        else _local(settings, metrics, url, command, nursery)
    )


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
    engine = LocalEngine(
        rack=settings.label,
        command=command,
        environment=environment({variable_of("rack_url").name: url}),
        services=settings.swarm_services,
        replicas=settings.replicas,
        nodes=settings.nodes,
        state_dir=settings.state_dir,
        clock=SystemClock(),
        metrics=metrics,
        run_id=settings.run_id,
        lifeline_fd=settings.lifeline_fd,
        nursery=nursery,
    )
    return Chosen(engine, engine.start, engine.ping, engine.ping, engine.shut_down, engine.kill_all)
