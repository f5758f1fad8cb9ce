"""What a replica finds in its environment: Swarm's template variables, and where what is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from clawbucket.core.model import Task
from clawbucket.settings import variable_of
from rack.engines import agent_homes
from rack.engines.processes import BIND_FD, LIFELINE_FD


def environment_of(
    task: Task,
    *,
    base: Mapping[str, str],
    hostname: str,
    services: Sequence[str],
    state_dir: Path,
    lifeline: bool,
) -> dict[str, str]:
    """``base`` (the rack manager's own) with the task's facts in place of its own."""
    facts = {
        "service_name": task.service,
        "swarm_node": hostname,
        "task_name": task.name,
        "task_slot": str(task.slot),
        "task_id": task.id,
        "swarm_services": ",".join(services),
        "state_dir": str(state_dir),
        "picoclaw_home": str(agent_homes.path_of(state_dir, task.id)),
        "bind": f"fd://{BIND_FD}",
        "lifeline_fd": str(LIFELINE_FD) if lifeline else "",
    }
    return {**base, **{variable_of(setting).name: value for setting, value in facts.items()}}
