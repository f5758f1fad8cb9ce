"""``claw up``: a whole rack in one terminal."""

from __future__ import annotations

import os
import secrets
import socket
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from clawbucket.cli import plan, ports_check, provision, rundir
from clawbucket.cli.announce import Json, Terminal, Voice
from clawbucket.cli.launcher import Launcher, new_run_id
from clawbucket.cli.options import PORT, Replicas, Setting
from clawbucket.cli.plan import Published, Rack
from clawbucket.cli.ports_check import Wanted
from clawbucket.cli.readiness import Progress, Readiness
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Mark, Run, RunDir
from clawbucket.clock import SystemClock
from clawbucket.lifeline import exit_now, watch
from clawbucket.settings import Settings, environment, is_set

SERVICES = ("clawbucket_clawbucket", "clawbucket_clawbucket-b")
"""As docker-stack.yml has them (CONTRACT, section 5)."""


@click.command(short_help="Run a whole rack here until Ctrl-C.", epilog="""
\b
Examples:
  ./claw up
  ./claw up --port 9000 --aggregator-port 9010 --label "BOT 7"
  ./claw up --replicas 5 --services clawbucket_clawbucket --nodes 3
  ./claw up --engine sim --replicas 500 --nodes 3
  ./claw up --peer http://127.0.0.1:9000 --peer-key-file key
  MEMCACHED_HOST=10.0.0.5 ./claw up --log-format json
""")  # fmt: skip
@click.option(
    "--port", type=PORT, default=8080, show_default=True, metavar="PORT", help="The dashboard and the API."
)
@click.option(
    "--aggregator-port",
    type=PORT,
    default=8090,
    show_default=True,
    metavar="PORT",
    help="The aggregator's scoreboard.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where both listen; 0.0.0.0 lets other machines in.",
)
@click.option("--label", type=Setting("label", "text"), help="The rack's name on its page.  [default: BOT 1]")
@click.option(
    "--replicas", type=Replicas(), help="Replicas of each service, 1 to 20 (sim: to 10000).  [default: 3]"
)
@click.option(
    "--engine", type=click.Choice(["local", "sim"]), default=None,
    help="local: a process a trooper; sim: thousands of them, packed into a few.  [default: local]",
)  # fmt: skip
@click.option(
    "--services",
    type=Setting("swarm_services", "names"),
    help=f"Services, with commas between; the first leads.  [default: {','.join(SERVICES)}]",
)
@click.option(
    "--nodes",
    type=Setting("nodes", "count"),
    help="Nodes that the rack pretends to have, 1 to 5.  [default: 1]",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the token that changes must show.  [default: none is asked for]",
)
@click.option(
    "--peer", "peer_url", type=Setting("peer_url", "url"), metavar="URL",
    help="The dashboard of the rack that troopers can go to.  [default: there is none]",
)  # fmt: skip
@click.option(
    "--peer-key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A file with what both racks share.",
)  # fmt: skip
@click.option(
    "--log-format",
    type=click.Choice(["console", "json"]),
    default=None,
    help="Lines for a person or JSON for a machine.  [default: console]",
)
@click.option(
    "--lifeline", type=int, default=None, hidden=True,
    help="A pipe's read end: end when nobody holds the other any more (./claw racks).",
)  # fmt: skip
def up(port: int, aggregator_port: int, host: str, lifeline: int | None, **options: Any) -> None:
    """Run a whole rack here until Ctrl-C.

    Starts a private memcached, the rack manager with its troopers, the gateway and the aggregator, waits
    until all of them run, and prints where they are. What dies is started again. Ctrl-C ends everything
    within three seconds; a second one at once. Environment variables (README, "Settings") hold where no
    option is given; with MEMCACHED_HOST set, that memcached is used.
    """
    watch(lifeline, exit_now)
    settings, options = _settings(options)
    voice: Voice = Json() if settings.log_format == "json" else Terminal()
    directory = RunDir(rundir.home(settings.home) / str(port))
    live = directory.live()
    if live:
        raise Refusal(
            f"a rack runs on port {port} already (pid {live.launcher.pid}); end it with ./claw down "
            f"--port {port}, or choose another port with --port"
        )
    wanted = (
        Wanted(port, "dashboard", "--port"),
        Wanted(aggregator_port, "aggregator", "--aggregator-port"),
    )
    with ExitStack() as held:
        listeners = [held.enter_context(taken) for taken in ports_check.take(host, wanted)]
        published = [
            Published(port.port, listener.fileno(), ports_check.as_url(host, port.port))
            for port, listener in zip(wanted, listeners, strict=True)
        ]
        rack = _rack(settings, directory, published, held, voice)
        code = _run(rack, options, host, listeners, voice, _started())
    raise SystemExit(code)


def _settings(options: dict[str, Any]) -> tuple[Settings, dict[str, Any]]:
    """What holds: options before the environment before defaults. BadSetting names what is wrong."""
    for name in ("token_file", "peer_key_file"):
        options[name] = plan.absolute(options[name])
    if options["services"] is None and not is_set("swarm_services"):
        options["services"] = SERVICES
    options["swarm_services"] = options.pop("services")
    options = {name: value for name, value in options.items() if value is not None}
    return Settings.from_env(environment(plan.chosen(options))), options


def _started() -> float:
    """When the command was begun, on the monotonic clock (clawbucket/__main__.py)."""
    begun = click.get_current_context().obj
    return begun if isinstance(begun, float) else time.monotonic()


def _rack(
    settings: Settings, directory: RunDir, published: list[Published], held: ExitStack, voice: Voice
) -> Rack:
    """Provide the memcached and what is needed to start; ``held`` lets go of it."""
    binary: str | None = None
    host, port = settings.memcached_host, settings.memcached_port
    if is_set("memcached_host"):
        provision.ask_memcached(host, port)
    else:
        binary = provision.memcached(voice.say)
        host, port = ports_check.LOOPBACK, held.enter_context(ports_check.reserved())
    lifeline, only_here = os.pipe()
    held.callback(os.close, lifeline)
    held.callback(os.close, only_here)  # close-on-exec, so that no child ever has this end
    return Rack(
        settings=settings,
        directory=directory,
        run_id=new_run_id(),
        gateway=published[0],
        aggregator=published[1],
        rack_port=held.enter_context(ports_check.reserved()),
        memcached=binary,
        memcached_host=host,
        memcached_port=port,
        lifeline=lifeline,
    )


def _run(
    rack: Rack,
    options: dict[str, Any],
    host: str,
    listeners: list[socket.socket],
    voice: Voice,
    begun: float,
) -> int:
    settings = rack.settings
    token = secrets.token_hex(32)
    rack.directory.prepare(token)
    urls = {"dashboard": rack.gateway.url, "aggregator": rack.aggregator.url}
    private = "private" if rack.memcached else "yours"
    run = Run(
        launcher=Mark.of(os.getpid()),
        run_id=rack.run_id,
        label=settings.label,
        started_at=SystemClock().iso(),
        port=rack.gateway.port,
        urls=urls,
        rack_url=rack.rack_url,
        memcached=f"{rack.memcached_host}:{rack.memcached_port} ({private})",
        services=settings.swarm_services,
    )
    rack.directory.write(run)
    readiness = Readiness(
        rack.rack_url,
        token,
        dict.fromkeys(settings.swarm_services, settings.replicas),
        {"gateway": rack.gateway.url, "aggregator": rack.aggregator.url},
    )

    def tell_addresses(progress: Progress) -> None:
        title = f"{progress.running} troopers running after {time.monotonic() - begun:.1f} s"
        rows = [
            *urls.items(),
            ("rack", rack.rack_url),
            ("memcached", run.memcached),
            ("logs", str(rack.directory.logs)),
        ]
        hint = "Ctrl-C ends everything. In another terminal: ./claw status, scale, logs, down"
        voice.addresses(title, rows, hint)
        if not ports_check.is_loopback(host) and settings.token is None:
            voice.say(
                f"--host {host} lets every machine near change this rack; --token-file asks for a token",
                "warning",
            )

    def close_listeners() -> None:
        for listener in listeners:
            listener.close()

    names = ", ".join(f"{settings.replicas} of {name}" for name in settings.swarm_services)
    voice.say(f"starting {settings.label}: {names}", label=settings.label)
    launcher = Launcher(
        plan.programs(rack, options),
        run=replace(run),
        directory=rack.directory,
        voice=voice,
        ready=readiness.look,
        on_ready=tell_addresses,
        before_stop=close_listeners,
    )
    return launcher.run()
