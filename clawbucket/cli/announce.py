"""What the launcher says in its terminal: for a person, or one JSON object a line.

A terminal that went away must not take the rack with it: once nothing can be written, nothing more is.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.text import Text

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
        """Everything runs: where what is."""
        ...


@dataclass
class Terminal:
    """For a person: short coloured lines."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))

    def say(self, event: str, level: str = "info", **_facts: object) -> None:
        """One line with the time of day, so that what follows can be put in order."""
        style = {"warning": "yellow", "error": "bold red"}.get(level, "")
        moment = SystemClock().iso()[11:19]
        self._print(Text.assemble((f"{moment} ", "dim"), (event, style)))

    def relay(self, lines: list[Line]) -> None:
        """Each line behind its program's name."""
        for line in lines[:MOST_RELAYED]:
            self._print(Text.assemble((f"{line.source:>10} ", "dim"), line.text))
        if len(lines) > MOST_RELAYED:
            more = len(lines) - MOST_RELAYED
            self._print(Text(f"{'':>10} … and {more} lines more (./claw logs)", style="dim"))

    def addresses(self, title: str, rows: list[tuple[str, str]], hint: str) -> None:
        """A small table."""
        self._print(Text(f"\n  {title}\n", style="bold green"))
        for name, value in rows:
            self._print(f"  {escape(name):<12} [cyan]{escape(value)}[/cyan]")
        self._print(Text(f"\n  {hint}\n", style="dim"))

    def _print(self, what: Text | str) -> None:
        with suppress(OSError, ValueError):
            self.console.print(what)


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
