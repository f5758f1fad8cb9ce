"""The way to a trooper's agent: whom it takes for running."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clawbucket.core.model import TaskState
from clawbucket.ports import BusDown, Conflict, TaskUnknown
from tests.stage import PRIMARY, Stage, task_id

LAST = task_id(PRIMARY, 3)


def test_who_came_to_run_a_moment_ago_can_be_asked():
    """A board may be a quarter of a second old; before somebody is refused the bus is asked again."""
    stage = Stage()
    asking, whole = stage.services.actions.asking, list(stage.tasks)
    stage.tasks = [t for t in whole if t.id != LAST]
    stage.publish()
    with pytest.raises(TaskUnknown, match=f"no task {LAST} runs here"):
        asking.history(LAST)
    stage.tasks = [replace(t, state=TaskState.STARTING) if t.id == LAST else t for t in whole]
    stage.publish()
    with pytest.raises(Conflict, match="is starting, not running"):
        asking.history(LAST)
    stage.tasks = whole
    stage.publish()
    assert asking.history(LAST) == []


def test_a_rack_that_is_just_starting_is_looked_at_again():
    """While nothing has been read yet that is the answer; a moment later it is no longer."""
    stage = Stage(populated=False)
    asking = stage.services.actions.asking
    with pytest.raises(BusDown, match="no snapshot"):
        asking.history(LAST)
    stage.publish()
    assert asking.history(LAST) == []


def test_all_means_who_runs_now():
    """Who came to run a moment ago is addressed too."""
    stage = Stage()
    asking, whole = stage.services.actions.asking, list(stage.tasks)
    stage.tasks = [replace(t, state=TaskState.STARTING) if t.id == LAST else t for t in whole]
    stage.publish()
    mention = asking.mention_in("@all report")
    assert mention is not None
    assert LAST not in mention.addressees
    stage.tasks = whole
    stage.publish()
    mention = asking.mention_in("@all report")
    assert mention is not None
    assert mention.addressees == tuple(t.id for t in whole)
