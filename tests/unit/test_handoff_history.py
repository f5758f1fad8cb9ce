"""The checker of handoffs finds what it is there for, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bench.handoff_history import Frozen, HandoffHistory, Restored, read_handoffs

H1, H2 = "1" * 32, "2" * 32


def good() -> HandoffHistory:
    """Task a was frozen with two points and went on in b, which scored one more; c stayed where it was."""
    history = HandoffHistory()
    history.points.update(a=2, b=1, c=-1)
    history.frozen[H1] = Frozen("a", 2, 10.0)
    history.restored.append(Restored("b", H1, 2, 11.5))
    history.final.update(b=3, c=-1)
    history.kept.add(H1)
    return history


def test_a_good_history_is_not_complained_of():
    """Handed over, handed back, undone into a new task, killed as troopers are: all of that may be."""
    history = good()
    assert history.judge() == []
    assert (history.line("b"), history.held()) == (["b", "a"], [1.5])
    history.frozen[H2] = Frozen("b", 3)
    history.restored.append(Restored("d", H2, 3))
    history.final = {"d": 3, "c": -1}
    assert history.judge() == []
    history.final = {"c": -1}
    history.killed.add("d")
    assert history.judge() == []
    history.frozen["3" * 32] = Frozen("c", -1)
    history.final = {}
    history.killed.add("c")
    assert history.judge() == []  # before anything was written down


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda h: h.final.update(a=2), "the trooper of a is in 2 places"),
        (lambda h: h.restored.append(Restored("c", H1, 2)), "the trooper of a is in 2 places"),
        (lambda h: h.final.update(b=4), "b has 4 points, the logs of its line ['b', 'a'] 3"),
        (lambda h: h.final.pop("b"), "the trooper in b, restored from " + H1 + ", is nowhere"),
        (lambda h: h.after_freezing.append("a"), "a scored while it was frozen"),
        (lambda h: h.frozen.pop(H1), "b was restored from " + H1 + ", for which nobody was frozen"),
        (lambda h: h.frozen.update({H1: Frozen("a", 7)}), "b took 2 points over, a gave 7"),
        (lambda h: h.restored.clear(), "the trooper of a was frozen for"),
        (lambda h: (h.restored.clear(), h.killed.add("a")), "the trooper of a was frozen for"),
    ],
)
def test_what_must_never_happen_is_found(spoil: Callable[[HandoffHistory], object], complaint: str):
    """Doubled, lost, with points that no log has: each has its sentence."""
    history = good()
    spoil(history)
    assert any(said.startswith(complaint) for said in history.judge()), history.judge()


def test_it_is_read_from_the_troopers_own_logs(tmp_path: Path):
    """One file a task; a line that a kill cut off, and what is no JSON, is passed over."""

    def log(name: str, *lines: Mapping[str, object] | str) -> None:
        told = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / name).write_text("\n".join(told))

    at = "2026-01-01T00:00:0"
    won = {"event": "round scored", "outcome": "win"}
    log(
        "a.log", "starting", won | {"task_id": "a"}, won | {"task_id": "a"},
        {"event": "trooper frozen", "task_id": "a", "handoff": H1, "score": 2, "timestamp": f"{at}1Z"},
        '{"event": "round sco',
    )  # fmt: skip
    log(
        "b.log",
        {"event": "trooper restored", "task_id": "b", "handoff": H1, "base": 2, "timestamp": f"{at}2Z"},
        won | {"task_id": "b"},
        {"event": "trooper frozen", "task_id": "b", "handoff": H2, "score": 3, "timestamp": f"{at}3Z"},
        won | {"task_id": "b"},
        {"event": "trooper thawed", "task_id": "b", "handoff": H2, "timestamp": f"{at}4Z"},
        won | {"task_id": "b", "outcome": "loss"},
    )
    history = read_handoffs(sorted(tmp_path.iterdir()))
    history.final["b"] = 3
    assert (history.held(), history.thawed) == ([1.0], {H2})
    assert history.judge() == ["b scored while it was frozen"]
