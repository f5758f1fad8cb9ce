"""``claw swarm up``: build, make secrets, deploy, and wait until everything runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from clawbucket.cli import swarm_image, swarm_preflight, swarm_progress, swarm_secrets, swarm_stack
from clawbucket.cli.announce import Terminal
from clawbucket.cli.children import ROOT
from clawbucket.cli.docker_cli import Docker, DockerFailed
from clawbucket.cli.options import PORT, Setting, operators_token
from clawbucket.cli.ports_check import Wanted
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.swarm_options import (
    NAME,
    docker_here,
    name_option,
    reach_option,
    secrets_prefix,
    silent,
    urls,
)
from clawbucket.cli.swarm_preflight import Manager
from clawbucket.cli.swarm_progress import Outcome, View, complaints
from clawbucket.cli.swarm_secrets import Made
from clawbucket.settings import Settings, environment, variable_of

STACK_FILE = ROOT / "docker-stack.yml"
DEFAULT_OLLAMA = 11434
"""As docker-stack.yml publishes it."""
_DEPLOY = 120.0
"""Seconds; docker asks the registry for each image that it has not asked for before."""
_ATTEMPTS = 3
"""Of one deploy, where the rack manager changed a service in the same moment."""
_WIDE = 120


@click.command(short_help="Build, deploy and wait until everything runs.", epilog="""
\b
Examples:
  ./claw swarm up
  ./claw swarm up --build --replicas 5 --no-ollama
  ./claw swarm up --image registry.example/clawbucket:1 --token-file token.txt
  ./claw swarm up --name other --port 9000 --aggregator-port 9010
""")  # fmt: skip
@name_option
@click.option(
    "--port", type=PORT, default=8080, show_default=True, metavar="PORT", envvar="CLAWBUCKET_PORT",
    help="The dashboard and the API, on every node.",
)  # fmt: skip
@click.option(
    "--aggregator-port", type=PORT, default=8090, show_default=True, metavar="PORT",
    envvar="CLAWBUCKET_AGGREGATOR_PORT", help="The aggregator's scoreboard, on every node.",
)  # fmt: skip
@click.option("--label", type=Setting("label", "text"), help="The rack's name on its page.  [default: BOT 1]")
@click.option(
    "--replicas", type=Setting("replicas", "count"), help="Replicas of each service, 1 to 20.  [default: 3]"
)
@click.option(
    "--image", metavar="NAME", envvar="CLAWBUCKET_IMAGE",
    help=f"An image that is here or can be pulled.  [default: {swarm_image.DEFAULT}, built from this clone]",
)  # fmt: skip
@click.option(
    "--build/--no-build",
    default=None,
    help="Build it even if it is there, or never.  [default: if it is missing]",
)
@click.option("--python-image", metavar="NAME", help="What to build it from: the Dockerfile's PYTHON_IMAGE.")
@click.option(
    "--build-arg", "build_args", metavar="NAME=VALUE", multiple=True,
    help="Another argument of the Dockerfile; as often as need be.",
)  # fmt: skip
@click.option(
    "--no-pull", is_flag=True, help="Run the images that the engine has; ask no registry for newer."
)
@click.option(
    "--ollama/--no-ollama",
    default=None,
    help="Whether the stack has an Ollama of its own.  [default: it has]",
)
@click.option(
    "--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A file with the token that changes must show.  [default: a new one, shown once]",
)  # fmt: skip
@click.option("--no-secrets", is_flag=True, help="Make no secrets: refuse to begin where one is missing.")
@click.option(
    "--file", "files", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
    metavar="FILE", help="A stack file that is laid over docker-stack.yml; as often as need be.",
)  # fmt: skip
@click.option(
    "--timeout", type=click.FloatRange(1, 3600), default=300.0, show_default=True, metavar="SECONDS",
    help="How long to wait until everything runs.",
)  # fmt: skip
@reach_option
def up(name: str, **options: Any) -> None:
    """Deploy the rack as a stack, wait until everything runs, and print where it is.

    The image is built and the three secrets are made where they are missing. Typed again, it brings the
    stack to what is asked for now; what has not changed goes on running. Environment variables that
    docker-stack.yml names hold where no option is given. The exit status is 1 when something does not run;
    the stack stays, and Swarm goes on trying.
    """
    begun = time.monotonic()
    docker = docker_here()
    told = _variables(name, options)
    token, files = operators_token(options["token_file"]), (STACK_FILE, *options["files"])
    manager = swarm_preflight.manager(docker, options["reach"])
    known = swarm_stack.look(docker, name)
    swarm_preflight.check_ports(docker, manager, _ports(options), own=known.ports if known else frozenset())
    prefix = secrets_prefix(name)
    missing = swarm_secrets.missing(
        docker, prefix, replace=options["token_file"] is not None, make=not options["no_secrets"]
    )
    told["CLAWBUCKET_IMAGE"] = _image(docker, options, manager)
    if manager.socket_path and not environment({}).get("DOCKER_SOCKET"):
        told["DOCKER_SOCKET"] = manager.socket_path
    made = swarm_secrets.make(docker, prefix, missing, token)
    outcome: Outcome | None = None
    try:
        if made.names:
            click.echo(f"secrets made: {', '.join(made.names)}")
        resolve = "never" if options["no_pull"] else "changed"
        _deploy(docker, name, files, told, resolve=resolve, registry=bool(options["image"]))
        outcome = _wait(docker, manager, name, known.task_ids if known else frozenset(), options["timeout"])
    finally:  # whatever became of the stack, this is told nowhere else
        _tell_token(made)
    if outcome is None:
        raise Refusal(f"the stack {name} was taken away meanwhile", 1)
    _conclude(docker, manager, name, outcome, time.monotonic() - begun)


def _variables(name: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The stack file's variables as the options have them. BadSetting where one in the environment is bad."""
    here = environment({})
    checked = [variable_of(setting).name for setting in ("label", "replicas", "sse_clients", "log_format")]
    Settings.from_env({variable: here[variable] for variable in checked if variable in here})
    told = {
        "CLAWBUCKET_PORT": str(options["port"]),
        "CLAWBUCKET_AGGREGATOR_PORT": str(options["aggregator_port"]),
        "CLAWBUCKET_SECRETS": secrets_prefix(name),
    }
    if options["label"] is not None:
        told["DASHBOARD_BOT_LABEL"] = options["label"]
    if options["replicas"] is not None:
        told["CLAWBUCKET_REPLICAS"] = str(options["replicas"])
    if options["ollama"] is not None:
        told["OLLAMA_REPLICAS"] = "1" if options["ollama"] else "0"
    return told


def _ports(options: Mapping[str, Any]) -> list[Wanted]:
    """What the stack publishes on every node; Ollama's where it has one."""
    here = environment({})
    wanted = [
        Wanted(options["port"], "dashboard", "--port"),
        Wanted(options["aggregator_port"], "aggregator", "--aggregator-port"),
    ]
    has_ollama = options["ollama"]
    if has_ollama is None:
        has_ollama = here.get("OLLAMA_REPLICAS") != "0"
    if has_ollama:
        try:
            port = int(here.get("OLLAMA_PORT") or DEFAULT_OLLAMA)
        except ValueError:
            raise Refusal(f"OLLAMA_PORT takes a port; {here['OLLAMA_PORT'][:80]!r} is not that") from None
        wanted.append(
            Wanted(port, "Ollama", "OLLAMA_PORT, or do without one of the stack's own: --no-ollama")
        )
    return wanted


def _image(docker: Docker, options: Mapping[str, Any], manager: Manager) -> str:
    arguments = list(options["build_args"])
    if options["python_image"]:
        arguments.append(f"PYTHON_IMAGE={options['python_image']}")
    for argument in arguments:
        if not argument.partition("=")[1]:
            raise Refusal(f"--build-arg takes NAME=VALUE; {argument[:80]!r} is not that")
    console = Console(highlight=False)
    with ExitStack() as held:
        tell: Callable[[str], None] = click.echo
        if console.is_terminal:
            shown = held.enter_context(console.status("the image"))

            def tell(line: str) -> None:
                shown.update(Text(line[:_WIDE], overflow="ellipsis", no_wrap=True))

        name = swarm_image.provide(
            docker, options["image"] or swarm_image.DEFAULT, ours=not options["image"],
            build=options["build"], arguments=arguments, tell=tell,
        )  # fmt: skip
    if manager.nodes > 1 and name != options["image"]:
        click.echo(
            f"claw: {name} is on this node only, of {manager.nodes}; bring it to the others (docker save "
            f"{name} | ssh NODE docker load), or push it to a registry and say so with --image",
            err=True,
        )
    return name


def _deploy(
    docker: Docker,
    name: str,
    files: tuple[Path, ...],
    told: Mapping[str, str],
    *,
    resolve: str,
    registry: bool,
) -> None:
    """``docker stack deploy``; services that a file no longer has are taken away."""
    words = ["stack", "deploy", "--prune", "--resolve-image", resolve]
    if registry:
        words.append("--with-registry-auth")
    for file in files:
        words += ["--compose-file", str(file)]
    click.echo(f"deploying the stack {name}")
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            docker.ask(*words, name, within=_DEPLOY, also=told)
        except DockerFailed as failed:
            if "update out of sequence" in failed.said and attempt < _ATTEMPTS:
                continue
            shown = " and ".join(str(file) for file in files)
            raise Refusal(
                f"{failed}; mend {shown} or the variables named there (git checkout {STACK_FILE.name} "
                "brings it back as it was)",
                1,
            ) from None
        else:
            return


def _wait(
    docker: Docker, manager: Manager, name: str, before: frozenset[str], within: float
) -> Outcome | None:
    console = Console(highlight=False)
    try:
        with View(console) as view:
            return swarm_progress.wait(
                lambda: swarm_stack.look(docker, name),
                lambda stack: silent(urls(docker, manager, stack)),
                view,
                before=before,
                within=within,
            )
    except KeyboardInterrupt:
        raise Refusal(
            "stopped waiting; the stack goes on: ./claw swarm status tells how far it is", 130
        ) from None


def _tell_token(made: Made) -> None:
    if made.token is None:
        return
    click.echo(
        f"changes ask for this token, which is shown this once and can be read nowhere:  {made.token}",
        err=True,
    )


def _conclude(docker: Docker, manager: Manager, name: str, outcome: Outcome, seconds: float) -> None:
    """Say where everything is, or what did not converge. SystemExit with status 1 in the latter case."""
    more = "" if name == NAME else f" --name {name}"
    if not outcome.waits_for:
        running = sum(service.running for service in outcome.stack.services)
        rows = [*urls(docker, manager, outcome.stack).items(), ("stack", name)]
        if manager.nodes > 1:
            rows.append(("nodes", f"{manager.nodes}; each answers at both ports"))
        hint = (
            "" if manager.reach else f"./claw swarm status, logs, down{more}"
        )  # whoever deploys has its own
        Terminal().addresses(f"{running} tasks running after {seconds:.1f} s", rows, hint)
        return
    for line in complaints(outcome.stack):
        click.echo(line, err=True)
    if outcome.stack.converged:
        click.echo(f"everything runs, but {outcome.waits_for} does not say that it is ready", err=True)
    if any(service.given_up for service in outcome.stack.services):
        why = "this version was given up"
    elif outcome.hopeless:
        why = f"not everything comes to run (given up after {seconds:.0f} s; Swarm goes on trying)"
    else:
        why = f"not everything runs after {seconds:.0f} s (Swarm goes on trying)"
    raise Refusal(f"{why}; look closer with ./claw swarm status{more} and ./claw swarm logs{more}", 1)
