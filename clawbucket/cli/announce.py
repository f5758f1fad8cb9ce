"""What the launcher says in its terminal: for a person, or one JSON object a line.

A terminal that went away must not take the rack with it: what cannot be written is not. click alone,
without rich: every import here is time in which no program is being started.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Protocol

import click

from clawbucket.cli.logtail import LEVELS, Line
from clawbucket.clock import SystemClock

MOST_RELAYED = 20
"""Lines of a program's log shown at one look; the rest is counted."""


class Voice(Protocol):
    """Where the launcher speaks."""

    def say(self, event: str, level: str = "info", **facts: object) -> None:
        """Something happened; ``facts`` are for machines, ``event`` says it all to a person."""
        ...

    def relay(self, lines: list[Line]) -> None:
        """Warnings of the programs, from their logs."""
        ...

    def addresses(self, title: str, rows: list[tuple[str, str]], hint: str) -> None:
        """Everything runs: where what is. ``hint``: what to type next, or nothing."""
        ...


class Terminal:
    """For a person: short coloured lines. click takes the colours out where it is no terminal."""

    def say(self, event: str, level: str = "info", **_facts: object) -> None:
        """One line with the time of day (UTC, as the logs have it)."""
        colour = {"warning": "yellow", "error": "red"}.get(level)
        moment = click.style(SystemClock().iso()[11:19], dim=True)
        self._print(f"{moment} {click.style(event, fg=colour)}")

    def relay(self, lines: list[Line]) -> None:
        """Each line behind its program's name."""
        for line in lines[:MOST_RELAYED]:
            self._print(f"{click.style(f'{line.source:>10}', dim=True)} {line.text}")
        if len(lines) > MOST_RELAYED:
            self._print(
                click.style(f"{'':>10} … and {len(lines) - MOST_RELAYED} more (./claw logs)", dim=True)
            )

    def addresses(self, title: str, rows: list[tuple[str, str]], hint: str) -> None:
        """A small table."""
        table = "\n".join(f"  {name:<12} {click.style(value, fg='cyan')}" for name, value in rows)
        below = f"\n  {click.style(hint, dim=True)}\n" if hint else ""
        self._print(f"\n  {click.style(title, fg='green', bold=True)}\n\n{table}\n{below}")

    def _print(self, text: str) -> None:
        with suppress(OSError, ValueError):
            click.echo(text)


class Json:
    """For a machine: one object a line, in the form of the programs' own JSON logs."""

    def say(self, event: str, level: str = "info", **facts: object) -> None:
        """The event with its facts."""
        told = {"event": event, "level": level, "program": "launcher", "timestamp": SystemClock().iso()}
        self._write(json.dumps({**facts, **told}))

    def relay(self, lines: list[Line]) -> None:
        """JSON lines as they are, others as the text of an event."""
        names = {number: name for name, number in LEVELS.items()}
        for line in lines[:MOST_RELAYED]:
            if line.text.startswith("{"):
                self._write(line.text)
            else:
                self.say(line.text, names[line.level], source=line.source)
        if len(lines) > MOST_RELAYED:
            self.say("lines left out", count=len(lines) - MOST_RELAYED)

    def addresses(self, title: str, rows: list[tuple[str, str]], hint: str) -> None:
        """One event."""
        self.say(title, hint=hint, **{name.replace(" ", "_"): value for name, value in rows})

    def _write(self, line: str) -> None:
        with suppress(OSError, ValueError):
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
