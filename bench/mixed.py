"""A rack of six under 200 users of every kind, while one replica after another is killed; and its memory.

The users are those of ``./claw load`` (load/), started as anybody would. The killer and the sampler are here.
A replica lives for a minute or so, so what grows in one is looked for by its age, and over all of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import psutil

from bench.figures import Figure, at_most
from bench.rack import ROOT, RunningRack, rack
from clawbucket.cli.refusal import Refusal
from clawbucket.ports import ClawError
from load import figures as measured
from load.invariants import MARK
from load.reporting import NAME as REPORT

MINUTES = 10.0
"""The issue's bar is for so long; a shorter run is only reported."""
USERS, REPLICAS = 200, 3
KILL_EVERY, LOOK_EVERY = 10.0, 3.0
"""Seconds between two kills, and between two looks at the memory."""
SETTLED, WINDOW = 0.2, 0.1
"""Shares of the time: until memory has its size, and of which a median is taken, then and last."""
GROWTH = 5.0
"""Percent by which memory may grow from then on."""
_SEED = 7
_LIMITS = "failed_reads = 0\nviolations = 0\n"
"""What ``./claw load`` shows beside its figures; the rest is judged here."""
_OF_LAUNCHER = "launcher"
_STALE = (OSError, LookupError, ClawError, psutil.Error)
"""What a look at a process or a rack meets that is just changing."""

Series = list[tuple[float, float]]
"""Seconds since the load began, and MiB."""


def measure(minutes: float = MINUTES, users: int = USERS) -> list[Figure]:
    """The figures of one run. Refusal: Locust is not installed, or the load test did not take place."""
    with tempfile.TemporaryDirectory(prefix="claw-") as place, rack("--replicas", str(REPLICAS)) as running:
        running.wait_running(2 * REPLICAS)
        memory = Memory(running)
        killer = Killer(running)
        with every(KILL_EVERY, killer.kill), every(LOOK_EVERY, memory.look):
            reports = _load(running, Path(place), minutes, users)
        report = json.loads((reports / REPORT).read_text())
        entries = json.loads((reports / "requests.json").read_text())
    barred = minutes >= MINUTES and users >= USERS
    return [
        *told(report["figures"], entries, killer.killed, barred=barred),
        *_grown(memory, minutes, barred=barred),
    ]


def _load(running: RunningRack, place: Path, minutes: float, users: int) -> Path:
    """``./claw load``, until its time is up; where its report is."""
    limits, reports = place / "limits.toml", place / "report"
    limits.write_text(_LIMITS)
    command = [
        sys.executable, "-m", "clawbucket", "load", "--headless", "--host", running.url,
        "--users", str(users), "--spawn-rate", "20", "--duration", f"{round(60 * minutes)}s",
        "--thresholds", str(limits), "--reports", str(reports),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
    if not (reports / REPORT).exists():
        raise Refusal(f"the load test ended with {done.returncode} and left no report; what it said is above")
    return reports


@contextmanager
def every(seconds: float, act: Any) -> Iterator[None]:
    """Do something each so many seconds, in a thread, for the length of the block."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            act()

    thread = threading.Thread(target=run, name=act.__qualname__, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Killer:
    """Kills a replica of that rack, chosen by chance and always by the same one."""

    def __init__(self, running: RunningRack) -> None:
        self._running = running
        self._rng = Random(_SEED)
        self._client = running.client
        self._began = time.monotonic()
        self.killed: list[float] = []
        """Seconds from the beginning to each kill."""

    def kill(self) -> None:
        """SIGKILL to the process group of one that runs. Nobody where none does just now."""
        with suppress(*_STALE):
            snapshot = self._client.snapshot()
            tasks = sorted((t for t in snapshot.tasks if t.running), key=lambda t: t.name) if snapshot else []
            if tasks:
                os.killpg(self._running.pid_of(self._rng.choice(tasks).id), signal.SIGKILL)
                self.killed.append(time.monotonic() - self._began)


# Memory -------------------------------------------------------------------------------------------------


class Memory:
    """What a rack's programs have for themselves alone (USS), in MiB, as often as one looks.

    ``of`` is by program, ``replicas`` the median of all replicas, ``by_age`` each by the minute of its life.
    """

    def __init__(self, running: RunningRack) -> None:
        self._running = running
        self._began = time.monotonic()
        self.of: dict[str, Series] = defaultdict(list)
        self.replicas: Series = []
        self.by_age: dict[int, list[float]] = defaultdict(list)

    def look(self) -> None:
        """Take down what each has now."""
        now = time.monotonic() - self._began
        programs: dict[str, float] = defaultdict(float)
        tasks: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for process in self._running.left():
            with suppress(psutil.Error):
                mib = process.memory_full_info().uss / 2**20
                task_id = process.environ().get("TASK_ID")
                if task_id:
                    tasks[task_id].append((time.time() - process.create_time(), mib))
                else:
                    programs[program(process.cmdline())] += mib
        for name, mib in programs.items():
            self.of[name].append((now, mib))
        whole = [(max(age for age, _ in parts), sum(mib for _, mib in parts)) for parts in tasks.values()]
        for age, mib in whole:
            self.by_age[int(age // 60)].append(mib)
        if whole:
            self.replicas.append((now, median(mib for _, mib in whole)))


def program(line: Sequence[str]) -> str:
    """What a process of a rack is, by its command line."""
    if line[1:2] == ["-m"] and len(line) > 2:
        return {"clawbucket": _OF_LAUNCHER, "rack": "rack manager", "app.nursery": "nursery"}.get(
            line[2], line[2]
        )
    return Path(line[0]).name if line else "others"


def growth(series: Iterable[tuple[float, float]], seconds: float) -> float | None:
    """Percent from the median once memory has settled to that of the end; None: it was not looked at then."""
    looked = list(series)
    settled = [mib for at, mib in looked if SETTLED <= at / seconds < SETTLED + WINDOW]
    last = [mib for at, mib in looked if 1 - WINDOW <= at / seconds <= 1.0]
    return 100 * (median(last) / median(settled) - 1) if settled and last else None


def _grown(memory: Memory, minutes: float, *, barred: bool) -> list[Figure]:
    """A program that was not there at both times has begun anew, which no figure of a whole rack may hide."""
    found = []
    for name, series in sorted(memory.of.items()):
        grown = growth(series, 60 * minutes)
        if grown is None:
            raise AssertionError(f"{name} was not there all of the time")
        found.append(_limited(f"memory growth, {name}", grown, "%", GROWTH, [m for _, m in series], barred))
    grown = growth(memory.replicas, 60 * minutes)
    if grown is None:
        raise AssertionError("no replica was there at the end")
    raw = [mib for _, mib in memory.replicas]
    found.append(_limited("memory growth, median replica", grown, "%", GROWTH, raw, barred))
    for age, values in sorted(memory.by_age.items()):
        name = f"memory of a replica in minute {age + 1} of its life, median"
        found.append(Figure(name, median(values), "MiB", raw=values))
    return found


# What the users met -------------------------------------------------------------------------------------


def told(
    report: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], kills: list[float], *, barred: bool
) -> list[Figure]:
    """Reads are GETs and connections of streams; changes are POSTs."""
    kinds = report["entries"]
    gets = [e for e in kinds if e["method"] == "GET"]
    connects = [e for e in kinds if (e["method"], e["name"]) == (measured.SSE, measured.CONNECT)]
    reads = sum(e["requests"] for e in gets + connects)
    failed = sum(e["failures"] for e in gets + connects)
    posts = [e for e in kinds if e["method"] == "POST"]
    times = merged(e["response_times"] for e in entries if e["method"] == "GET")
    streams = {e["name"]: e for e in kinds if e["method"] == measured.SSE}
    silent = sum(
        f["count"] for f in report["failures"] if "SSE" in f["request"] and not f["reason"].startswith(MARK)
    )
    silent -= sum(e["failures"] for e in connects)
    return [
        Figure("reads", reads, "", raw=[e["requests"] for e in gets + connects]),
        _limited("failed reads", failed, "", 0, [failed], barred),
        _limited("wrong invariants", report["violations"], "", 0, [report["violations"]], barred),
        _limited("streams that fell silent", silent, "", 0, [silent], barred),
        Figure("changes", sum(e["requests"] for e in posts), ""),
        Figure("changes refused or in doubt", sum(e["failures"] for e in posts), ""),
        Figure("replicas killed", len(kills), "", raw=kills),
        *(Figure(f"reads, p{p}", at_share(times, p / 100), "ms") for p in (50, 95, 99)),
        *_of_streams(streams),
    ]


def _of_streams(streams: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    lag, gap, back = (streams.get(name) for name in (measured.LAG, measured.GAP, measured.BACK))
    found = [Figure("streams that broke and went on", back["requests"] if back else 0, "")]
    if back:
        found.append(Figure("from a stream's break to the next one's head, p95", back["p95_ms"], "ms"))
    if lag:
        found.append(Figure("event lag, p99", lag["p99_ms"], "ms"))
    if gap:
        found += [
            Figure("from event to event, p99", gap["p99_ms"], "ms"),
            Figure("from event to event, longest", gap["max_ms"], "ms"),
        ]
    return found


def merged(counts: Iterable[Mapping[str, int]]) -> dict[float, int]:
    """How many answers took so many milliseconds, of all requests together."""
    together: dict[float, int] = defaultdict(int)
    for times in counts:
        for ms, count in times.items():
            together[float(ms)] += count
    return dict(together)


def at_share(times: Mapping[float, int], share: float) -> float:
    """The milliseconds that ``share`` (0 to 1) of the answers did not exceed."""
    left = share * sum(times.values())
    for ms, count in sorted(times.items()):
        left -= count
        if left <= 0:
            return ms
    return 0.0


def _limited(name: str, value: float, unit: str, bar: float, raw: list[float], barred: bool) -> Figure:
    if barred:
        return at_most(name, value, unit, bar, raw)
    return Figure(
        f"{name} (the bar of {bar:g} is for {MINUTES:g} min of {USERS} users)", value, unit, raw=raw
    )
