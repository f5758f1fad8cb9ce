"""Waiting for a stack, and showing how far it is: a table that changes in a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clawbucket.cli.swarm_stack import Stack, StackService, alias

_HOPELESS = 4
"""Failures of one slot, while nothing of its service runs. Swarm keeps four ended tasks of a slot."""
_LOOK = 0.5
"""Seconds between two looks, beside the third of a second that one takes."""
_ERROR = 90


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the wait ended: ``waits_for`` in words (empty: for nothing) and the stack as it was last seen."""

    stack: Stack
    waits_for: str
    hopeless: bool = False


class View(AbstractContextManager["View"]):
    """Shows each look at the stack. Use it as a context: a terminal gets its cursor back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._begun = time.monotonic()
        self._live = (
            Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        )
        self._told: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the table away; what comes after says how it ended."""
        if self._live is not None:
            self._live.stop()

    def show(self, stack: Stack, waits_for: str) -> None:
        """The stack as it is now."""
        if self._live is None:
            self._say(stack, waits_for)
        else:
            self._live.update(self._table(stack, waits_for), refresh=True)

    def _table(self, stack: Stack, waits_for: str) -> Group:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for column in ("SERVICE", "RUNNING", ""):
            table.add_column(column, no_wrap=True, overflow="ellipsis")
        for service in stack.services:
            table.add_row(
                alias(service.name, stack.name),
                Text(
                    f"{service.running}/{service.desired}", style="green" if service.converged else "yellow"
                ),
                Text(doing(service), style="dim"),
            )
        seconds = f"{time.monotonic() - self._begun:.0f} s"
        below = f"{seconds}, waiting for {waits_for}" if waits_for else seconds
        return Group(table, Text(below, style="dim", no_wrap=True, overflow="ellipsis"))

    def _say(self, stack: Stack, waits_for: str) -> None:
        """A line for each service that is otherwise than it was."""
        for service in stack.services:
            now = f"{alias(service.name, stack.name)} {service.running}/{service.desired}"
            words = "" if service.converged else doing(service)
            self._once(service.name, f"{now}  {words}".rstrip())
        if stack.converged and waits_for:
            self._once("", f"waiting for {waits_for}")

    def _once(self, key: str, line: str) -> None:
        if self._told.get(key) != line:
            self._told[key] = line
            click.echo(line)


def doing(service: StackService) -> str:
    """What a service that has not converged does: its update, or its newest error."""
    if service.converged:
        return ""
    if service.given_up:
        return given_up(service)
    if any(task.failed for task in service.tasks):
        return service.trouble[:_ERROR]
    states = sorted({task.state for task in service.tasks if task.desired == "running" and not task.running})
    return ", ".join(states) or service.update


def wait(
    look: Callable[[], Stack | None],
    answers: Callable[[Stack], str],
    view: View,
    *,
    before: frozenset[str],
    within: float,
) -> Outcome | None:
    """Look until everything runs and answers, ``within`` so many seconds; None where the stack is gone.

    ``answers`` tells in words what does not answer yet (empty: all does). Ended early where it is hopeless:
    Swarm gave an update up and rests, or a service of which nothing runs keeps failing (tasks of ``before``
    left out).
    """
    deadline = time.monotonic() + within
    while True:
        stack = look()
        if stack is None:
            return None
        late = [service for service in stack.services if not service.converged]
        waits_for = ", ".join(alias(service.name, stack.name) for service in late) or answers(stack)
        view.show(stack, waits_for)
        if not waits_for:
            return Outcome(stack, "")
        lost = any(service.given_up or _is_hopeless(service, before) for service in late)
        if lost and not any(service.under_way for service in late):  # what Swarm still does may end well
            return Outcome(stack, waits_for, hopeless=True)
        left = deadline - time.monotonic()
        if left <= 0:
            return Outcome(stack, waits_for)
        time.sleep(min(_LOOK, left))


def _is_hopeless(service: StackService, before: frozenset[str]) -> bool:
    return service.running == 0 and service.failures(before) >= _HOPELESS


def given_up(service: StackService) -> str:
    """What Swarm did about an update that went wrong."""
    if service.update == "rollback_completed":
        return "Swarm went back to the version before"
    return f"{service.update.replace('_', ' ')}: {service.update_message}"[:_ERROR]


def complaints(stack: Stack) -> list[str]:
    """A line for each service that has not converged: how many run, and the last task error."""
    lines = []
    for service in stack.services:
        if service.converged:
            continue
        running = f"{alias(service.name, stack.name)}: {service.running} of {service.desired} run"
        trouble = service.trouble or "no task has been made yet"
        words = [running, given_up(service), trouble] if service.given_up else [running, trouble]
        lines.append("; ".join(words))
    return lines
