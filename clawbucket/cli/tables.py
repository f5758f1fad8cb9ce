"""How the commands show tables."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def table(*columns: str) -> Table:
    """A table without lines, whose cells stay on one line each."""
    made = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        made.add_column(column, no_wrap=True)
    return made


def show(console: Console, *tables: Table) -> None:
    """Print them, with an empty line around each."""
    for each in tables:
        console.print()
        console.print(each)
    console.print()
