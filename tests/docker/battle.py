"""Two racks on Docker that hand troopers over while containers are killed, and every log of it."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import urllib3

from bench.handoff_history import HandoffHistory, read_handoffs
from bench.rack import wait_until
from bench.rack_http import RackHttp
from bench.revolt import is_calm
from bench.two_racks import SERVICE, revolt
from tests.docker.deployed import TASK, Deployed
from tests.docker.racks import Racks

CALM = 30.0
"""Seconds after which nothing may be frozen or in doubt (issue)."""
_AGREE = 15.0
"""Seconds for a board to show what a log tells."""
_LOOK = 0.3
_HANDED_OVER = 4.0
"""Seconds within which the other side has the trooper, mostly."""
_RECORDS = """
import json, os, pathlib
for path in pathlib.Path(os.environ["REVOLT_SNAPSHOT_DIR"]).glob("*.json"):
    record = json.loads(path.read_text())["handoff"]
    print(json.dumps({k: record[k] for k in ("snapshot_id", "side", "phase", "settled")}
        | {"kept": record["state"] is not None}))
"""
_UNREACHABLE = (OSError, LookupError, ValueError, AssertionError, urllib3.exceptions.HTTPError)


class Battle:
    """Both racks, who was killed, and what each trooper logged, kept in ``archive`` as it is said."""

    def __init__(self, racks: Racks, archive: Path) -> None:
        self.racks, self.archive = racks, archive
        self.boards = tuple(RackHttp(side.url, side.secrets["token"]) for side in racks.both)
        self.killed: set[str] = set()
        self.outcomes: Counter[str] = Counter()
        self._rng = Random(5)
        self._followed: dict[str, subprocess.Popen[bytes]] = {}

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Follow the log of each trooper's container, new ones too: Swarm removes them with their slot."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(_LOOK):
                self._follow_new()

        thread = threading.Thread(target=run, name="follows logs")
        with ExitStack() as held:
            held.callback(self._stop_following)
            self._follow_new()
            thread.start()
            held.callback(thread.join)
            held.callback(over.set)
            yield

    def _follow_new(self) -> None:
        """Of containers that run: of one that was only created docker tells nothing and ends."""
        for side in self.racks.both:
            listed = side.engine.try_docker(
                "ps", "--no-trunc", "--filter", f"label=com.docker.swarm.service.name={SERVICE}",
                "--format", f'{{{{.ID}}}} {{{{.Label "{TASK}"}}}}',
            )  # fmt: skip
            for row in listed.stdout.splitlines():
                container, task_id = row.split(" ")
                if container not in self._followed:
                    log = (self.archive / f"{task_id}.log").open("wb")
                    with log:
                        self._followed[container] = subprocess.Popen(
                            ["docker", "logs", "--follow", container], env=side.engine.environment(),
                            stdout=log, stderr=log,
                        )  # fmt: skip

    def _stop_following(self) -> None:
        for follower in self._followed.values():
            follower.terminate()
            follower.wait(10)

    def hand_over_while(self, kind: str) -> None:
        """Hand over, and kill a ``replica``, ``manager`` or ``gateway`` of either rack while that is done."""
        killer = threading.Timer(self._rng.uniform(0.0, _HANDED_OVER), self._kill, [kind])
        killer.start()
        self.hand_over()
        killer.join()

    def _kill(self, kind: str) -> None:
        side = self._rng.choice(self.racks.both)
        with suppress(*_UNREACHABLE):
            if kind == "gateway":
                side.engine.docker("kill", side.container("gateway"))
                return
            if kind == "manager":
                task_id = side.manager(SERVICE)["id"]
            else:
                task_id = self._rng.choice(side.replicas(SERVICE))["id"]
            self.killed.add(task_id)
            side.kill(task_id)

    def hand_over(self) -> None:
        """Send a trooper from the larger rack to the other, and count what came of it."""
        outcome = "not answered"
        with suppress(*_UNREACHABLE):
            sizes = {board: len(board.swarm(SERVICE)["replicas"]) for board in self.boards}
            source = max(self.boards, key=lambda board: (sizes[board], self._rng.random()))
            here = [r["id"] for r in source.swarm(SERVICE)["replicas"] if r["state"] == "running"]
            status, body = revolt(source, self._rng.choice(here))
            outcome = "revolted" if status == 202 else f"{status} {body.get('code')}: {body.get('error')}"
        self.outcomes[outcome] += 1

    def records(self) -> list[dict[str, Any]]:
        """Both racks' records of handoffs, as they are on their disks."""
        return [record for side in self.racks.both for record in self._records_of(side)]

    def _records_of(self, side: Deployed) -> list[dict[str, Any]]:
        """One rack's; told by whichever trooper lives long enough to tell them."""

        def told() -> list[str]:
            trooper = self._rng.choice([seat.container for seat in side.seats(SERVICE) if seat.running])
            code, said = side.run_in(trooper, _RECORDS)
            if code != 0:
                raise LookupError(said)
            return ["", *said.splitlines()]

        lines = wait_until("a trooper tells the records", told, CALM, every=0.5)
        return [json.loads(line) for line in lines if line]

    def committed(self) -> int:
        """The handoffs that were carried out so far, whatever who asked for them was answered."""
        return sum(record["phase"] == "COMMITTED" for record in self.records())

    def wait_calm(self) -> None:
        """Until nobody is frozen and nothing is open on either side."""

        def calm() -> bool:
            return all(map(is_calm, self.boards)) and all(record["settled"] for record in self.records())

        wait_until("all is calm", calm, CALM, every=0.5)

    def play_every(self, seconds: int) -> None:
        """Have both racks play so often from now on."""

        def said() -> bool:
            body = {"interval_seconds": seconds}
            return all(board.ask("POST", "/api/rps/config", body)[0] == 200 for board in self.boards)

        wait_until("the interval is set", said)

    def judged(self) -> list[str]:
        """The verdict, while no round is played: a score may be on its way from a log to a board."""
        self.play_every(120)
        kept = {record["snapshot_id"] for record in self.records() if record["kept"]}
        ends_at = time.monotonic() + _AGREE
        verdict = self._history(kept).judge()
        while verdict and time.monotonic() < ends_at:
            verdict = self._history(kept).judge()
        return verdict

    def _history(self, kept: set[str]) -> HandoffHistory:
        history = read_handoffs(sorted(self.archive.glob("*.log")))
        history.killed |= self.killed
        history.kept |= kept
        for board in self.boards:
            history.final |= {r["id"]: r["score"] for r in board.swarm(SERVICE)["replicas"]}
        return history
