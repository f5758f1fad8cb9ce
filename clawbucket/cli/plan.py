"""Which programs make a rack, and what each finds in its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clawbucket.cli.children import ROOT, Program, guarded, ours
from clawbucket.cli.ports_check import LOOPBACK
from clawbucket.cli.provision import memcached_command
from clawbucket.cli.rundir import RunDir
from clawbucket.settings import Settings, environment, is_set, variable_of

OLLAMA = f"http://{LOOPBACK}:11434"
"""Where Ollama is on one's own machine, by its own default: taken where OLLAMA_URL is not set."""
_NOT_A_REPLICA = ("service_name", "swarm_node", "task_name", "task_slot", "task_id", "swarm_service")
"""Settings of a single replica: whoever starts a launcher from inside one does not mean them."""


@dataclass(frozen=True, slots=True)
class Published:
    """A published port: its listening socket, and where people reach it."""

    port: int
    fd: int
    url: str


@dataclass(frozen=True, slots=True)
class Rack:
    """All that was chosen for one rack. ``memcached`` is the binary; None: the person runs one."""

    settings: Settings
    directory: RunDir
    run_id: str
    gateway: Published
    aggregator: Published
    rack_port: int
    memcached: str | None
    memcached_host: str
    memcached_port: int
    lifeline: int

    @property
    def rack_url(self) -> str:
        """Where the rack manager's API is."""
        return f"http://{LOOPBACK}:{self.rack_port}"


def chosen(options: Mapping[str, object]) -> dict[str, str]:
    """Options (by the names of the settings) as the environment variables that mean the same."""
    given = {name: value for name, value in options.items() if value is not None}
    found = {
        variable_of(name).name: ",".join(value) if isinstance(value, tuple) else str(value)
        for name, value in given.items()
    }
    for secret in ("token", "peer_key"):  # what the environment says under this name would win over the file
        if f"{secret}_file" in given:
            found[variable_of(secret).name] = ""
    return found


def programs(rack: Rack, options: Mapping[str, object]) -> tuple[Program, ...]:
    """The programs, in the order in which they are started."""
    settings = rack.settings
    common = environment_with(
        {
            **options,
            **dict.fromkeys(_NOT_A_REPLICA, ""),
            "swarm_services": settings.swarm_services,
            "memcached_host": rack.memcached_host,
            "memcached_port": rack.memcached_port,
            "ollama_url": settings.ollama_url or OLLAMA,
            "label": settings.label,
            "rack_url": rack.rack_url,
            "aggregator_url": rack.aggregator.url,
            "rack_token": "",
            "rack_token_file": rack.directory.token_file,
            "engine": settings.engine,
            "replicas": settings.replicas,
            "nodes": settings.nodes,
            "state_dir": rack.directory.rack_state,
            "run_id": rack.run_id,
            "lifeline_fd": rack.lifeline,
            "log_format": settings.log_format,
            "revolt_snapshot_dir": snapshots(rack),
        }
    )

    def program(name: str, bind: str, place: str, *fds: int) -> Program:
        return Program(
            name=name,
            command=ours(name),
            environment={**common, variable_of("bind").name: bind},
            log_file=rack.directory.logs / f"{name}.log",
            place=place,
            fds=(rack.lifeline, *fds),
        )

    found = [
        program("rack", f"{LOOPBACK}:{rack.rack_port}", f"port {rack.rack_port}"),
        *(
            program(name, f"fd://{published.fd}", f"port {published.port}", published.fd)
            for name, published in (("gateway", rack.gateway), ("aggregator", rack.aggregator))
        ),
    ]
    if rack.memcached:
        memcached = Program(
            name="memcached",
            command=guarded(memcached_command(rack.memcached, rack.memcached_port), rack.lifeline),
            environment=environment_with({"run_id": rack.run_id}),
            log_file=rack.directory.logs / "memcached.log",
            place=f"port {rack.memcached_port}",
            fds=(rack.lifeline,),
            last=True,
        )
        found.insert(0, memcached)
    return tuple(found)


def snapshots(rack: Rack) -> Path:
    """Where handoffs keep their snapshots: the person's own choice, else this rack's and no other's."""
    return (
        rack.settings.revolt_snapshot_dir.absolute()
        if is_set("revolt_snapshot_dir")
        else rack.directory.revolt
    )


def environment_with(values: Mapping[str, object]) -> dict[str, str]:
    """What a program of ours finds in its environment: what this one found, and these settings."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    # PYTHONSAFEPATH: no module is taken from whatever directory a program runs in.
    return environment({**chosen(values), "PYTHONPATH": path, "PYTHONSAFEPATH": "1"})


def absolute(path: Path | None) -> Path | None:
    """A path that means the same to programs that run elsewhere."""
    return path.absolute() if path else None
