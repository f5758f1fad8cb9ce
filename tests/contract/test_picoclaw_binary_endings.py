"""How a run of the binary is ended: at the deadline, by a cancellation, by closing, and under gevent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from picoclaw.errors import RuntimeBusy, TurnTimeout
from tests.binary_place import HAIKU, Place, gone, until
from tests.stand_in_binary import write_stand_in


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Give a home; nothing that was started in it outlives the test."""
    made = Place(tmp_path)
    yield made
    if made.backend is not None:
        made.backend.close()


@pytest.mark.slow
@pytest.mark.parametrize("switches", [{}, {"stubborn": 1}], ids=["SIGTERM", "SIGKILL"])
@pytest.mark.alone
def test_the_deadline_ends_the_binary_and_its_grandchildren(place, switches):
    """All of the group, also where SIGTERM is ignored, and within the moment of grace."""
    place.start(hang=1, fork=1, pids=place.root / "pids", **switches)
    began = time.monotonic()
    with pytest.raises(TurnTimeout, match="1 s were used up while waiting for picoclaw"):
        place.ask(seconds=1.0)
    assert 1.0 <= time.monotonic() - began < 2.5
    until(lambda: all(gone(pid) for pid in place.pids()), 1.0)


@pytest.mark.alone
def test_a_cancelled_turn_ends_at_once(place):
    """Somebody else's thread sets the event; the process group is gone within a quarter of a second."""
    place.start(hang=1, fork=1, pids=place.root / "pids")
    cancel, ended = threading.Event(), []

    def ask() -> None:
        with pytest.raises(TurnTimeout, match="cancelled"):
            place.ask(cancel=cancel)
        ended.append(time.monotonic())

    thread = threading.Thread(target=ask)
    thread.start()
    pids = place.pids()
    began = time.monotonic()
    cancel.set()
    thread.join(5.0)
    assert ended[0] - began < 0.25
    until(lambda: all(gone(pid) for pid in pids), 1.0)


@pytest.mark.alone
def test_what_the_binary_leaves_running_neither_holds_up_the_reply_nor_stays(place):
    """A grandchild that keeps stdout open is not waited for, and goes when the turn is over."""
    place.start(fork=1, reply="yes", pids=place.root / "pids")
    began = time.monotonic()
    assert place.ask().text == "yes"
    assert time.monotonic() - began < 2.0
    until(lambda: all(gone(pid) for pid in place.pids()), 1.0)


@pytest.mark.slow
@pytest.mark.alone
def test_closing_ends_what_runs_and_nothing_starts_afterwards(place):
    """A turn under way is told that the runtime was closed; its processes are gone when close returns."""
    backend = place.start(hang=1, fork=1, stubborn=1, pids=place.root / "pids")
    told: list[Exception] = []

    def ask() -> None:
        with pytest.raises(RuntimeBusy, match="closed") as caught:
            place.ask()
        told.append(caught.value)

    thread = threading.Thread(target=ask)
    thread.start()
    pids = place.pids()
    backend.close()
    until(lambda: all(gone(pid) for pid in pids), 1.0)
    thread.join(5.0)
    assert len(told) == 1
    with pytest.raises(RuntimeBusy, match="closed"):
        place.ask()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["reply", "timeout", "cancel", "flood"])
@pytest.mark.alone
def test_under_gevent_a_turn_lets_the_other_greenlets_run(place, mode):
    """The replicas are monkey-patched: a turn must not hold up a heartbeat, however it ends."""
    switches: dict[str, str | int] = {
        "reply": {"reply": HAIKU, "seen": place.root / "seen"},
        "timeout": {"hang": 1, "fork": 1, "pids": place.root / "pids"},
        "cancel": {"hang": 1, "stubborn": 1}, "flood": {"flood": 100},
    }[mode]  # fmt: skip
    script = write_stand_in(place.root / "bin", **switches)
    command = [sys.executable, "-m", "tests.turn_under_gevent", str(script), mode]
    run = subprocess.run(
        command, env=place.environ, input="typed", capture_output=True, text=True, timeout=60.0, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["said"] == {"reply": HAIKU, "timeout": "TurnTimeout", "cancel": "TurnTimeout"}.get(
        mode, "BackendUnreachable"
    )
    assert told["longest_gap"] < 0.25
    if mode == "reply":  # the keyboard is the application's, never the binary's
        assert json.loads((place.root / "seen").read_text(encoding="utf-8"))["stdin"] == ""
    if mode == "timeout":
        until(lambda: all(gone(pid) for pid in place.pids()), 1.0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux'")
@pytest.mark.alone
def test_the_binary_does_not_outlive_a_parent_that_is_killed(place):
    """A process killed in the middle of a turn (SIGKILL) takes the binary with it."""
    script = write_stand_in(place.root / "bin", hang=1, fork=1, pids=place.root / "pids")
    parent = subprocess.Popen(
        [sys.executable, "-m", "tests.turn_under_gevent", str(script), "reply"],
        cwd=Path(__file__).parents[2], env=place.environ, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    pid, grandchild = place.pids()
    assert not gone(pid)
    try:
        parent.kill()
        parent.wait()
        until(lambda: gone(pid))
    finally:  # what the binary itself started the kernel does not end
        os.kill(grandchild, signal.SIGKILL)
