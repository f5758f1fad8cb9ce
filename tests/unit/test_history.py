"""The checker itself: it accepts a good history, and finds each thing that must never happen."""

from __future__ import annotations

import json

import pytest

from tests.history import History, Reign, Score, read_logs


def good() -> History:
    """Two leaders one after the other, and a trooper with two rounds."""
    history = History(
        reigns=[Reign("s", "a", 10, 0.0, 5.0), Reign("s", "b", 11, 5.2)],
        scores=[Score("c", 1, "win", 1), Score("c", 3, "loss", 0)],
    )
    history.leases["s"] = [("a", 10), ("a", 10), ("b", 11)]
    return history


def test_a_good_history_is_accepted():
    """Nothing is found where nothing is wrong."""
    assert good().judge() == []


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda h: h.reigns.append(Reign("s", "c", 11, 9.0)), "2 confirmed leaders in epoch 11"),
        (lambda h: h.reigns.append(Reign("s", "c", 9, 9.0)), "confirmed in epoch 9 after 11"),
        (lambda h: h.leases["s"].append(("a", 10)), "went back from epoch 11 to 10"),
        (lambda h: h.reigns.append(Reign("s", "c", 12, 5.5)), "beside b"),
        (lambda h: h.scores.append(Score("c", 3, "win", 1)), "scored round 3 after round 3"),
        (lambda h: h.scores.append(Score("c", 4, "win", 2)), "has 2 after round 4, not 1"),
    ],
)
def test_each_violation_is_found(spoil, found):
    """A history with one violation is rejected for it."""
    history = good()
    spoil(history)
    assert any(found in sentence for sentence in history.judge())


def test_logs_become_a_history(tmp_path):
    """Confirmed, ended and scored are read; a kill ends a reign; a line cut off by a kill is passed over."""
    at = "2026-11-21T10:00:0{}.000000Z"
    lines = [
        {
            "event": "leadership confirmed",
            "service": "s",
            "task_id": "a",
            "epoch": 5,
            "timestamp": at.format(1),
        },
        {"event": "leadership ended", "service": "s", "task_id": "a", "epoch": 5, "timestamp": at.format(2)},
        {
            "event": "leadership confirmed",
            "service": "s",
            "task_id": "a",
            "epoch": 6,
            "timestamp": at.format(3),
        },
        {
            "event": "round scored",
            "task_id": "a",
            "round": 1,
            "outcome": "win",
            "score": 1,
            "timestamp": at.format(4),
        },
    ]
    path = tmp_path / "a.log"
    path.write_text("plain text\n" + "\n".join(json.dumps(line) for line in lines) + '\n{"event": "lead')
    killed = 1795255204.5
    history = read_logs([path], {"a": killed})
    assert next((r.epoch, r.end - r.begin) for r in history.reigns) == (5, 1.0)
    assert history.reigns[1].end == killed
    assert history.scores == [Score("a", 1, "win", 1)]
