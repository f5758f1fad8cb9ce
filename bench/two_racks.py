"""Two racks of real processes that know each other, for the figures and the cluster tests of handoffs."""

from __future__ import annotations

import json
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.handoff_history import HandoffHistory, read_handoffs
from bench.rack import RunningRack, free_port
from bench.rack_http import RackHttp

SERVICE = "clawbucket_clawbucket"
ANSWERED = 32.0
"""Seconds for a handoff's answer: the gateway gives up after 30."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Both racks."""

    one: RunningRack
    two: RunningRack

    @property
    def both(self) -> tuple[RunningRack, RunningRack]:
        """In their order."""
        return self.one, self.two

    def other(self, rack: RunningRack) -> RunningRack:
        """The rack that is not this one."""
        return self.two if rack is self.one else self.one

    def wait_running(self, count: int) -> None:
        """Until each has that many running replicas."""
        for rack in self.both:
            rack.wait_running(count, timeout=60.0)

    def keep_logs(self, archive: Path) -> None:
        """Link each log into ``archive``: the racks tidy those of the long dead away."""
        for path in [*self.one.logs(), *self.two.logs()]:
            with suppress(FileExistsError, FileNotFoundError):
                (archive / path.name).hardlink_to(path)

    def records(self, rack: RunningRack) -> list[dict[str, Any]]:
        """That rack's records of handoffs, as they are on its disk."""
        files = self.snapshots(rack).glob("*.json")
        return [json.loads(path.read_text())["handoff"] for path in files]

    def history(self, archive: Path) -> HandoffHistory:
        """What all logs tell, with the scores as the boards have them and what was written down."""
        self.keep_logs(archive)
        history = read_handoffs(sorted(archive.iterdir()))
        for rack in self.both:
            history.final |= {r["id"]: r["score"] for r in rack.replicas()}
            history.kept |= {r["snapshot_id"] for r in self.records(rack) if r["state"] is not None}
        return history

    def snapshots(self, rack: RunningRack) -> Path:
        """Where that rack keeps its snapshots."""
        return rack.home / "revolt"


def revolt(rack: RackHttp, task_id: str) -> tuple[int, Any]:
    """Hand a trooper of ``rack`` over: status and JSON."""
    return rack.ask("POST", "/api/revolt", {"service": SERVICE, "task_id": task_id}, timeout=ANSWERED)


@contextmanager
def two_racks(*options: str, environ: dict[str, str] | None = None) -> Iterator[Pair]:
    """Two racks for the length of a block, each in a directory that goes with it."""
    ports = free_port(), free_port()
    key = secrets.token_hex(32)
    with ExitStack() as held:
        racks = []
        for number in range(2):
            home = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="claw-")))
            told = {
                "CLAWBUCKET_PEER_KEY": key,
                "PEER_DASHBOARD_URL": f"http://127.0.0.1:{ports[1 - number]}",
                "REVOLT_SNAPSHOT_DIR": str(home / "revolt"),
                **(environ or {}),
            }
            label = f"Machine Rack {number + 1}"
            rack = RunningRack(home, "--label", label, *options, environ=told, port=ports[number])
            held.callback(rack.stop)
            racks.append(rack)
        yield Pair(*racks)
