"""A measured figure, the bar it is held to, and how both are printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. ``bar`` says what is asked for, in words; ``met`` whether it is; None: only reported."""

    name: str
    value: float
    unit: str
    bar: str = ""
    met: bool | None = None
    raw: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``: the raw numbers too."""
        return asdict(self)


def at_least(name: str, values: list[float], unit: str, bar: float) -> Figure:
    """The median of ``values``, which should not be below ``bar``."""
    value = median(values)
    return Figure(name, value, unit, f">= {bar:g}", value >= bar, values)


def at_most(name: str, value: float, unit: str, bar: float, raw: list[float]) -> Figure:
    """A figure that should not be above ``bar``."""
    return Figure(name, value, unit, f"<= {bar:g}", value <= bar, raw)


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of ``values`` do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def show(figures: list[Figure], console: Console) -> None:
    """A table for people."""
    table = Table(title="clawbucket, measured on this machine just now", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("bar")
    table.add_column("")
    for figure in figures:
        verdict = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[figure.met]
        table.add_row(figure.name, f"{figure.value:,.3g} {figure.unit}".strip(), figure.bar, verdict)
    console.print(table)
