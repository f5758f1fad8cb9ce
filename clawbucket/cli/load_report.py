"""The table at the end of ``claw load``: what was measured, what is allowed, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from clawbucket.cli.tables import show as show_tables
from clawbucket.cli.tables import table
from load.reporting import NAME

__all__ = ["NAME", "show"]
_SHOWN = 10
"""Kinds of failure that are shown; all are in the report."""


def show(report: Mapping[str, Any], directory: Path) -> None:
    """Print it."""
    console = Console(highlight=False)
    figures = report["figures"]
    limits = table("MEASURED", "VALUE", "LIMIT", "")
    for verdict in report["verdicts"]:
        sign = "≥" if verdict["least"] else "≤"
        limits.add_row(
            verdict["what"],
            _number(verdict["measured"], verdict["unit"]),
            f"{sign} {_number(verdict['limit'], verdict['unit'])}",
            Text("held", style="green") if verdict["held"] else Text("MISSED", style="bold red"),
        )
    failures = table("COUNT", "REQUEST", "FAILURE")
    for failure in figures["failures"][:_SHOWN]:
        failures.add_row(str(failure["count"]), Text(failure["request"]), Text(failure["reason"][:160]))
    show_tables(console, limits, *([failures] if figures["failures"] else []))
    rate = f"{figures['requests']:,} requests in {figures['seconds']:.0f} s, {figures['rate']:.1f} a second"
    console.print(rate, markup=False)
    for note in report["notes"]:
        console.print(note, markup=False)
    console.print(
        f"{directory}: report.html, {NAME}, requests.json, stats_*.csv", markup=False, soft_wrap=True
    )
    missed = sum(not verdict["held"] for verdict in report["verdicts"])
    if missed:
        click.echo(f"claw: {missed} of {len(report['verdicts'])} limits did not hold", err=True)


def _number(value: float, unit: str) -> str:
    shown = f"{value:,.0f}" if value == int(value) or value >= 1_000 else f"{value:,.4g}"
    return f"{shown} {unit}".strip()
