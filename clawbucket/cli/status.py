"""``claw status``: what runs, in a table or as JSON."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from clawbucket.cli import http_get, rundir
from clawbucket.cli.names import label
from clawbucket.cli.options import port_option
from clawbucket.cli.reach import rack_client
from clawbucket.cli.readiness import is_ready
from clawbucket.cli.rundir import Run, RunDir
from clawbucket.cli.tables import show, table
from clawbucket.core.model import Snapshot
from clawbucket.ports import EngineDown
from clawbucket.settings import Settings
from rack.engines.processes import of_rack

_ANSWER = 2.0
"""Seconds that the dashboard's API may take; the rack's own facts are shown without it."""


@click.command(short_help="Show what runs.", epilog="""
\b
Examples:
  ./claw status
  ./claw status --port 9000
  ./claw status --json | jq '.tasks[] | select(.manager) | .name'
""")  # fmt: skip
@port_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def status(port: int | None, as_json: bool) -> None:
    """Show the programs, services and tasks of the running rack.

    A task's MANAGER mark and score come through the gateway; where that does not answer they are left out,
    and everything else is shown. The exit status is 0 when all is well and 1 when something is missing.
    """
    directory, run = rundir.find(rundir.home(Settings.from_env().home), port)
    told = gather(directory, run)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _show(told)
    raise SystemExit(0 if told["ok"] else 1)


def gather(directory: RunDir, run: Run) -> dict[str, Any]:
    """Everything that is known of a run, as what ``--json`` prints."""
    error: str | None = None
    snapshot: Snapshot | None = None
    try:
        snapshot = rack_client(directory, run).snapshot()
    except EngineDown as down:
        error = str(down)
    programs = [
        {
            "name": name,
            "pid": mark.pid,
            "running": mark.runs,
            "ready": _ready(name, run),
            "starts": mark.starts,
        }
        for name, mark in run.programs.items()
    ]
    services = _services(snapshot) if snapshot else []
    told = {
        "label": run.label,
        "port": run.port,
        "launcher_pid": run.launcher.pid,
        "started_at": run.started_at,
        "urls": run.urls,
        "rack_url": run.rack_url,
        "memcached": run.memcached,
        "logs": str(directory.logs),
        "error": error or (snapshot.error if snapshot else None),
        "programs": programs,
        "services": services,
        "tasks": _tasks(directory, run, snapshot) if snapshot else [],
    }
    well = all(p["running"] and p["ready"] is not False for p in programs)
    full = bool(services) and all(int(s["running"]) >= int(s["desired"]) for s in services)
    return {"ok": not told["error"] and well and full, **told}


def _services(snapshot: Snapshot) -> list[dict[str, Any]]:
    return [
        {
            "name": service.name,
            "desired": service.desired,
            "running": sum(task.running for task in snapshot.tasks_of(service.name)),
        }
        for service in snapshot.services
    ]


def _ready(name: str, run: Run) -> bool | None:
    """What the program itself says; None of one that has no HTTP (memcached)."""
    url = {**run.urls, "gateway": run.urls["dashboard"], "rack": run.rack_url}.get(name)
    return is_ready(url) if url else None


def _tasks(directory: RunDir, run: Run, snapshot: Snapshot) -> list[dict[str, Any]]:
    pids = {found.task_id: found.pid for found in of_rack(directory.rack_state) if found.leads}
    seen = _replicas(run.urls["dashboard"])
    nodes = {node.id: node.hostname for node in snapshot.nodes}
    place = {service.name: number for number, service in enumerate(snapshot.services)}
    ordered = sorted(snapshot.tasks, key=lambda t: (place.get(t.service, len(place)), t.slot, t.created_at))
    return [
        {
            "id": task.id,
            "name": task.name,
            "service": task.service,
            "slot": task.slot,
            "state": str(task.state),
            "desired_state": str(task.desired_state),
            "node": nodes.get(task.node_id, task.node_id),
            "pid": pids.get(task.id),
            "address": task.address,
            "callsign": seen.get(task.id, {}).get("name"),
            "manager": seen.get(task.id, {}).get("is_manager"),
            "score": seen.get(task.id, {}).get("score"),
            "error": task.error,
        }
        for task in ordered
    ]


def _replicas(url: str) -> dict[str, dict[str, Any]]:
    """What the dashboard's API says of each replica, by task id; nothing when it does not answer."""
    try:
        _, body = http_get.get(f"{url}/api/swarms", _ANSWER)
        swarms = json.loads(body)["swarms"]
        return {replica["id"]: replica for swarm in swarms for replica in swarm["replicas"]}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def _show(told: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(
        f"\n{told['label']} on {told['urls']['dashboard']}, since {told['started_at'][:19]}Z", markup=False
    )
    if told["error"]:
        console.print(Text(told["error"], style="bold red"))
    programs = table("PROGRAM", "PID", "STATE", "STARTS", "WHERE")
    where = {
        **told["urls"],
        "gateway": told["urls"]["dashboard"],
        "rack": told["rack_url"],
        "memcached": told["memcached"],
    }
    for p in told["programs"]:
        state = "down" if not p["running"] else "not ready" if p["ready"] is False else "runs"
        programs.add_row(p["name"], str(p["pid"]), _state(state), str(p["starts"]), where[p["name"]])
    services = table("SERVICE", "RUNNING", "DESIRED")
    for s in told["services"]:
        services.add_row(s["name"], str(s["running"]), str(s["desired"]))
    tasks = table("TASK", "CALLSIGN", "STATE", "NODE", "PID", "SCORE", "")
    for t in told["tasks"]:
        leaving = "" if t["desired_state"] == "running" else f" → {t['desired_state']}"
        tasks.add_row(
            label(t["name"]), t["callsign"] or "", _state(t["state"] + leaving),
            t["node"], str(t["pid"] or ""), "" if t["score"] is None else str(t["score"]),
            "MANAGER" if t["manager"] else "",
        )  # fmt: skip
    show(console, programs, services, tasks)


def _state(state: str) -> Text:
    style = {"runs": "green", "running": "green", "down": "bold red", "failed": "bold red"}.get(
        state, "yellow"
    )
    return Text(state, style=style)
