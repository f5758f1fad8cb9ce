"""A measured figure, the bar it is held to, and how both are printed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. ``bar`` says what is asked for, in words; ``met`` whether it is; None: only reported.

    ``size``: the tiles, troopers or viewers that it was taken at, where it is one of several sizes.
    """

    name: str
    value: float
    unit: str
    bar: str = ""
    met: bool | None = None
    raw: list[float] = field(default_factory=list)
    size: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For the JSON: the raw numbers too. Six digits of each, which is more than any measurement has."""
        return asdict(self) | {"value": _short(self.value), "raw": [_short(value) for value in self.raw]}


def at_least(name: str, values: list[float], unit: str, bar: float, *, size: int | None = None) -> Figure:
    """The median of ``values``, which should not be below ``bar``."""
    value = median(values)
    return Figure(name, value, unit, f">= {bar:g}", value >= bar, values, size)


def at_most(
    name: str, value: float, unit: str, bar: float, raw: list[float], *, size: int | None = None
) -> Figure:
    """A figure that should not be above ``bar``."""
    return Figure(name, value, unit, f"<= {bar:g}", value <= bar, raw, size)


def percentile(values: list[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of ``values`` do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _readable(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def show(figures: list[Figure], console: Console, title: str = "clawbucket") -> None:
    """A table for people."""
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("bar")
    table.add_column("")
    for figure in figures:
        verdict = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}[figure.met]
        table.add_row(figure.name, f"{_readable(figure.value)} {figure.unit}".strip(), figure.bar, verdict)
    console.print(table)
