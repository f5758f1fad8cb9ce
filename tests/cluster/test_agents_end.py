"""A rack that is ended while its troopers think: nothing of it is left, whatever carries the turns out."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.rack import RunningRack, rack, wait_until
from tests.fake_ollama_process import FakeOllama
from tests.stand_in_binary import write_stand_in

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

TROOPERS = 2
ENDS_WITHIN = 3.0
"""Seconds, as for a rack whose troopers do not think (test_up.py)."""


@pytest.fixture
def ollama() -> Iterator[FakeOllama]:
    """One that never comes to an end."""
    fake = FakeOllama(delay=3600.0)
    fake.start()
    yield fake
    fake.kill()


def binaries(running: RunningRack) -> list[psutil.Process]:
    """Every process of the rack that is the binary, or was started by it."""
    return [p for p in running.left() if any("stand_in_picoclaw" in word for word in _line(p))]


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def end(running: RunningRack, number: signal.Signals) -> float:
    """Signal the launcher; seconds until nothing was left."""
    began = time.monotonic()
    running.process.send_signal(number)
    running.process.wait(10)
    left = running.left
    wait_until("nothing is left", lambda: not left(), 5.0)
    return time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
@pytest.mark.parametrize("backend", ["embedded", "binary"])
def test_a_rack_ends_in_the_middle_of_turns(ollama: FakeOllama, tmp_path: Path, backend, number):
    """Every trooper has a turn that hangs; with the binary, one that started a process of its own."""
    binary = write_stand_in(tmp_path / "bin", hang=1, fork=1)
    environ = {"OLLAMA_URL": ollama.url, "PICOCLAW_BACKEND": backend, "PICOCLAW_BINARY": str(binary)}
    with rack("--services", "a_b", "--replicas", str(TROOPERS), environ=environ) as running:
        running.wait_running(TROOPERS)
        said = wait_until(
            "all are addressed", lambda: running.ask("POST", "/api/chat", {"text": "@all go"})[1]
        )
        assert len(said["addressed"]) == TROOPERS
        if backend == "binary":
            wait_until("each hangs, with a child", lambda: len(binaries(running)) == 2 * TROOPERS)
        else:
            wait_until("each hangs", lambda: ollama.seen()["running"] == TROOPERS)
        try:
            seconds = end(running, number)
        finally:
            for process in running.left():
                print(process, _line(process)[-8:])
                process.kill()
    print(f"\n{backend}, {number.name}: nothing left after {seconds:.2f} s")
    assert seconds < ENDS_WITHIN
