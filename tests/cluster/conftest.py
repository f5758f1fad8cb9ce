"""A rack of real processes for the fault tests, and what is shown when one of them fails."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from bench.rack import RunningRack, rack

SERVICE = "clawbucket_clawbucket"
SECOND = "clawbucket_clawbucket-b"


@pytest.fixture(scope="module")
def running() -> Iterator[RunningRack]:
    """One rack of 3 + 3 a module; each test leaves it whole again."""
    with rack("--replicas", "3") as started:
        started.wait_running(6)
        yield started


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failed test, the end of every log of its rack (dockerspawner's habit)."""
    report = yield
    started = getattr(item, "funcargs", {}).get("running")
    if report.failed and isinstance(started, RunningRack):
        report.sections.append(("launcher", started.output()))
        report.sections += [(path.name, _tail(path)) for path in started.logs()[-30:]]
    return report


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-1_500:]
