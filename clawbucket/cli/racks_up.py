"""Starting several racks: a launcher of launchers, each of which runs one rack as ``./claw up`` does."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from clawbucket.cli import plan, ports_check, provision, racks_end, racks_plan, rundir
from clawbucket.cli.announce import Json, Terminal, Voice
from clawbucket.cli.launcher import Launcher, new_run_id
from clawbucket.cli.racks_plan import RacksDir, Side
from clawbucket.cli.readiness import Progress
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Mark, Run, RunDir
from clawbucket.cli.supervisor import Ending
from clawbucket.clock import SystemClock
from clawbucket.settings import Settings, environment

START_BUDGET = 240.0
"""Seconds until every rack must have run once: some 20 for five of them on two cores."""
ENDING = Ending(last_told=0.0, killed=5.0, given_up=6.5)
"""A launcher ends its own rack in three seconds, and then looks for what is left of it."""

_HINT = "Ctrl-C ends all of them. In another terminal: ./claw racks status, ./claw racks down"


def run(count: int, first_port: int, host: str, options: Mapping[str, object], begun: float) -> int:
    """Run so many racks until told to end; the exit status. Nothing of them runs afterwards."""
    settings = Settings.from_env(environment(plan.chosen(_of_settings(options))))
    voice: Voice = Json() if settings.log_format == "json" else Terminal()
    racks = racks_plan.sides(count, first_port, host)
    where = racks_plan.directory(rundir.home(settings.home))
    live = where.live()
    if live:
        raise Refusal(
            f"{len(live.urls)} racks run already (pid {live.launcher.pid}); end them with ./claw racks down"
        )
    for listener in ports_check.take(host, racks_plan.wanted(racks)):
        listener.close()  # they are free; each launcher takes its own
    provision.memcached(voice.say)  # once for all, and not by several at a time
    where.prepare(None if settings.peer_key is not None else secrets.token_hex(32))
    with ExitStack() as held:
        lifeline, only_here = os.pipe()
        held.callback(os.close, lifeline)
        held.callback(os.close, only_here)  # close-on-exec, so that no launcher ever has this end
        code = _run(racks, settings, {**options, "host": host}, host, where, voice, lifeline, begun)
    racks_end.sweep(where.path.parent, racks)
    return code


def _of_settings(options: Mapping[str, object]) -> dict[str, object]:
    """The options by the names of the settings that they stand for."""
    return {"swarm_services" if name == "services" else name: value for name, value in options.items()}


def _run(
    racks: Sequence[Side],
    settings: Settings,
    options: Mapping[str, object],
    host: str,
    where: RacksDir,
    voice: Voice,
    lifeline: int,
    begun: float,
) -> int:
    run_id = new_run_id()
    account = Run(
        launcher=Mark.of(os.getpid()),
        run_id=run_id,
        label=f"{len(racks)} racks",
        started_at=SystemClock().iso(),
        port=racks[0].port,
        urls={side.name: side.url for side in racks},
        rack_url="",
        memcached="",
        services=settings.swarm_services,
    )
    where.write(account)

    def tell_addresses(progress: Progress) -> None:
        title = f"{progress.running} racks running after {time.monotonic() - begun:.1f} s"
        voice.addresses(title, [*rows(racks), ("logs", str(where.logs))], _HINT)
        if not ports_check.is_loopback(host) and settings.token is None:
            voice.say(
                f"--host {host} lets every machine near change these racks; --token-file asks for a token",
                "warning",
            )

    voice.say(f"starting {len(racks)} racks: {', '.join(side.label for side in racks)}")
    return Launcher(
        [
            racks_plan.launcher(
                side, racks, settings=settings, options=options, where=where, run_id=run_id, lifeline=lifeline
            )
            for side in racks
        ],
        run=account,
        directory=where,
        voice=voice,
        ready=lambda: progress(where, racks),
        on_ready=tell_addresses,
        before_stop=lambda: None,
        start_budget=START_BUDGET,
        ending=ENDING,
    ).run()


def rows(racks: Sequence[Side]) -> list[tuple[str, str]]:
    """Where everything is, a line each."""
    return [
        row
        for number, side in enumerate(racks, 1)
        for row in ((f"dashboard {number}", side.url), (f"scoreboard {number}", side.aggregator_url))
    ]


def progress(where: RacksDir, racks: Sequence[Side]) -> Progress:
    """How many racks run in full, by what their launchers wrote down."""
    found = [(side, RunDir(where.path.parent / str(side.port)).live()) for side in racks]
    late = [side.name for side, account in found if account is None or not account.ready]
    return Progress(len(racks) - len(late), len(racks), " and ".join(late))
