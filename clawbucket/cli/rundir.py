"""What a running launcher writes down, and how the other commands find it.

``<home>/<port>/`` belongs to the rack on that port: ``launcher.json`` says who runs it, ``rack-token``
opens the rack manager's API, ``logs/`` has a file for each program, ``rack/`` what the rack manager
keeps and ``revolt/`` the snapshots of handoffs. After a regular end only logs and snapshots stay, until
the next ``up`` on that port.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from clawbucket.cli.children import ROOT
from clawbucket.cli.refusal import Refusal
from clawbucket.settings import variable_of

_SAME_MOMENT = 1.0
"""Seconds by which two readings of one creation time may differ: psutil counts from the boot time, which
moves with the wall clock. No pid comes round that fast."""
_RUN_ID = variable_of("run_id").name
_OURS = {"launcher.json", "launcher.json.new", "rack-token", "peer-key", "logs", "rack", "revolt"}
"""All that a run directory ever holds; one with anything else in it is somebody else's."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One process, so that a pid that was used again is not taken for it."""

    pid: int
    born: float
    starts: int = 1

    @classmethod
    def of(cls, pid: int, starts: int = 1) -> Mark:
        """The mark of a process that runs; 0 as its birth when it is gone already."""
        try:
            return cls(pid, psutil.Process(pid).create_time(), starts)
        except psutil.Error:
            return cls(pid, 0.0, starts)

    @property
    def runs(self) -> bool:
        """Whether it still does."""
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            return abs(process.create_time() - self.born) < _SAME_MOMENT
        except psutil.Error:
            return False


@dataclass(frozen=True, slots=True)
class Run:
    """A launcher's own account of what it runs. ``ready``: everything ran at least once."""

    launcher: Mark
    run_id: str
    label: str
    started_at: str
    port: int
    urls: dict[str, str]
    rack_url: str
    memcached: str
    services: tuple[str, ...]
    ready: bool = False
    programs: dict[str, Mark] = field(default_factory=dict)


class RunDir:
    """The run directory of the rack on one port."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def logs(self) -> Path:
        """Where each supervised program writes ``<name>.log``."""
        return self.path / "logs"

    @property
    def rack_state(self) -> Path:
        """What the rack manager is given as its state directory."""
        return self.path / "rack"

    @property
    def task_logs(self) -> Path:
        """Where the rack manager puts ``<task name>.log``."""
        return self.rack_state / "logs"

    @property
    def revolt(self) -> Path:
        """Where the replicas keep the snapshots of handoffs; made by the first of them."""
        return self.path / "revolt"

    @property
    def token_file(self) -> Path:
        """The bearer token of the rack manager's API; readable by its owner alone."""
        return self.path / "rack-token"

    def read(self) -> Run | None:
        """What the launcher wrote down last; None where there is nothing that can be understood."""
        try:
            told = json.loads((self.path / "launcher.json").read_text(encoding="utf-8"))
            return _run_of(told)
        except (OSError, ValueError, TypeError, LookupError, AttributeError):
            return None

    def write(self, run: Run) -> None:
        """Write it down, whole or not at all."""
        fresh = self.path / "launcher.json.new"
        fresh.write_text(json.dumps(asdict(run), indent=2) + "\n", encoding="utf-8")
        fresh.replace(self.path / "launcher.json")

    def live(self) -> Run | None:
        """The run, if its launcher still lives."""
        run = self.read()
        return run if run and run.launcher.runs else None

    def prepare(self, token: str | None, patience: float = 3.0) -> None:
        """Make it anew. What a killed launcher left is cleared, once its last programs are gone.

        ``token`` is what ``token_file`` is to hold; None: there is to be none.
        """
        if self.path.exists() and {entry.name for entry in self.path.iterdir()} - _OURS:
            raise Refusal(f"{self.path} is to be the run directory and holds other files; move them away")
        stale = self.read()
        deadline = time.monotonic() + patience
        while stale and any(mark.runs for mark in stale.programs.values()) and time.monotonic() < deadline:
            time.sleep(0.05)
        if stale:
            end_all(stale.run_id)
        if self.path.exists():
            shutil.rmtree(self.path)
        self.path.mkdir(mode=0o700, parents=True)
        self.logs.mkdir()
        self.rack_state.mkdir()
        if token is None:
            return
        handle = os.open(self.token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(token + "\n")

    def clear(self) -> None:
        """After a regular end: everything but the logs and the snapshots of handoffs goes."""
        for log in self.task_logs.glob("*.log*"):
            with suppress(OSError):
                log.replace(self.logs / log.name)
        for path in (self.path / "launcher.json", self.path / "launcher.json.new", self.token_file):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.rack_state, ignore_errors=True)


def home(chosen: Path | None) -> Path:
    """Where run directories are: what CLAWBUCKET_HOME says, or ``.claw`` in the clone."""
    return (chosen or ROOT / ".claw").absolute()


def running(where: Path) -> dict[int, RunDir]:
    """The racks that run from there, by port, the lowest first."""
    found = {}
    for path in where.glob("[0-9]*"):
        directory = RunDir(path)
        run = directory.live()
        if run:
            found[run.port] = directory
    return dict(sorted(found.items()))


def find(where: Path, port: int | None) -> tuple[RunDir, Run]:
    """The rack on that port, or the only one. Refusal where there is none, or several and no port."""
    racks = running(where)
    if port is None and len(racks) > 1:
        raise Refusal(
            f"{len(racks)} racks run here, on ports {', '.join(map(str, racks))}; choose one with --port"
        )
    directory = racks.get(port) if port is not None else next(iter(racks.values()), None)
    run = directory.read() if directory else None
    if directory is None or run is None:
        which = f"on port {port}" if port is not None else "here"
        others = f" (one runs on port {', '.join(map(str, racks))})" if racks else ""
        raise Refusal(f"no rack runs {which}{others}; start one with ./claw up")
    return directory, run


def processes_of(run_id: str) -> list[psutil.Process]:
    """Every process of a run, told by the run's id in its environment, which whatever it starts inherits.

    Looks into each process of this user's: some 10 ms for a hundred.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get(_RUN_ID) == run_id and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end_all(run_id: str) -> int:
    """SIGKILL to whatever is left of a run; how many that were. Twice: one may just have forked."""
    ended = 0
    for _ in range(2):
        left = processes_of(run_id)
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        ended += len(left)
        psutil.wait_procs(left, timeout=0.5)
    return ended


def _run_of(told: Mapping[str, Any]) -> Run:
    programs = {str(name): Mark(**mark) for name, mark in told["programs"].items()}
    run = Run(**{**told, "launcher": Mark(**told["launcher"]), "programs": programs})
    return replace(run, services=tuple(run.services))
