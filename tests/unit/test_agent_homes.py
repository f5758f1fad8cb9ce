"""Each task's agent has a home of its own, which stays as long as the task is known and goes with it."""

from __future__ import annotations

from pathlib import Path

from clawbucket.core.model import Task, TaskState
from clawbucket.settings import Settings
from rack.engines import agent_homes
from rack.engines.environment import environment_of
from rack.engines.ledger import KEPT_DEAD
from rack.engines.starter import Starter


def task(number: int, slot: int = 1, service: str = "a_b") -> Task:
    """A running task."""
    task_id = f"{number:025d}"
    running = TaskState.RUNNING
    return Task(task_id, service, slot, "n1", running, running, f"{service}.{slot}.{task_id}")


def settings_of(state_dir: Path, which: Task) -> Settings:
    """What the task's replica reads from its environment."""
    given = environment_of(
        which, base={"PICOCLAW_HOME": "/somebody/elses"}, hostname="node-1", services=["a_b"],
        state_dir=state_dir, lifeline=False,
    )  # fmt: skip
    return Settings.from_env(given)


def furnished(state_dir: Path, which: Task) -> Path:
    """The task's home, with something in it."""
    home = settings_of(state_dir, which).picoclaw_home
    assert home is not None
    (home / "workspace" / "sessions").mkdir(parents=True)
    (home / "workspace" / "AGENT.md").write_text(which.id)
    return home


def test_every_task_has_a_home_of_its_own(tmp_path):
    """A person's own PICOCLAW_HOME is not shared by all; two tasks of one slot do not share one either."""
    homes = {
        settings_of(tmp_path, task(number, slot)).picoclaw_home for number, slot in [(1, 1), (2, 2), (3, 2)]
    }
    assert len(homes) == 3
    assert all(home is not None and home.is_relative_to(tmp_path) for home in homes)


def test_the_homes_of_the_long_gone_are_cleared_away(tmp_path):
    """After more restarts than are remembered for a slot, the oldest homes go; all others are untouched."""
    generations = [task(number) for number in range(KEPT_DEAD + 4)]
    homes = [furnished(tmp_path, one) for one in generations]
    starter = Starter(("false",), (), {}, tmp_path, None)
    starter.prepare()
    remembered = generations[-1 - KEPT_DEAD :]
    starter.tidy(set(), {one.name for one in remembered})
    assert [home.exists() for home in homes] == [False] * 3 + [True] * (KEPT_DEAD + 1)
    assert (homes[-1] / "workspace" / "AGENT.md").read_text() == generations[-1].id


def test_a_rack_without_agents_has_no_homes(tmp_path):
    """Nothing is made for them, and tidying up is no error."""
    settings_of(tmp_path, task(1))
    agent_homes.prune(tmp_path, set())
    assert list(tmp_path.iterdir()) == []


def test_what_a_home_links_to_stays(tmp_path):
    """An agent may leave a link in its home; what is behind it is not cleared away."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    home = furnished(tmp_path / "rack", task(1))
    (home / "workspace" / "link").symlink_to(outside)
    agent_homes.prune(tmp_path / "rack", set())
    assert not home.exists()
    assert (outside / "precious").exists()
