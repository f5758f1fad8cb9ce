from __future__ import annotations

from typing import Any

import pytest

from clawbucket.core.agent import Agent
from clawbucket.core.model import Freshness, Task, TaskState
from clawbucket.core.revolt import Phase
from clawbucket.core.why import LONGEST_TOLD, Seen, why, why_ended


def task(state: TaskState = TaskState.RUNNING, **more: Any) -> Task:
    """A task in that state."""
    desired = more.pop("desired", TaskState.RUNNING)
    return Task("t", "clawbucket_b", 2, "n1", state, desired, "clawbucket_b.2.t", **more)


def seen(it: Task | None = None, **more: Any) -> Seen:
    """That task on node-1, with nothing out of the ordinary but ``more``."""
    return Seen(it or task(), "b", "node-1", **more)


@pytest.mark.parametrize("state", TaskState)
def test_every_state_has_one_sentence(state: TaskState):
    """Each of Swarm's states is told in one sentence, which says what happens next, and so is its end."""
    for said in (why(seen(task(state))), why_ended(state)):
        assert said[0].isupper()
        assert said.endswith(".")
        assert said.count(". ") == 0
        assert "  " not in said
        assert said.lower() == said.lower().strip()
    assert any(mark in why(seen(task(state))) for mark in (":", ";"))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (TaskState.NEW, "this task was just made"),
        (TaskState.PENDING, "waits for a node"),
        (TaskState.ASSIGNED, "given to node-1"),
        (TaskState.ACCEPTED, "accepted by node-1"),
        (TaskState.PREPARING, "prepared on node-1"),
        (TaskState.READY, "starts when its slot is free"),
        (TaskState.STARTING, "its process starts"),
        (TaskState.RUNNING, "it runs and its heartbeats arrive"),
        (TaskState.COMPLETE, "without an error"),
        (TaskState.SHUTDOWN, "does not come back"),
        (TaskState.FAILED, "ended with an error"),
        (TaskState.REJECTED, "refused by node-1"),
        (TaskState.ORPHANED, "may still run there"),
        (TaskState.REMOVE, "no longer wants it"),
    ],
)
def test_a_state_is_told_by_what_it_means(state: TaskState, expected: str):
    """The sentence says what Swarm's word means for this task."""
    assert expected.lower() in why(seen(task(state))).lower()


def test_the_engine_gives_the_reason():
    """Its error and the exit code are in the sentence; a message that only repeats the state is not."""
    failed = task(TaskState.FAILED, error="OOM killed.", exit_code=137, message="ended")
    assert why(seen(failed)) == (
        "Its process ended with exit code 137 (OOM killed): while its service wants as many, another takes "
        "its slot."
    )
    waits = task(TaskState.READY, message="restarts in 3.0 s, after 4 failures in a row")
    assert "(restarts in 3.0 s, after 4 failures in a row)" in why(seen(waits))
    assert "(ready)" not in why(seen(task(TaskState.READY, message="ready")))


def test_an_exit_code_of_nought_is_told():
    """Nought is a code as well as any."""
    assert "with exit code 0, without" in why(seen(task(TaskState.COMPLETE, exit_code=0)))


def test_what_is_wanted_to_end_is_on_its_way_out():
    """A task that runs but is to shut down is not said to go on."""
    said = why(seen(task(desired=TaskState.SHUTDOWN, message="scaled down")))
    assert said.startswith("It is running, but is wanted to end (scaled down): ")
    assert "goes on" not in said


@pytest.mark.parametrize(
    ("freshness", "expected"),
    [(Freshness.SUSPECT, "not moved for 6 s or more"), (Freshness.MISSING, "not moved for 12 s or more")],
)
def test_a_silent_trooper(freshness: Freshness, expected: str):
    """Without heartbeats a process that runs is told to be silent, and never to manage anything."""
    said = why(seen(freshness=freshness, manages=True, confirmed=True, epoch=7))
    assert expected in said
    assert "epoch" not in said


def test_a_manager_says_until_when():
    """A manager names its service, its epoch, what chose it, and what would end its term."""
    said = why(seen(manages=True, confirmed=True, epoch=7, chosen=True))
    assert "it manages b in epoch 7 because its slot is preferred since an outage, until" in said
    assert "1.5 s" in said
    assert "because" not in why(seen(manages=True, confirmed=True, epoch=7))


def test_an_unconfirmed_manager_does_not_manage_yet():
    """Coming first is told apart from holding the lease."""
    said = why(seen(manages=True, epoch=7))
    assert "comes first in the order of preference of b" in said
    assert "epoch 7" not in said


def test_a_handoff_outweighs_the_state():
    """Held, in doubt and gone are told with the other rack's name, whatever else is known."""
    held = why(seen(frozen=True, to_rack="Rack 2", phase=Phase.PREPARED, manages=True, confirmed=True))
    assert held.startswith("It is frozen for a handoff to Rack 2: ")
    doubt = why(seen(frozen=True, to_rack="Rack 2", phase=Phase.IN_DOUBT))
    assert "whether Rack 2 took it in is in doubt" in doubt
    gone = why(seen(task(desired=TaskState.SHUTDOWN), frozen=True, defected=True))
    assert gone.startswith("It defected: it goes on on another rack")


@pytest.mark.parametrize(
    ("more", "beginning"),
    [
        ({"stale_seconds": 4.2}, "As last known 4 s ago, before the bus fell silent: it runs"),
        ({"silent_seconds": 9}, "By the rack manager's last word, 9 s ago: it runs"),
        ({"engine_error": "no route"}, "By the engine's last word before it failed to answer: it runs"),
        ({"stale_seconds": 0.4, "silent_seconds": 9}, "As last known 0 s ago"),
    ],
)
def test_old_news_is_called_so(more: dict[str, Any], beginning: str):
    """What is not known anew is not told as if it were."""
    assert why(seen(**more)).startswith(beginning)


def test_an_agent_that_cannot_think():
    """Its problem is told behind what the trooper does; a well or unwanted one is not named."""
    said = why(seen(agent=Agent("model_missing", problem="Ollama has no model x.")))
    assert said.endswith("because its agent cannot think (Ollama has no model x).")
    for health in ("ok", "off", "unknown"):
        assert "agent" not in why(seen(agent=Agent(health)))


def test_a_reason_is_bounded_and_on_one_line():
    """Whatever an engine says at length, the sentence stays one line."""
    said = why(seen(task(TaskState.REJECTED, error="no such\nimage " * 100)))
    assert "\n" not in said
    assert len(said) < LONGEST_TOLD + 120
