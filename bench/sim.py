"""What troopers cost by the thousand: racks of the sim engine, watched from outside while they run.

Everything is read from the bus and from /proc, as anybody could: heartbeats by their ``seq`` and ``at``,
rounds by each trooper's last scored one, a takeover by the lease and the two keys that a confirmed leader has
stamped. What the looking itself asks of memcached is taken off its count.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import psutil

from bench.figures import Figure, at_most, percentile
from bench.rack import RunningRack, rack, wait_until
from clawbucket import codecs, keys
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.core.membership import BEAT_EVERY
from clawbucket.core.model import Task
from clawbucket.core.records import Lease
from rack.packed import talk

SERVICE = "clawbucket_clawbucket"
COUNTS = (10, 100, 1000, 5000)
_SETTLE, _WATCH = 6.0, 24.0
"""Seconds before the watch begins, and of the watch: two rounds, a dozen beats of each."""
_IN_TIME = 2.0
_A_WHILE = 5.2
"""Seconds after which a slot's restart is a first one again (rack/engines/restart_policy.py)."""
_AT_ONCE = 1_000


def measure(counts: Iterable[int] = COUNTS, pairs: int = 5) -> list[Figure]:
    """The figures of a rack of each size; ``pairs`` of managers are killed in each."""
    return [figure for count in counts for figure in _of_size(count, pairs)]


def _of_size(count: int, pairs: int) -> list[Figure]:
    with rack("--engine", "sim", "--services", SERVICE, "--replicas", str(count)) as running:
        tasks = wait_until(f"{count} troopers run", lambda: _all(running, count), timeout=110.0, every=0.5)
        started = time.monotonic() - running.started
        bus = MemcachedBus("127.0.0.1", running.memcached_port())
        threading.Event().wait(_SETTLE)
        before, packed, load = keys_asked(running.memcached_port()), packed_keys(running), Load.of(running)
        seen = _watch(bus, tasks)
        after, cost = keys_asked(running.memcached_port()), load.since()
        packed = [later - sooner for later, sooner in zip(packed_keys(running), packed, strict=True)]
        took = _takeovers(running, bus, pairs)
        memory = [process.memory_full_info().uss / 2**20 for process in load.of_kind("workers")]
    bar = count == 1000
    every, own = (keys / seen.seconds / count for keys in (after - before - seen.asked, sum(packed)))
    loops = cost["workers"] + cost["fronts"]

    def limited(name: str, value: float, unit: str, limit: float, raw: list[float]) -> Figure:
        return at_most(name, value, unit, limit, raw) if bar else Figure(name, value, unit, raw=raw)

    said = f"{count} troopers: "
    in_time = sum(delay <= _IN_TIME for delay in seen.scored) / max(1, seen.owed)
    return [
        Figure(f"{said}start to all running", started, "s"),
        limited(f"{said}loops, workers and fronts together", loops, "% of a core", 60.0, [cost["workers"]]),
        *(Figure(f"{said}{kind}", share, "% of a core") for kind, share in sorted(cost.items())),
        Figure(f"{said}memory of a packed trooper", 1024 * sum(memory) / count, "KiB", raw=memory),
        Figure(
            f"{said}rounds scored within {_IN_TIME:g} s of the publish", 100 * in_time, "%",
            "= 100" if bar else "", in_time == 1.0 if bar else None, [seen.rounds, seen.owed],
        ),
        Figure(f"{said}publish to the last score", max(seen.scored, default=0.0), "s"),
        *(
            limited(f"{said}heartbeat late, p{share}", percentile(seen.late, share / 100), "s", 1.0, [])
            for share in (50, 99)
        ),
        limited(f"{said}bus keys read and written by a packed trooper", own, "/s", 4.0, []),
        Figure(f"{said}the same by all, the fronts' boards among them", every, "/s"),
        limited(f"{said}manager killed -> next confirmed, p50", percentile(took, 0.50), "s", 1.0, took),
        limited(f"{said}manager killed -> next confirmed, p99", percentile(took, 0.99), "s", 2.2, took),
    ]  # fmt: skip


def _all(running: RunningRack, count: int) -> list[Task] | None:
    tasks = running.running(SERVICE)
    return tasks if len(tasks) == count else None


# What is watched ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Seen:
    """``late``: seconds by which beats came late. ``scored``: seconds from a round's publication to a score.

    ``owed`` scores of ``rounds`` rounds; ``asked`` keys were read for it in ``seconds``.
    """

    late: list[float] = field(default_factory=list)
    scored: list[float] = field(default_factory=list)
    owed: int = 0
    rounds: int = 0
    asked: int = 0
    seconds: float = 0.0


def _watch(bus: MemcachedBus, tasks: Sequence[Task]) -> Seen:
    seen, beats, pause = Seen(), Beats(tasks), threading.Event()
    begun = time.monotonic()
    known = _round(bus, seen)
    look_at = begun
    while time.monotonic() - begun < _WATCH:
        number = _round(bus, seen)
        if number > known:
            known = number
            _follow(bus, tasks, number, time.monotonic(), seen)
        if time.monotonic() >= look_at:
            look_at = time.monotonic() + BEAT_EVERY / 4
            beats.look(_read(bus, beats.keys, seen))
        pause.wait(0.02)
    seen.seconds = time.monotonic() - begun
    seen.late = beats.late
    return seen


class Beats:
    """Each trooper's beats by their own number and time of day; all are of this one machine."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.keys = [keys.HEARTBEAT.of(task.name) for task in tasks]
        self.late: list[float] = []
        self._last: dict[str, tuple[int, float]] = {}

    def look(self, values: dict[str, bytes]) -> None:
        """Note how late each beat is that is new: by the time since the one before."""
        for key, raw in values.items():
            beat = orjson.loads(raw)
            seq, at = int(beat["seq"]), datetime.fromisoformat(beat["at"]).timestamp()
            last = self._last.get(key)
            if last is not None and seq > last[0]:
                self.late.append(max(0.0, at - last[1] - BEAT_EVERY * (seq - last[0])))
            if last is None or seq > last[0]:
                self._last[key] = (seq, at)


def _follow(bus: MemcachedBus, tasks: Sequence[Task], number: int, published: float, seen: Seen) -> None:
    """Look who has scored the round, until all have or twice the time that they have is over."""
    lease = _lease(bus)
    waiting = {keys.LAST_SEEN.of(task.id) for task in tasks if lease is None or task.id != lease.task_id}
    seen.owed += len(waiting)
    seen.rounds += 1
    pause = threading.Event()
    while waiting and time.monotonic() - published < 2 * _IN_TIME:
        pause.wait(0.05)
        values = _read(bus, list(waiting), seen)
        now = time.monotonic()
        done = {key for key, raw in values.items() if int(raw) >= number}
        seen.scored += [now - published] * len(done)
        waiting -= done


def _read(bus: MemcachedBus, wanted: Sequence[str], seen: Seen) -> dict[str, bytes]:
    seen.asked += len(wanted)
    values: dict[str, bytes] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        values |= bus.get_many(wanted[start : start + _AT_ONCE])
    return values


def _round(bus: MemcachedBus, seen: Seen) -> int:
    seen.asked += 1
    raw = bus.get(keys.RPS_STATE.of())
    return 0 if raw is None else int(orjson.loads(raw)["round"])


def _lease(bus: MemcachedBus) -> Lease | None:
    raw = bus.get(keys.LEADER.of(SERVICE))
    return None if raw is None else codecs.LEASE.decode(raw)


# Takeovers ----------------------------------------------------------------------------------------------


def _takeovers(running: RunningRack, bus: MemcachedBus, pairs: int) -> list[float]:
    """Kill slot 1's manager, a front, and at once whoever takes over, who is packed. Seconds of each."""
    took: list[float] = []
    client = running.client
    for _ in range(pairs):
        _settled(running, bus)
        for _ in range(2):
            lease = _lease(bus)
            if lease is None:
                raise AssertionError("nobody leads")
            at = time.monotonic()
            client.kill(lease.task_id)
            took.append(
                wait_until("another leads", _other(bus, lease.task_id), timeout=20.0, every=0.01) - at
            )
    client.close()
    return took


def _other(bus: MemcachedBus, before: str) -> Callable[[], float | None]:
    """When another than ``before`` leads, confirmed: its epoch stands on all that is the leader's."""

    def look() -> float | None:
        lease = _lease(bus)
        if lease is None or lease.released or lease.task_id == before:
            return None
        stamped = bus.get_many([keys.RPS_STATE.of(), keys.HAIKU.of()]).values()
        epochs = [orjson.loads(raw)["epoch"] for raw in stamped]
        return time.monotonic() if epochs == [lease.epoch] * 2 else None

    return look


def _settled(running: RunningRack, bus: MemcachedBus) -> None:
    """Slot 1 leads, and has for a while: a slot whose task ends sooner is filled later, by design."""
    since: dict[str, float] = {}

    def calm() -> bool:
        lease = _lease(bus)
        first = next((task for task in running.running(SERVICE) if task.slot == 1), None)
        if lease is None or first is None or lease.task_id != first.id or lease.released:
            since.clear()
            return False
        return time.monotonic() - since.setdefault(first.id, time.monotonic()) > _A_WHILE

    wait_until("slot 1 leads again", calm, timeout=60.0, every=0.25)


# What it costs ------------------------------------------------------------------------------------------


class Load:
    """Processor time of a rack's processes from now on."""

    def __init__(self, processes: dict[str, list[psutil.Process]]) -> None:
        self._processes = processes
        self._begun = time.monotonic()
        self._before = {kind: _seconds(found) for kind, found in processes.items()}

    @classmethod
    def of(cls, running: RunningRack) -> Load:
        """Of that rack's."""
        kinds: dict[str, list[psutil.Process]] = {}
        for process in running.left():
            kinds.setdefault(kind_of(process), []).append(process)
        return cls(kinds)

    def of_kind(self, kind: str) -> list[psutil.Process]:
        """Those of a kind."""
        return self._processes.get(kind, [])

    def since(self) -> dict[str, float]:
        """Percent of a core that each kind took, on average."""
        elapsed = time.monotonic() - self._begun
        return {
            kind: 100 * (_seconds(found) - self._before[kind]) / elapsed
            for kind, found in self._processes.items()
        }


def kind_of(process: psutil.Process) -> str:
    """What a rack's process is: workers, fronts (a replica of its own), or a program by its name."""
    line, environment = process.cmdline(), process.environ()
    if "rack.packed" in line:
        return "workers"
    if environment.get("TASK_ID"):
        return "fronts"
    if line[1:2] == ["-m"] and line[2] in {"rack", "gateway", "aggregator"}:
        return {"rack": "rack manager"}.get(line[2], line[2])
    return "memcached" if any("memcached" in word for word in line[:1]) else "others"


def _seconds(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


def packed_keys(running: RunningRack) -> list[int]:
    """Keys that each worker has asked for so far, as it tells its engine every second."""
    token = (running.run_dir / "rack-token").read_text().strip()
    told = []
    for record in orjson.loads((running.run_dir / "rack" / "workers.json").read_bytes()):
        host, _, port = record["address"].rpartition(":")
        with socket.create_connection((host, int(port)), timeout=5.0) as connection:
            connection.sendall(talk.line({"token": token}))
            lines, asked = talk.Lines(), None
            while asked is None:
                piece = connection.recv(1 << 20)
                if not piece:
                    raise AssertionError("a worker hung up")
                asked = next((m["asked"] for m in lines.feed(piece) if "asked" in m), None)
            told.append(int(asked))
    return told


def keys_asked(port: int) -> int:
    """Keys that memcached was asked to read and to write, so far."""
    with socket.create_connection(("127.0.0.1", port), timeout=2.0) as connection:
        connection.sendall(b"stats\r\n")
        said = b""
        while not said.endswith(b"END\r\n"):
            said += connection.recv(65_536)
    told: dict[str, Any] = dict(line.split()[1:3] for line in said.decode().splitlines() if " " in line)
    return int(told["cmd_get"]) + int(told["cmd_set"])
