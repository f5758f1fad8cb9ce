"""Two local racks of real processes hand troopers to and fro while things are killed; a checker judges."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import psutil
import pytest
import urllib3

from bench.handoff_history import HandoffHistory
from bench.rack import RunningRack, wait_until
from bench.revolt import is_calm
from bench.two_racks import SERVICE, Pair, revolt, two_racks
from clawbucket.core.revolt import Phase
from clawbucket.ports import ClawError

pytestmark = pytest.mark.slow

HANDOFFS = 200
WORKERS = 4
"""Handoffs under way at one time."""
KILL_EVERY = 3.0
"""Seconds between two kills."""
CALM = 30.0
"""Seconds after which nothing may be frozen or in doubt (issue)."""
UNREACHABLE = (OSError, LookupError, ValueError, ClawError, psutil.Error, urllib3.exceptions.HTTPError)


class Battle:
    """The pair of racks, who was killed in it, and every log of it."""

    def __init__(self, pair: Pair, archive: Path) -> None:
        self.pair, self.archive = pair, archive
        self.killed: set[str] = set()
        self.outcomes: Counter[str] = Counter()
        self._rng = Random(5)
        self._guard = threading.Lock()

    @property
    def racks(self) -> tuple[RunningRack, RunningRack]:
        return self.pair.both

    def keep_logs(self) -> None:
        """The racks tidy the logs of the long dead away: each is linked as it appears."""
        self.pair.keep_logs(self.archive)

    def kill(self, rack: RunningRack, task_id: str) -> None:
        """SIGKILL to a task."""
        with contextlib.suppress(*UNREACHABLE):
            pid = rack.pid_of(task_id)
            self.killed.add(task_id)
            os.killpg(pid, signal.SIGKILL)

    def kill_something(self) -> None:
        """A replica, a manager, or a gateway."""
        rack = self._rng.choice(self.racks)
        with contextlib.suppress(*UNREACHABLE):
            what = self._rng.choice(["replica", "replica", "manager", "gateway"])
            if what == "gateway":
                os.kill(rack.pid_of_program("gateway"), signal.SIGKILL)
            elif what == "manager":
                self.kill(rack, next(r["id"] for r in rack.swarm(SERVICE)["replicas"] if r["is_manager"]))
            else:
                self.kill(rack, self._rng.choice(rack.running()).id)

    def larger(self) -> RunningRack:
        """The side that has more; one of them by chance where they are even."""
        sides = [(len(rack.running(SERVICE)), self._rng.random(), rack) for rack in self.racks]
        return max(sides, key=lambda side: side[:2])[2]

    def hand_over(self, source: RunningRack | None = None) -> str:
        """Send a trooper from that side, or the larger, to the other; the outcome in a word."""
        try:
            source = source or self.larger()
            replicas = source.swarm(SERVICE)["replicas"]
            here = [
                r["id"] for r in replicas if not (r["frozen"] or r["defected"] or r["state"] != "running")
            ]
            status, body = revolt(source, self._rng.choice(here))
        except UNREACHABLE as error:
            return type(error).__name__
        return "revolted" if status == 202 else f"{status} {body.get('code')}"

    def wait_calm(self) -> None:
        """Until nobody is frozen and nothing is open on either side."""
        wait_until("all is calm", self.is_calm, timeout=CALM, every=0.25)

    def is_calm(self) -> bool:
        return all(map(is_calm, self.racks)) and not self.open_records()

    def committed(self) -> int:
        """The handoffs that were carried out so far, whatever who asked for them was answered."""
        return sum(
            record["phase"] == "COMMITTED" for rack in self.racks for record in self.pair.records(rack)
        )

    def open_records(self) -> list[str]:
        """The handoffs that are not settled, of either side."""
        return [
            f"{record['snapshot_id']} {record['side']} {record['phase']}"
            for rack in self.racks
            for record in self.pair.records(rack)
            if not record["settled"]
        ]

    def history(self) -> HandoffHistory:
        """What happened so far."""
        history = self.pair.history(self.archive)
        history.killed |= self.killed
        return history

    def judged(self) -> list[str]:
        """The verdict, while no round is played: a score may be on its way from a log to a board."""
        self.play_every(120)
        verdict = self.history().judge()
        ends_at = time.monotonic() + 15.0
        while verdict and time.monotonic() < ends_at:
            verdict = self.history().judge()
        self.play_every(2)
        return verdict

    def play_every(self, seconds: int) -> None:
        """Have both racks play so often from now on."""

        def said() -> bool:
            body = {"interval_seconds": seconds}
            return all(rack.ask("POST", "/api/rps/config", body)[0] == 200 for rack in self.racks)

        wait_until("the interval is set", said)

    @contextmanager
    def meanwhile(self, act: Callable[[], None], every: float) -> Iterator[None]:
        """Do something again and again."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(every):
                act()

        thread = threading.Thread(target=run, name=act.__name__)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@pytest.fixture(scope="module")
def battle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Battle]:
    """Two racks of 6 each, their rounds quick."""
    archive = tmp_path_factory.mktemp("logs")
    with two_racks("--replicas", "6", "--services", SERVICE) as pair:
        pair.wait_running(6)
        battle = Battle(pair, archive)
        battle.play_every(2)
        with battle.meanwhile(battle.keep_logs, 0.2):
            yield battle


@pytest.mark.timeout(120)
def test_a_trooper_takes_everything_along(battle: Battle):
    """Score, words, ARM state and badge are there; its task has ended; each side's count is one other."""
    one, two = battle.racks
    task = one.running(SERVICE)[-1]
    assert one.ask("POST", "/api/arm", {"task_id": task.id, "state": "on"})[0] == 201
    wait_until("it is armed", lambda: _replica(one, task.id)["arm"] == "on")
    sizes = len(one.running(SERVICE)), len(two.running(SERVICE))
    status, body = revolt(one, task.id)
    assert status == 202, str(body)
    assert (body["status"], body["source_desired_replicas"]) == ("revolted", sizes[0] - 1)
    assert Path(body["source_snapshot_path"]).exists()
    assert Path(body["target_snapshot_path"]).exists()
    heir = wait_until("it is seen on the other side", lambda: _replica(two, body["target_task_id"]))
    assert heir["from_rack"] == "Machine Rack 1"
    wait_until("it is armed there", lambda: _replica(two, heir["id"])["arm"] == "on")
    wait_until("it has left", lambda: task.id not in {t.id for t in one.running(SERVICE)})
    assert (len(one.running(SERVICE)), len(two.running(SERVICE))) == (sizes[0] - 1, sizes[1] + 1)
    for rack, phases in ((one, ["PREPARED", "COMMITTED"]), (two, ["ACCEPTED", "RESTORED"])):
        told = rack.ask("GET", f"/api/revolt/{body['snapshot_id']}")[1]
        assert [p["phase"] for p in told["phases"]] == phases
    battle.wait_calm()
    assert battle.judged() == []


def _replica(rack: RunningRack, task_id: str) -> dict[str, Any]:
    """The replica as the board has it. LookupError: it is not there yet."""
    found = [r for r in rack.replicas() if r["id"] == task_id]
    if not found:
        raise LookupError(task_id)
    return found[0]


STEPS = [
    ("source", Phase.PREPARED, "by"),
    ("source", Phase.PREPARED, "source_task_id"),
    ("target", Phase.ACCEPTED, "by"),
    ("target", Phase.ACCEPTED, "target_task_id"),
    ("target", Phase.RESTORED, "by"),
    ("target", Phase.RESTORED, "target_task_id"),
    ("source", Phase.COMMITTED, "by"),
    ("source", Phase.COMMITTED, "source_task_id"),
]


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("side", "phase", "who"), STEPS, ids=[f"{p.value}-{who}" for _, p, who in STEPS])
def test_whoever_dies_at_a_step_the_handoff_ends_well(battle: Battle, side: str, phase: Phase, who: str):
    """Killed as soon as that phase is on the disk: finished or undone within 30 s, nobody lost or doubled."""
    source = battle.larger()
    target = battle.pair.other(source)
    seen = set(battle.pair.snapshots(source).glob("*.json")) | set(
        battle.pair.snapshots(target).glob("*.json")
    )
    victims: list[str] = []

    def strike() -> None:
        where = battle.pair.snapshots(source if side == "source" else target)
        for path in set(where.glob("*.json")) - seen:
            with contextlib.suppress(OSError, ValueError, LookupError):
                record = json.loads(path.read_text())["handoff"]
                reached = [change["phase"] for change in record["phases"]]
                if phase in reached and record[who] and not victims:
                    victims.append(record[who])
                    battle.kill(source if side == "source" else target, record[who])

    with battle.meanwhile(strike, 0.005):
        outcomes = [battle.hand_over(source)]
        while not victims and len(outcomes) < 5:  # whoever was asked for may just have left
            outcomes.append(battle.hand_over(source))
    assert victims, outcomes
    battle.wait_calm()
    assert battle.judged() == []


@pytest.mark.timeout(900)
def test_two_hundred_handoffs_while_everything_is_killed(battle: Battle):
    """Both ways, four at a time: every trooper is there once, and its score is what its logs say."""
    done: Counter[str] = Counter()
    before = battle.committed()

    def work() -> None:
        while battle.committed() - before < HANDOFFS and sum(done.values()) < 10 * HANDOFFS:
            done[battle.hand_over()] += 1

    workers = [threading.Thread(target=work) for _ in range(WORKERS)]
    with battle.meanwhile(battle.kill_something, KILL_EVERY):
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    print(f"{dict(done)}, {len(battle.killed)} killed")
    battle.wait_calm()
    assert battle.committed() - before >= HANDOFFS
    assert battle.judged() == []
