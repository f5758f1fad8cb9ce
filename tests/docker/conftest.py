"""The engine of a run and the images on it, and every container's log beside a test that failed."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from clawbucket.cli.refusal import Refusal
from tests.docker import host
from tests.docker import images as made
from tests.docker.deployed import Deployed, deployed
from tests.docker.host import Engine, engine
from tests.docker.nodes import Nodes
from tests.docker.racks import Racks, racks_on

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def engine_host(pytestconfig: pytest.Config) -> Iterator[Engine]:
    """One engine for the whole run: the one that answers, or one of our own."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        host.past_capture = capture.global_and_fixture_disabled
    try:
        with engine() as found:
            yield found
    except Refusal as refusal:
        raise pytest.fail.Exception(str(refusal), pytrace=False) from None


@dataclass(frozen=True)
class Images:
    """Each image's tag; made when it is first asked for."""

    engine: Engine

    @cached_property
    def python(self) -> str:
        """Debian with Python: what ours is built from."""
        return made.base(self.engine, made.PYTHON)

    @cached_property
    def memcached(self) -> str:
        """Debian with memcached."""
        return made.base(self.engine, made.MEMCACHED)

    @cached_property
    def dind(self) -> str:
        """Debian with a Docker engine: a node of a swarm."""
        return made.base(self.engine, made.DIND)

    @cached_property
    def ollama(self) -> str:
        """A stand-in for Ollama."""
        return made.ollama(self.engine)

    @cached_property
    def clawbucket(self) -> str:
        """Ours, with the embedded agent runtime alone."""
        return made.clawbucket(self.engine)

    def for_stack(self) -> dict[str, str]:
        """The variables by which docker-stack.yml runs these images on this engine."""
        told = {
            "CLAWBUCKET_IMAGE": self.clawbucket,
            "MEMCACHED_IMAGE": self.memcached,
            "OLLAMA_IMAGE": self.ollama,
        }
        if self.engine.host.startswith("unix://"):
            told["DOCKER_SOCKET"] = self.engine.host.removeprefix("unix://")
        return told


@pytest.fixture(scope="session")
def images(engine_host: Engine) -> Images:
    """The images of the run."""
    return Images(engine_host)


@pytest.fixture(scope="session")
def swarm(engine_host: Engine) -> Engine:
    """The engine as a manager of a swarm: of the one it is in, or of a new one that is left as it is."""
    if engine_host.docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "active":
        engine_host.docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    assert engine_host.docker("info", "--format", "{{.Swarm.ControlAvailable}}") == "true", (
        f"the engine at {engine_host.host} is a worker of a swarm; these tests need a manager"
    )
    return engine_host


@pytest.fixture(scope="session")
def stack(swarm: Engine, images: Images) -> Iterator[Deployed]:
    """docker-stack.yml as it is, deployed once a run; each test leaves it whole again."""
    with deployed(swarm, images.for_stack()) as running:
        host.tell(f"the stack {running.name} runs after {running.seconds:.1f} s")
        yield running


@pytest.fixture(scope="session")
def racks(engine_host: Engine, images: Images) -> Iterator[Racks]:
    """Two racks on engines of their own, by ./deploy-racks.sh; each test leaves them whole again.

    They take both cores of a small machine, so the files that use them have names that come last, and the
    stack of those before is taken away.
    """
    engine_host.clean([f"{engine_host.prefix}-rack"])
    with racks_on(engine_host, images.for_stack(), images.dind) as running:
        yield running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first may have images to make: a minute each, and some five on a slow machine."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(made.BUILD))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failed test, the end of every container's log (dockerspawner's habit), on every node."""
    report = yield
    if report.failed:
        for found in getattr(item, "funcargs", {}).values():
            if isinstance(found, Engine | Nodes | Racks):
                report.sections += found.logs()
    return report
