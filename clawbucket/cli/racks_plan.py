"""Several racks on one machine: their names, ports and peers, and the launcher that each is run by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from clawbucket.cli import plan, ports_check
from clawbucket.cli.children import Program, ours
from clawbucket.cli.ports_check import Wanted
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import RunDir
from clawbucket.settings import Settings, is_set

FEWEST, MOST = 2, 5
FIRST_PORT = 18_080
"""The dashboard of rack 1; the others are as CONTRACT, section 5, has them."""
TO_AGGREGATOR = 10
TO_NEXT = 10_000
_HIGHEST = 65_535
_OPTIONS = {
    "host": "--host",
    "replicas": "--replicas",
    "services": "--services",
    "log_format": "--log-format",
}
"""What is passed on to every launcher as it was typed."""


class RacksDir(RunDir):
    """The run directory of the launcher of launchers, beside those of the racks.

    ``prepare`` is given the key that all racks share in the place of a rack manager's token.
    """

    @property
    def token_file(self) -> Path:
        """What racks that hand troopers over share; readable by its owner alone."""
        return self.path / "peer-key"


def directory(home: Path) -> RacksDir:
    """Where it is. No rack's: those are called after their ports."""
    return RacksDir(home / "racks")


@dataclass(frozen=True, slots=True)
class Side:
    """One rack of several: ``name`` is what its peers call it, ``label`` what its page does."""

    name: str
    label: str
    port: int
    aggregator_port: int
    url: str
    aggregator_url: str


def sides(count: int, first_port: int, host: str = ports_check.LOOPBACK) -> tuple[Side, ...]:
    """So many racks. Refusal where the last one's ports would be none."""
    last = first_port + (count - 1) * TO_NEXT + TO_AGGREGATOR
    if last > _HIGHEST:
        most = _HIGHEST - last + first_port
        raise Refusal(
            f"--first-port takes at most {most} with {count} racks, whose ports are {TO_NEXT} apart"
        )
    return tuple(_side(number, first_port + (number - 1) * TO_NEXT, host) for number in range(1, count + 1))


def _side(number: int, port: int, host: str) -> Side:
    return Side(
        name=f"rack-{number}",
        label=f"Machine Rack {number}",
        port=port,
        aggregator_port=port + TO_AGGREGATOR,
        url=ports_check.as_url(host, port),
        aggregator_url=ports_check.as_url(host, port + TO_AGGREGATOR),
    )


def wanted(racks: Sequence[Side]) -> list[Wanted]:
    """The ports of all of them, and what chooses others."""
    return [
        Wanted(port, f"{side.name}'s {whose}", "--first-port")
        for side in racks
        for port, whose in ((side.port, "dashboard"), (side.aggregator_port, "scoreboard"))
    ]


def peers(side: Side, racks: Sequence[Side]) -> dict[str, str]:
    """The other racks of this one, by the names that it has for them: one is called ``peer``, as ever."""
    others = [other for other in racks if other != side]
    if len(others) == 1:
        return {"peer": others[0].url}
    return {other.name: other.url for other in others}


def launcher(
    side: Side,
    racks: Sequence[Side],
    *,
    settings: Settings,
    options: Mapping[str, object],
    where: RacksDir,
    run_id: str,
    lifeline: int,
) -> Program:
    """``./claw up`` for one of the racks, as what a launcher supervises.

    ``settings`` are those of the person, ``options`` those that were given, by the names of ``_OPTIONS``.
    """
    typed = [
        "--port", str(side.port), "--aggregator-port", str(side.aggregator_port), "--label", side.label,
        "--lifeline", str(lifeline),
    ]  # fmt: skip
    for name, option in _OPTIONS.items():
        if (value := options.get(name)) is not None:
            typed += [option, ",".join(value) if isinstance(value, tuple) else str(value)]
    return Program(
        name=side.name,
        command=(*ours("clawbucket"), "up", *typed),
        environment=plan.environment_with(_settings(side, racks, settings, options, where, run_id)),
        log_file=where.logs / f"{side.name}.log",
        place=f"port {side.port}",
        fds=(lifeline,),
    )


def _settings(
    side: Side,
    racks: Sequence[Side],
    settings: Settings,
    options: Mapping[str, object],
    where: RacksDir,
    run_id: str,
) -> dict[str, object]:
    known = peers(side, racks)
    several = ",".join(f"{name}={url}" for name, url in known.items())
    snapshots = settings.revolt_snapshot_dir.absolute() / side.name if is_set("revolt_snapshot_dir") else ""
    return {
        "run_id": run_id,
        "home": where.path.parent,
        "memcached_host": "",  # a rack has a bus of its own: on a shared one they would be one rack
        "peer_url": known.get("peer", ""),
        "peers": "" if "peer" in known else several,
        "revolt_snapshot_dir": snapshots,
        "token_file": _file("token", options.get("token_file"), settings.token_file),
        "peer_key_file": _file("peer_key", None, settings.peer_key_file)
        or (None if is_set("peer_key") else where.token_file),
    }


def _file(secret: str, given: object, found: Path | None) -> Path | None:
    """Where a secret is read from; None where there is none, or where the variable itself holds it.

    Absolute: the launchers run in the clone, not where the person typed.
    """
    if isinstance(given, Path):
        return given.absolute()
    return None if is_set(secret) else plan.absolute(found)
