"""The sim engine's workers: processes in which troopers live by the hundred, and the way to each.

A worker runs rack/packed and belongs to one node. It is a process as a replica is, in a session of its own
and with the lifeline, and its end is heard through its pidfd. Orders to it wait until the end of the engine's
turn and go out as one.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from clawbucket.core.model import Task
from clawbucket.settings import variable_of
from rack.engines import processes, replica_logs
from rack.engines.processes import BIND_FD, LIFELINE_FD, Replica
from rack.packed import talk

log = structlog.get_logger(__name__)

_GREETED_WITHIN = 10.0
"""Seconds in which a worker that is taken up says who lives in it; it may be importing still."""
_SEND_WITHIN = 2.0


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker as it is on disk.

    ``born`` is its creation time as psutil tells it, ``run`` the launcher's run.
    """

    run: str
    node_id: str
    pid: int
    born: float | None
    address: str


_SHAPE = TypeAdapter(list[WorkerRecord])


@dataclass(eq=False, slots=True)
class Worker:
    """One worker that runs. ``tasks`` are the ids of those that live in it, or are on their way there."""

    record: WorkerRecord
    process: Replica
    channel: socket.socket
    heard_at: float
    tasks: set[str] = field(default_factory=set)
    lines: talk.Lines = field(default_factory=talk.Lines)
    orders: dict[str, list[Any]] = field(default_factory=dict)

    def order(self, kind: str, what: Any) -> None:
        """Have it told at the end of the turn."""
        self.orders.setdefault(kind, []).append(what)

    def send(self) -> None:
        """Tell it what waits. One that does not take it in time is ended."""
        orders, self.orders = self.orders, {}
        if not orders:
            return
        try:
            self.channel.sendall(talk.line(orders))
        except OSError as error:
            log.warning("sim worker does not listen; it is ended", pid=self.process.pid, reason=str(error))
            self.process.signal(signal.SIGKILL)

    def hear(self) -> list[dict[str, Any]]:
        """What it says now. EOFError: nothing any more. ValueError: what is no message."""
        try:
            piece = self.channel.recv(1 << 20)
        except BlockingIOError:
            return []
        except OSError as error:
            raise EOFError(str(error)) from None
        if not piece:
            raise EOFError("it hung up")
        return list(self.lines.feed(piece))

    def close(self) -> None:
        """Let go of it; it goes on running."""
        self.channel.close()
        self.process.close()


def packed_task(task: Task) -> dict[str, Any]:
    """The task as a worker is told of it."""
    return {"id": task.id, "name": task.name, "service": task.service, "slot": task.slot}


def log_of(hostname: str) -> str:
    """What the log of a node's workers is called, beside those of tasks."""
    return f"worker-{hostname}"


class Hiring:
    """Starts workers, and finds those that run."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path, token: str, run: str,
        lifeline_fd: int | None,
    ) -> None:  # fmt: skip
        self._command, self._environment, self._directory = tuple(command), dict(environment), directory
        self._token, self._run, self._lifeline_fd = token, run, lifeline_fd
        self._file = directory / "workers.json"

    def hire(self, node_id: str, hostname: str, services: Sequence[str], now: float) -> Worker:
        """A new worker of that node; it takes orders at once, and carries them out once it is up. OSError."""
        facts = {
            "swarm_node": hostname,
            "swarm_services": ",".join(services),
            "state_dir": str(self._directory),
            "bind": f"fd://{BIND_FD}",
            "rack_token": self._token,
            "rack_token_file": "",
            "task_id": "",
            "task_name": "",
            "lifeline_fd": str(LIFELINE_FD) if self._lifeline_fd is not None else "",
        }
        environment = self._environment | {variable_of(name).name: value for name, value in facts.items()}
        listener = processes.listen()
        with listener:
            address = "{}:{}".format(*listener.getsockname())
            log_file = replica_logs.path_of(self._directory / "logs", log_of(hostname))
            pid = processes.spawn(self._command, environment, log_file, listener, self._lifeline_fd)
            process = Replica(pid, processes.born(pid))
            record = WorkerRecord(self._run, node_id, pid, process.created, address)
            # The connection waits in the socket's queue until the worker is up.
            return Worker(record, process, self._connected(address), now)

    def take_up(self, nodes: Collection[str], now: float) -> list[Worker]:
        """Those of this run's nodes that a rack manager before this one left, with who lives in each."""
        found = []
        for record in self._load():
            if not processes.is_same(record.pid, record.born, "") or processes.born(record.pid) is None:
                continue
            process = Replica(record.pid, record.born)
            ours = record.run == self._run and record.node_id in nodes
            worker = self._greeted(record, process, now) if ours else None
            if worker is None:
                log.warning("sim worker of another time is ended", pid=record.pid)
                process.signal(signal.SIGKILL)
                process.close()
            else:
                found.append(worker)
        return found

    def save(self, workers: Sequence[Worker]) -> None:
        """Write down who works. OSError."""
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(orjson.dumps([worker.record for worker in workers]))
        fresh.replace(self._file)

    def _load(self) -> list[WorkerRecord]:
        try:
            return _SHAPE.validate_json(self._file.read_bytes(), strict=True)
        except FileNotFoundError:
            return []
        except (ValidationError, OSError) as error:
            log.warning("list of sim workers unreadable", path=str(self._file), reason=str(error)[:200])
            return []

    def _connected(self, address: str) -> socket.socket:
        host, _, port = address.rpartition(":")
        channel = socket.create_connection((host, int(port)), timeout=_SEND_WITHIN)
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        channel.sendall(talk.line({"token": self._token}))
        return channel

    def _greeted(self, record: WorkerRecord, process: Replica, now: float) -> Worker | None:
        """The worker, once it has said who lives in it; None when it does not."""
        try:
            channel = self._connected(record.address)
        except OSError as error:
            log.warning("sim worker cannot be reached", pid=record.pid, reason=str(error))
            return None
        worker = Worker(record, process, channel, now)
        channel.settimeout(_GREETED_WITHIN)
        try:
            while True:
                for message in worker.hear():
                    if "here" in message:
                        channel.settimeout(_SEND_WITHIN)
                        worker.tasks = {str(task_id) for task_id in message["here"]}
                        return worker
        except (EOFError, ValueError) as error:
            log.warning("sim worker does not greet", pid=record.pid, reason=str(error))
            channel.close()
            return None


def listen_to(selector: selectors.BaseSelector, worker: Worker, heard: Callable[[Worker], None]) -> None:
    """Have ``heard`` called when the worker says something."""
    selector.register(worker.channel, selectors.EVENT_READ, lambda _mask: heard(worker))


def stop_listening(selector: selectors.BaseSelector, worker: Worker) -> None:
    """No more. Safe to repeat."""
    with contextlib.suppress(KeyError, ValueError):
        selector.unregister(worker.channel)
