"""A run that was killed does not stand in the next one's way."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.docker.host import Engine
from tests.docker.leftovers import mounts, run_directory, sweep

RUN = re.compile(r"clawtest-(\d+)\b")
DEAD, ALIVE = 11, 22

pytestmark = pytest.mark.usefixtures("engine_host")  # its refusal says what is missing: root, or an engine


def network_in(directory: Path) -> Path:
    """A network namespace mounted in ``directory``, as dockerd mounts those of a swarm."""
    place = directory / "exec" / "netns" / "lb one"
    place.parent.mkdir(parents=True)
    place.touch()
    subprocess.run(["unshare", f"--net={place}", "true"], check=True, timeout=30)
    assert mounts(directory) == [place]
    return place


def test_networks_of_a_dead_run_are_let_go_and_those_of_a_live_one_are_not(tmp_path: Path) -> None:
    """What a killed engine left mounted goes with its directory; another run's stays."""
    dead, live = tmp_path / f"clawtest-{DEAD}-x", tmp_path / f"clawtest-{ALIVE}-y"
    network_in(dead)
    kept = network_in(live)
    try:
        assert sweep(RUN, tmp_path, alive=lambda pid: pid == ALIVE) == [dead]
        assert not dead.exists()
        assert mounts(tmp_path) == [kept]
    finally:
        sweep(RUN, tmp_path, alive=lambda _: False)


def test_a_run_directory_goes_with_what_is_mounted_in_it() -> None:
    """An engine that leaves its networks mounted does not make the run's end fail."""
    with run_directory("clawtest-mounts-") as directory:
        network_in(directory)
    assert not directory.exists()
    assert mounts(directory) == []


def test_the_logs_of_an_engine_that_is_gone_say_so(tmp_path: Path) -> None:
    """A failure after the engine's end is reported as it is, and not as one of pytest itself."""
    sections = Engine(f"unix://{tmp_path}/none.sock").logs()
    assert [name for name, _ in sections] == ["containers"]
    assert "daemon" in sections[0][1]
