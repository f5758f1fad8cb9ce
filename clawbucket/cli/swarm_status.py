"""``claw swarm status``: what runs of a stack, in tables or as JSON."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from clawbucket.cli import swarm_preflight
from clawbucket.cli.docker_cli import Docker
from clawbucket.cli.readiness import is_ready
from clawbucket.cli.swarm_options import docker_here, name_option, reach_option, stack_named, urls
from clawbucket.cli.swarm_stack import Stack, StackTask, alias
from clawbucket.cli.tables import show, table

_WIDTH = 240
"""Columns of a table that nobody looks at: a pipe must not cut an error."""
_MOST_ENDED = 2
"""Ended tasks shown of each slot that has none running; Swarm keeps four."""


@click.command(short_help="Show what runs of the stack.", epilog="""
\b
Examples:
  ./claw swarm status
  ./claw swarm status --json | jq '.tasks[] | select(.state == "failed") | .error'
""")  # fmt: skip
@name_option
@reach_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
def status(name: str, reach: tuple[str, str] | None, as_json: bool) -> None:
    """Show the services and tasks of the stack, and whether its ports answer.

    Of ended tasks those are shown whose slot has nobody running. The exit status is 0 when all is well and
    1 when something is missing.
    """
    docker = docker_here()
    manager = swarm_preflight.manager(docker, reach)
    stack = stack_named(docker, name)
    told = gather(docker, manager, stack)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _show(told, stack)
    raise SystemExit(0 if told["ok"] else 1)


def gather(docker: Docker, manager: swarm_preflight.Manager, stack: Stack) -> dict[str, Any]:
    """Everything that is known of a stack, as what ``--json`` prints."""
    ports = [
        {"name": name, "url": url, "ready": is_ready(url)}
        for name, url in urls(docker, manager, stack).items()
    ]
    return {
        "ok": stack.converged and all(port["ready"] for port in ports),
        "name": stack.name,
        "nodes": manager.nodes,
        "ports": ports,
        "services": [
            {
                "name": service.name,
                "running": service.running,
                "desired": service.desired,
                "update": service.update or None,
                "image": service.image,
                "trouble": None if service.converged else service.trouble or None,
            }
            for service in stack.services
        ],
        "tasks": [
            {
                "id": task.id,
                "service": task.service,
                "label": task.label,
                "node": task.node,
                "state": task.state,
                "desired_state": task.desired,
                "error": task.error or None,
            }
            for service in stack.services
            for task in worth_showing(service.tasks)
        ],
    }


def worth_showing(tasks: tuple[StackTask, ...]) -> list[StackTask]:
    """Those that are meant to run, and the last that failed in a place where none does."""
    shown: list[StackTask] = []
    for place in dict.fromkeys(task.place for task in tasks):
        here = [task for task in tasks if task.place == place]
        wanted = [task for task in here if task.desired in {"running", "ready"}]
        if wanted and not any(task.running for task in here):
            shown += [task for task in here if task.failed and task not in wanted][-_MOST_ENDED:]
        shown += wanted
    return shown


def _show(told: dict[str, Any], stack: Stack) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH
    console.print(
        f"\nstack {told['name']}, {told['nodes']} node{'' if told['nodes'] == 1 else 's'}", markup=False
    )
    ports = table("PORT", "STATE", "WHERE")
    for port in told["ports"]:
        ports.add_row(port["name"], _state("ready" if port["ready"] else "not ready"), port["url"])
    services = table("SERVICE", "RUNNING", "DESIRED", "UPDATE", "IMAGE")
    for service in told["services"]:
        services.add_row(
            alias(service["name"], stack.name), str(service["running"]), str(service["desired"]),
            service["update"] or "", service["image"].partition("@")[0],
        )  # fmt: skip
    tasks = table("TASK", "STATE", "NODE", "ERROR")
    for task in told["tasks"]:
        leaving = "" if task["desired_state"] == "running" else f" → {task['desired_state']}"
        tasks.add_row(task["label"], _state(task["state"] + leaving), task["node"], Text(task["error"] or ""))
    show(console, ports, services, tasks)


def _state(state: str) -> Text:
    styles = {"ready": "green", "running": "green", "failed": "bold red", "rejected": "bold red"}
    return Text(state, style=styles.get(state, "bold red" if state == "not ready" else "yellow"))
