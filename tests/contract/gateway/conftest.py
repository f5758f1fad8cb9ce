from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.gateway.stage import Stage, running_gateway


@pytest.fixture(scope="module")
def gateway() -> Iterator[Stage]:
    """One gateway for the module."""
    with running_gateway() as stage:
        yield stage


@pytest.fixture
def stage(gateway: Stage) -> Iterator[Stage]:
    """The gateway without replicas; none and nothing under way is left afterwards."""
    yield gateway
    gateway.clear()
