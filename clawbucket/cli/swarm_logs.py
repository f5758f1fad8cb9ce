"""``claw swarm logs``: what the tasks of a stack wrote, on whatever node."""

from __future__ import annotations

import re
import selectors
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field

import click

from clawbucket.cli import swarm_preflight
from clawbucket.cli.docker_cli import Begun, Docker
from clawbucket.cli.names import label
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.swarm_options import docker_here, name_option, stack_named
from clawbucket.cli.swarm_stack import Stack, alias

_BUDGET = 30.0
"""Seconds for what is there already; a node that is down says nothing and holds its tasks' logs back."""
_FORM = re.compile(r"(\S+) (\S+)@(\S+) +\| ?(.*)")
"""``docker service logs --timestamps --no-trunc``: moment, task's name, node and the line."""
_CHUNK = 65_536
_LONGEST = 1_048_576
"""Bytes of one line; a longer one comes in parts."""
_SHORTEST_ID = 3
_COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")


@click.command(short_help="Show what the stack's tasks wrote.", epilog="""
\b
Examples:
  ./claw swarm logs                      the last 50 lines of everything
  ./claw swarm logs -f gateway           what the gateways write, as they do
  ./claw swarm logs clawbucket-b.2       whoever is or was in slot 2 of it
  ./claw swarm logs 7mid1                one task, by the beginning of its id
""")  # fmt: skip
@click.argument("which", metavar="[TASK|SERVICE]", required=False)
@name_option
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C, or until the stack is gone.")
@click.option(
    "-n", "--lines", type=click.IntRange(0, 100_000), default=50, metavar="COUNT",
    help="Lines to begin with.  [default: 50]",
)  # fmt: skip
def logs(which: str | None, name: str, follow: bool, lines: int) -> None:
    """Show what the stack's tasks wrote, on all nodes.

    Without an argument everything is shown, each line behind the name of who wrote it.
    """
    docker = docker_here()
    swarm_preflight.manager(docker)
    stack = stack_named(docker, name)
    targets = sources(stack, which)
    if not targets:
        known = ", ".join(alias(service.name, name) for service in stack.services)
        raise Refusal(f"no service or task {which!r} in the stack {name}; there are {known}")
    try:
        begin = _read(docker, [["--tail", str(lines), target] for target in targets])
        show(sorted(begin)[-lines:] if lines else [])
        if follow:
            _follow(docker, targets)
    except KeyboardInterrupt:
        return


def sources(stack: Stack, which: str | None) -> list[str]:
    """The services or tasks that an argument means, as ``docker service logs`` takes them."""
    if which is None:
        return [service.name for service in stack.services if service.tasks]
    service = stack.service(which)
    if service is not None:
        return [service.name]
    return [
        task.id
        for service in stack.services
        for task in service.tasks
        if which in {f"{service.name}.{task.place}", task.slot, task.label}
        or (len(which) >= _SHORTEST_ID and task.id.startswith(which))
    ]


@dataclass(order=True, frozen=True, slots=True)
class Entry:
    """One line and its moment (as the node's clock had it), in the order in which they are shown."""

    moment: str
    source: str
    text: str


def understood(line: str) -> Entry:
    """A line as docker prints it. What has another form is docker's own complaint."""
    found = _FORM.fullmatch(line)
    if found is None:
        return Entry("", "docker", line)
    name = found[2].replace(".0.", f".{found[3]}.", 1)  # of a service with one task on every node
    return Entry(found[1], label(name), found[4])


def show(entries: Iterable[Entry]) -> None:
    """Each behind its name."""
    for entry in entries:
        colour = _COLOURS[sum(map(ord, entry.source)) % len(_COLOURS)]
        click.echo(f"{click.style(f'{entry.source:>22}', fg=colour)} {entry.text}")


@dataclass(slots=True)
class Pipe:
    """One ``docker service logs`` and what of its last line has come so far."""

    call: Begun
    rest: bytes = field(default=b"")

    def read(self) -> tuple[list[Entry], bool]:
        """The lines that are whole now, and whether there may be more."""
        found = self.call.output.read1(_CHUNK)
        *lines, self.rest = (self.rest + found).split(b"\n")
        if self.rest and (not found or len(self.rest) > _LONGEST):
            lines.append(self.rest)
            self.rest = b""
        return [understood(line.decode("utf-8", "replace").rstrip("\r")) for line in lines if line], bool(
            found
        )


def _read(docker: Docker, calls: list[list[str]]) -> list[Entry]:
    """What is there already."""
    deadline = time.monotonic() + _BUDGET
    entries: list[Entry] = []
    with ExitStack() as held, selectors.DefaultSelector() as waiting:
        _start(docker, calls, held, waiting)
        while waiting.get_map():
            events = waiting.select(max(0.0, deadline - time.monotonic()))
            if not events:
                click.echo(f"claw: some nodes did not tell their logs within {_BUDGET:.0f} s", err=True)
                break
            for key, _ in events:
                found, more = key.data.read()
                entries += found
                if not more:
                    waiting.unregister(key.fileobj)
    return entries


def _follow(docker: Docker, targets: list[str]) -> None:
    """What comes from now on, as it comes."""
    calls = [["--follow", "--tail", "0", target] for target in targets]
    with ExitStack() as held, selectors.DefaultSelector() as waiting:
        _start(docker, calls, held, waiting)
        while waiting.get_map():
            for key, _ in waiting.select():
                found, more = key.data.read()
                show(found)
                if not more:
                    waiting.unregister(key.fileobj)


def _start(docker: Docker, calls: list[list[str]], held: ExitStack, waiting: selectors.BaseSelector) -> None:
    """Begin them; ``held`` ends them."""
    for call in calls:
        begun = docker.start("service", "logs", "--timestamps", "--no-trunc", *call)
        held.callback(begun.output.close)
        held.callback(begun.end)
        waiting.register(begun.output, selectors.EVENT_READ, Pipe(begun))
