"""Twenty manager kills, recorded from two sides and judged by a checker."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.election import settled, takeover
from bench.rack import RunningRack, rack
from clawbucket import codecs, keys
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.clock import SystemClock
from clawbucket.codecs import Gate
from clawbucket.ports import ClawError
from tests.cluster.conftest import SECOND, SERVICE
from tests.history import read_logs

KILLS = 20
_LOOK_EVERY = 0.01


@contextmanager
def observed(running: RunningRack, leases: dict[str, list[tuple[str, int]]], archive: Path) -> Iterator[None]:
    """Read both services' leases all the time, from outside, into ``leases``.

    The rack tidies away the logs of the long dead, so each log is linked into ``archive`` as it appears.
    """
    bus, gate = MemcachedBus("127.0.0.1", running.memcached_port()), Gate(SystemClock())
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_EVERY):
            _archive(running, archive)
            for service in (SERVICE, SECOND):
                key = keys.LEADER.of(service)
                try:
                    lease = gate.read(codecs.LEASE, key, bus.get(key))
                except ClawError:
                    continue
                seen = leases[service]
                if lease is not None and (not seen or seen[-1] != (lease.task_id, lease.epoch)):
                    seen.append((lease.task_id, lease.epoch))

    observer = threading.Thread(target=look, name="observer")
    observer.start()
    try:
        yield
    finally:
        over.set()
        observer.join()
        bus.close()


def _archive(running: RunningRack, archive: Path) -> None:
    for path in running.logs():
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            (archive / path.name).hardlink_to(path)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_twenty_manager_kills_leave_a_good_history(tmp_path):
    """Never two leaders in one epoch or at one time, epochs only rise, no round is scored twice."""
    leases: dict[str, list[tuple[str, int]]] = {SERVICE: [], SECOND: []}
    killed_at: dict[str, float] = {}
    archive = tmp_path / "logs"
    archive.mkdir()
    with rack("--replicas", "3") as running:
        running.wait_running(6)
        running.ask("POST", "/api/rps/config", {"interval_seconds": 2})
        with observed(running, leases, archive):
            for _ in range(KILLS):
                manager = settled(running)
                killed_at[manager] = takeover(running, manager, signal.SIGKILL).at
            settled(running)
            _archive(running, archive)
    history = read_logs(archive.iterdir(), killed_at)
    history.leases.update(leases)
    assert history.judge() == []
    kills_recorded = [reign for reign in history.reigns if reign.service == SERVICE]
    assert len(kills_recorded) > KILLS, "the history tells of fewer reigns than there were kills"
    assert len(history.scores) > KILLS, "the history tells of hardly any rounds"
    assert len({epoch for _, epoch in leases[SERVICE]}) > KILLS
