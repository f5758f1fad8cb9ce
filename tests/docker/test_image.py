"""The image: built both ways, runs as nobody in particular, and holds what it needs and nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from bench.rack import wait_until
from tests.docker import images as made
from tests.docker.conftest import Images
from tests.docker.host import Engine

pytestmark = pytest.mark.slow

SERVING = ("app", "aggregator", "gateway")
"""The programs that start without an engine; the rack manager's start is the stack's to test."""
TMP = "/tmp"  # noqa: S108 - in a container
SNAPSHOTS = f"{TMP}/clawbucket-revolt-snapshots"
GRACE = 5.0
"""Seconds in which every program ends; docker-stack.yml gives 10."""
CANARY = "canary.invalid"

_numbers = count(1)


@pytest.fixture(scope="module")
def image(images: Images) -> str:
    """The image's tag."""
    return images.clawbucket


@pytest.fixture
def shell(engine_host: Engine, image: str) -> Callable[..., str]:
    """What a shell line in a fresh container of the image prints."""

    def run(line: str, of: str = image) -> str:
        return engine_host.docker(
            "run", "--rm", "--name", name(engine_host), "--entrypoint", "sh", of, "-c", line
        )

    return run


@pytest.fixture
def started(engine_host: Engine, image: str) -> Iterator[Callable[..., str]]:
    """Starts a program as the stack does: read-only, without capabilities. Its container's name."""
    names: list[str] = []

    def start(program: str, *options: str) -> str:
        names.append(name(engine_host))
        engine_host.docker(
            "run", "--detach", "--name", names[-1], "--read-only", "--tmpfs", TMP, "--cap-drop", "ALL",
            "--env", "CLAWBUCKET_RACK_TOKEN=a-token-of-the-test", *options, image, "python", "-m", program,
        )  # fmt: skip
        return names[-1]

    yield start
    for left in names:
        engine_host.try_docker("rm", "--force", left)


def name(engine: Engine) -> str:
    """A name for one more container of this run."""
    return f"{engine.prefix}-image-{next(_numbers)}"


def health(engine: Engine, container: str) -> str:
    """What Docker says of its health."""
    return engine.docker("inspect", "--format", "{{.State.Health.Status}}", container)


# Building -----------------------------------------------------------------------------------------------


def test_the_classic_builder_builds_it(engine_host, image):
    """The builder of an engine without BuildKit makes the image, with its labels and its signal."""
    told = json.loads(engine_host.docker("image", "inspect", image))[0]["Config"]
    assert told["StopSignal"] == "SIGTERM"
    assert told["Healthcheck"]["Test"][0] == "CMD"
    assert told["Labels"]["org.opencontainers.image.title"] == "clawbucket"


def test_buildkit_builds_it_where_there_is_buildkit(engine_host):
    """BuildKit makes it from the same file (skipped, by name, where no docker command here has BuildKit)."""
    command = buildkit()
    if command is None:
        pytest.skip("no docker command here has BuildKit: neither buildx, nor one older than 23")
    tag = f"{engine_host.prefix}-buildkit:test"
    done = subprocess.run(
        [*command, "--tag", tag, *made.build_arguments(engine_host), made.ROOT],
        env=engine_host.environment(DOCKER_BUILDKIT="1"), capture_output=True, text=True, timeout=made.BUILD,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    assert engine_host.docker("run", "--rm", "--name", name(engine_host), tag, "id", "-u") == "10001"


def buildkit() -> list[str] | None:
    """A build command that uses BuildKit: buildx's, or that of a docker which still has it built in."""
    for docker in filter(None, (shutil.which("docker"), shutil.which("docker", path="/usr/bin"))):
        if subprocess.run([docker, "buildx", "version"], capture_output=True, check=False).returncode == 0:
            return [docker, "buildx", "build", "--load"]
        version = subprocess.run(
            [docker, "--version"], capture_output=True, text=True, check=True
        )  # fmt: skip
        major = re.search(r"\d+", version.stdout)
        if major and int(major[0]) < 23:
            return [docker, "build"]
    return None


def test_an_upstream_agent_is_put_on_the_path(engine_host, shell):
    """PICOCLAW_IMAGE's binary is there as ``picoclaw``, whatever else that image holds or lacks."""
    upstream = made.stand_in(engine_host, f"{engine_host.prefix}-upstream:test", "/usr/local/bin/picoclaw")
    tag = made.clawbucket(engine_host, f"{engine_host.prefix}-agent:test", upstream)
    assert shell("picoclaw version", tag) == "picoclaw stand-in version"


def test_without_an_upstream_image_there_is_no_upstream_agent(shell):
    """PICOCLAW_IMAGE set to nothing builds an image with the embedded runtime alone."""
    assert shell("command -v picoclaw || echo none; python -c 'import picoclaw.embedded'") == "none"


def test_an_upstream_image_without_the_agent_is_refused(engine_host):
    """The build says in one sentence which image lacks it, and how to do without."""
    empty = made.stand_in(engine_host, f"{engine_host.prefix}-empty:test", "/etc/passwd")
    done = engine_host.try_docker(
        "build", "--force-rm", *made.build_arguments(engine_host, empty), made.ROOT, timeout=made.BUILD,
        DOCKER_BUILDKIT="0",
    )  # fmt: skip
    assert done.returncode != 0
    assert f"{empty} has no /usr/local/bin/picoclaw" in done.stdout + done.stderr


# What is in it ------------------------------------------------------------------------------------------


def test_it_runs_as_an_ordinary_user_who_can_change_nothing(shell):
    """A fixed user id that owns none of the program."""
    assert shell("id -u; id -g") == "10001\n10001"
    places = "/srv/clawbucket /opt/venv /usr/local/bin /etc"
    assert shell(f"for place in {places}; do test -w $place && echo $place; done; true") == ""


def test_neither_pip_nor_a_compiler_nor_a_cache_is_left_in_it(shell):
    """What was needed to build it only, and what was in the clone only, is not in it."""
    tools = "pip pip3 gcc cc g++ make git curl"
    assert shell(f"for t in {tools}; do command -v $t; done; python -m pip --version 2>/dev/null; true") == ""
    caches = "/root/.cache /var/cache/apt/archives /etc/pip.conf"
    assert shell(f"ls -A {caches} 2>/dev/null | grep -v -e : -e '^$'; true") == ""
    assert shell("ls -A /tmp") == "clawbucket-revolt-snapshots"
    assert set(shell("ls -A /srv/clawbucket").split()) == {
        "aggregator", "app", "clawbucket", "docker", "gateway", "picoclaw", "rack", "requirements.lock",
    }  # fmt: skip


def test_what_pip_was_told_is_not_left_in_it(engine_host, shell):
    """An index, with the password that may be in its address, stays in the stage that is thrown away."""
    tag = f"{engine_host.prefix}-canary:test"
    engine_host.docker(
        "build", "--quiet", "--tag", tag, *made.build_arguments(engine_host),
        "--build-arg", f"PIP_TRUSTED_HOST={CANARY}", made.ROOT, timeout=made.BUILD, DOCKER_BUILDKIT="0",
    )  # fmt: skip
    assert CANARY not in engine_host.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", tag)
    assert CANARY not in engine_host.docker("image", "inspect", tag)
    assert shell(f"grep -rl {CANARY} /etc /opt /srv /tmp /usr/local 2>/dev/null; true", tag) == ""
    assert "PIP_" not in shell("env", tag)


def test_its_history_names_no_address(engine_host, image):
    """Nothing in its layers tells where it was built or from where."""
    own = engine_host.docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert "http://" not in own
    assert "https://" not in own


def test_the_programs_find_the_docker_library_not_the_directory(shell):
    """The directory docker/ of the clone does not hide Docker's client from the rack manager."""
    assert shell("python -c 'import docker; print(docker.DockerClient.__name__)'") == "DockerClient"


# Running it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", [*SERVING, "rack"])
def test_each_program_starts_by_its_command(engine_host, image, program):
    """``python -m PROGRAM`` reads its settings, and refuses a bad one in a sentence."""
    done = engine_host.try_docker(
        "run", "--rm", "--name", name(engine_host), "--env", "CLAWBUCKET_BIND=nonsense",
        "--env", "CLAWBUCKET_RACK_TOKEN=a-token-of-the-test", image, "python", "-m", program,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"{program}: CLAWBUCKET_BIND takes")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("program", SERVING)
def test_a_started_program_becomes_healthy_and_ends_when_told(engine_host, started, program):
    """Read-only and without capabilities it turns healthy; ``docker stop`` ends it in time, in order."""
    container = started(program, "--health-interval", "1s")
    wait_until(f"{program} is healthy", lambda: health(engine_host, container) == "healthy", timeout=60.0)
    began = time.monotonic()
    engine_host.docker("stop", "--time", "30", container)
    assert time.monotonic() - began < GRACE
    assert engine_host.docker("inspect", "--format", "{{.State.ExitCode}}", container) == "0"


def test_a_program_that_hangs_becomes_unhealthy(engine_host, started):
    """The process is there and its port takes connections, and still it is told to be ill."""
    container = started("app", "--init", "--health-interval", "1s", "--health-retries", "1")
    wait_until("it is healthy", lambda: health(engine_host, container) == "healthy", timeout=60.0)
    everybody = "import os, signal; [os.kill(int(p), signal.SIGSTOP) for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]"  # noqa: E501
    engine_host.docker("exec", container, "python", "-c", everybody)
    wait_until("it is unhealthy", lambda: health(engine_host, container) == "unhealthy", timeout=60.0)


def test_a_volume_for_snapshots_belongs_to_the_user(engine_host, image):
    """A new named volume in the place of the snapshots can be written by the program."""
    volume = f"{engine_host.prefix}-snapshots"
    engine_host.docker(
        "run", "--rm", "--name", name(engine_host), "--read-only", "--cap-drop", "ALL", "--tmpfs", TMP,
        "--volume", f"{volume}:{SNAPSHOTS}", image,
        "touch", f"{SNAPSHOTS}/one",
    )  # fmt: skip
    engine_host.docker("volume", "rm", volume)


def test_the_builder_is_sent_the_sources_only():
    """The list of what is sent is one of what is wanted, and names everything that is there."""
    wanted = [line[1:] for line in (made.ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"]
    assert all((made.ROOT / path).exists() for path in wanted), wanted
    programs = {path.parent.name for path in Path(made.ROOT).glob("*/__main__.py")} - {"bench"}
    assert programs <= set(wanted)
