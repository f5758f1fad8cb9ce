"""The sim engine, held to the engines' contract and to promises of its own, with real worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.engine_suite import A, B, EngineContract, Rig, all_run, until
from tests.contract.sim_rig import SimRig


def rig_of(directory: Path, fronts: int) -> Iterator[SimRig]:
    """A rig whose engine runs."""
    made = SimRig(directory, fronts)
    made.begin()
    yield made
    made.end()


class TestSimEngine(EngineContract):
    """The contract: two fronts a service, and packed troopers beside them where more are asked for."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[SimRig]:
        """Two fronts a service."""
        yield from rig_of(tmp_path, fronts=2)


class TestPackedTroopers(EngineContract):
    """The contract where every trooper is packed. Only that each has an address is not asked of them."""

    @pytest.fixture
    def rig(self, tmp_path: Path) -> Iterator[SimRig]:
        """No fronts."""
        yield from rig_of(tmp_path, fronts=0)

    def test_fills_every_slot(self, rig: Rig):
        """Every service gets its replicas in slots from 1, running, and none has an address."""
        snapshot = until(rig.engine, all_run)
        for service in (A, B):
            assert [task.slot for task in snapshot.tasks_of(service)] == [1, 2]
        assert {task.address for task in snapshot.tasks} == {None}
        assert snapshot.engine == "sim"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SimRig]:
    """One front a service, and one packed trooper."""
    yield from rig_of(tmp_path, fronts=1)
