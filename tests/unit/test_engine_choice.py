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
