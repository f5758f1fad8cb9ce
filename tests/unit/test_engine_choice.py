"""Which engine the settings choose, and whose hand ends what runs there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from clawbucket.settings import BadSetting, Settings
from rack.engine_choice import choose
from rack.engines.docker import DockerEngine
from rack.engines.local import LocalEngine
from rack.engines.sim import SimEngine
from rack.metrics import Metrics


def chosen(**environment: str):
    """What is chosen with these variables."""
    settings = Settings.from_env(environment)
    return choose(settings, Metrics(), "http://127.0.0.1:1", ("true",), ())


def test_the_local_engine_is_the_default_and_ends_what_it_started(tmp_path: Path):
    """SIGTERM and the lifeline's end are carried out by the engine itself."""
    choice = chosen(CLAWBUCKET_STATE_DIR=str(tmp_path))
    assert isinstance(choice.engine, LocalEngine)
    assert (choice.end, choice.cut) == (choice.engine.shut_down, choice.engine.kill_all)
    choice.engine.close()


def test_on_swarm_neither_sigterm_nor_the_lifeline_ends_a_task(tmp_path: Path):
    """There is no Docker here: whatever was asked of it would fail."""
    choice = chosen(CLAWBUCKET_ENGINE="docker", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert isinstance(choice.engine, DockerEngine)
    choice.end()
    choice.cut()
    assert choice.engine.calls() == 0
    choice.engine.close()


def test_the_sim_engine_takes_thousands_and_is_ended_like_the_local_one(tmp_path: Path):
    """What the rack's API takes is told with it; nothing is started yet."""
    choice = chosen(
        CLAWBUCKET_ENGINE="sim", CLAWBUCKET_REPLICAS="5000", CLAWBUCKET_STATE_DIR=str(tmp_path),
    )  # fmt: skip
    assert isinstance(choice.engine, SimEngine)
    assert (choice.end, choice.cut) == (choice.engine.shut_down, choice.engine.kill_all)
    assert choice.most == 10_000
    choice.engine.close()


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("PEER_DASHBOARD_URL", "http://a"),
        ("CLAWBUCKET_PEERS", "a=http://a"),
        ("CLAWBUCKET_PEER_KEY", "12345678"),
    ],
)
def test_on_the_sim_engine_nobody_changes_racks(variable: str, given: str, tmp_path: Path):
    """It is refused by the variable's name before a trooper runs, not when one is to go."""
    with pytest.raises(
        BadSetting, match=f"{variable} is set, and troopers of the engine sim cannot change racks"
    ):
        chosen(CLAWBUCKET_ENGINE="sim", CLAWBUCKET_STATE_DIR=str(tmp_path), **{variable: given})


def test_only_the_sim_engine_starts_with_more_than_twenty():
    """Whatever its name's case; ten thousand are the most."""
    assert Settings.from_env({"CLAWBUCKET_ENGINE": "Sim", "CLAWBUCKET_REPLICAS": "1000"}).replicas == 1000
    for engine, count in (("local", "21"), ("docker", "21"), ("sim", "10001"), ("sim", "0")):
        with pytest.raises(BadSetting, match="CLAWBUCKET_REPLICAS"):
            Settings.from_env({"CLAWBUCKET_ENGINE": engine, "CLAWBUCKET_REPLICAS": count})


@pytest.mark.parametrize(
    ("variable", "given"),
    [
        ("CLAWBUCKET_ENGINE", "podman"),
        ("DOCKER_HOST", "/var/run/docker.sock"),
        ("DOCKER_HOST", "unix://relative.sock"),
        ("DOCKER_HOST", "http://host:2375"),
        ("DOCKER_HOST", "tcp://"),
    ],
)
def test_what_names_no_engine_is_refused(variable, given):
    """By name, with what is allowed."""
    with pytest.raises(BadSetting, match=variable):
        Settings.from_env({variable: given})


@pytest.mark.slow
def test_dockers_client_is_not_loaded_for_the_local_engine():
    """It would cost every local rack manager a tenth of a second at its start."""
    code = "import sys, rack.__main__; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
