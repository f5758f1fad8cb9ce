"""``claw racks status``: what runs of several racks, in a table or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from clawbucket.cli import racks_plan
from clawbucket.cli.racks_end import NONE_RUN
from clawbucket.cli.racks_plan import Side
from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Run, RunDir
from clawbucket.cli.status import gather
from clawbucket.cli.tables import show, table


def status(home: Path, *, as_json: bool) -> int:
    """Show each rack; 0 when all is well, 1 when something is missing. Refusal where none run."""
    account = racks_plan.directory(home).live()
    if account is None:
        raise Refusal(NONE_RUN)
    told = gather_all(home, account)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _show(told)
    return 0 if told["ok"] else 1


def gather_all(home: Path, account: Run) -> dict[str, Any]:
    """Everything that is known of the racks, as what ``--json`` prints: each as ``./claw status`` has it."""
    racks = racks_plan.sides(len(account.urls), account.port)
    found = [_of(home, side, racks, account) for side in racks]
    return {
        "ok": all(rack["ok"] for rack in found),
        "launcher_pid": account.launcher.pid,
        "started_at": account.started_at,
        "racks": found,
    }


def _of(home: Path, side: Side, racks: tuple[Side, ...], account: Run) -> dict[str, Any]:
    directory = RunDir(home / str(side.port))
    run = directory.live()
    who = {
        "name": side.name,
        "peers": {
            name: account.urls[_named(url, racks)] for name, url in racks_plan.peers(side, racks).items()
        },
        "starts": account.programs[side.name].starts if side.name in account.programs else 0,
    }
    if run is not None:
        return {**who, **gather(directory, run)}
    return {
        **who, "ok": False, "label": side.label, "port": side.port,
        "urls": {"dashboard": account.urls[side.name]}, "error": "it does not run just now",
        "programs": [], "services": [], "tasks": [],
    }  # fmt: skip


def _named(url: str, racks: tuple[Side, ...]) -> str:
    return next(side.name for side in racks if side.url == url)


def _show(told: dict[str, Any]) -> None:
    console = Console(highlight=False)
    racks = table("RACK", "STATE", "TROOPERS", "SCORE", "DASHBOARD", "SCOREBOARD")
    for rack in told["racks"]:
        running, desired = (sum(int(s[key]) for s in rack["services"]) for key in ("running", "desired"))
        scores = [task["score"] for task in rack["tasks"] if task["score"] is not None]
        state = Text("runs", "green") if rack["ok"] else Text("not well", "bold red")
        racks.add_row(
            rack["name"], state, f"{running}/{desired}", str(sum(scores)) if scores else "",
            rack["urls"]["dashboard"], rack["urls"].get("aggregator", ""),
        )  # fmt: skip
    show(console, racks)
    for rack in told["racks"]:
        if rack["error"]:
            click.echo(f"{rack['name']}: {rack['error']}", err=True)
    click.echo(f"more of one rack: ./claw status --port {told['racks'][0]['port']}")
