"""What Locust loads: the users, the shape that was asked for, and what goes on around a test.

``./claw load`` starts it; ``.venv/bin/locust`` in the clone does too, with ``locust.conf``. One process (the
only one, or the master of several) looks at the rack before the test, tells it how the test is doing, puts
back what was changed, writes the report and decides the exit status.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust import LoadTestShape, events
from locust.runners import WorkerRunner

from load import figures, reporting, telling, thresholds
from load.chaotic import Chaos
from load.operators import Operator
from load.pollers import Poller
from load.restoring import Before
from load.shapes import BY_NAME, Plan, Tick
from load.viewers import Viewer

USERS = (Viewer, Poller, Operator, Chaos)
_PROGRESS_EVERY = 5
"""Samples between two lines of progress."""


class Shaped(LoadTestShape):
    """The shape that ``--shape`` names, with the users, rate and time that Locust was given."""

    use_common_options = True

    def tick(self) -> Tick | None:
        """Users and rate now, or None: the test is over."""
        options: Any = self.runner.environment.parsed_options if self.runner else None
        plan = Plan(max(1, int(options.num_users or 1)), float(options.spawn_rate or 1), options.run_time)
        return BY_NAME[options.shape](self.get_run_time(), plan)


@events.init_command_line_parser.add_listener
def our_options(parser: Any) -> None:
    """What ./claw load hands on."""
    add = parser.add_argument
    add("--shape", choices=sorted(BY_NAME), default="steady", help="how users come and go")
    hidden = {"include_in_web_ui": False}
    add("--allow-chaos", action="store_true", help="scale, outage, self-destruct, revolt", **hidden)
    add("--thresholds", default=str(thresholds.DEFAULT), help="a TOML file of limits", **hidden)
    add("--reports", default="", help="the directory for report.json", **hidden)
    add("--token", default=None, env_var="CLAWBUCKET_TOKEN", help="what changes must show", **hidden)


@events.init.add_listener
def prepare(environment: Any, runner: Any, **_: object) -> None:
    """Choose the users, and begin what goes on beside them."""
    options = environment.parsed_options
    chosen = chosen_users(environment.user_classes, options.tags, allow_chaos=options.allow_chaos)
    environment.user_classes[:] = chosen
    if options.token:
        for user in chosen:
            if user.tags & {"write", "chaos"}:
                user.default_headers = {"Authorization": f"Bearer {options.token}"}
    if not isinstance(runner, WorkerRunner):
        Conductor(environment, thresholds.read(Path(options.thresholds)))


def chosen_users(users: list[Any], tags: list[str] | None, *, allow_chaos: bool) -> list[Any]:
    """Those with a task among the tags; Chaos only where it was allowed."""
    wanted = [user for user in users if not tags or user.tags & set(tags)]
    return [user for user in wanted if allow_chaos or user is not Chaos]


class Conductor:
    """One test after another of one Locust: only in the process that has all figures."""

    def __init__(self, environment: Any, limits: thresholds.Thresholds) -> None:
        self._environment, self._limits = environment, limits
        self._options = environment.parsed_options
        self._run = ""
        self._began: float | None = None
        self._seconds: float | None = None
        self._before: Before | None = None
        self._teller: telling.Teller | None = None
        environment.events.test_start.add_listener(self.begin)
        environment.events.test_stop.add_listener(self.end)
        environment.events.quitting.add_listener(self.conclude)
        gevent.spawn(self._tell)

    def begin(self, **_: object) -> None:
        """Before the first user."""
        self._run = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        users, token = self._environment.user_classes, self._options.token
        host = (self._environment.host or "").rstrip("/")
        self._teller = telling.Teller(host, token, self._run)
        self._before = Before(host, token, interval=Operator in users, scale=Chaos in users)
        self._before.look()
        self._began, self._seconds = time.monotonic(), None

    def end(self, **_: object) -> None:
        """Nobody is left, or is being told to leave."""
        if self._began is not None and self._seconds is None:
            self._seconds = time.monotonic() - self._began
        if self._before is not None:
            self._before.put_back()

    def conclude(self, **_: object) -> None:
        """Judge, write the report, and decide how Locust ends."""
        self._environment.runner.quit()
        self.end()  # with workers, users may have been at it until now
        measured = figures.of(self._environment.stats, self._seconds or 0.0)
        verdicts = thresholds.judged(measured, self._limits)
        notes = list(self._before.notes) if self._before else []
        if self._teller and self._teller.problem:
            notes.append(f"the dashboard was not told all of the time: {self._teller.problem}")
        if any(entry.name == figures.APART for entry in measured.entries):
            notes.append("the rack's clock and this one are too far apart: the lag of events is not known")
        if self._options.reports:
            told = reporting.report(measured, verdicts, self._asked(), notes)
            reporting.write(Path(self._options.reports), told)
        self._environment.process_exit_code = 0 if thresholds.hold(verdicts) else 1

    def _asked(self) -> dict[str, object]:
        options = self._options
        return {
            "run": self._run,
            "host": self._environment.host,
            "users": options.num_users,
            "spawn_rate": options.spawn_rate,
            "seconds": options.run_time,
            "shape": options.shape,
            "tags": options.tags or [],
            "user_classes": [user.__name__ for user in self._environment.user_classes],
            "processes": options.processes or 1,
            "allow_chaos": options.allow_chaos,
            "thresholds": options.thresholds,
        }

    def _tell(self) -> None:
        due, count = time.monotonic(), 0
        while True:
            due = max(due + telling.EVERY, time.monotonic())
            gevent.sleep(max(0.0, due - time.monotonic()))
            runner = self._environment.runner
            if self._teller is None or runner is None or runner.state not in {"spawning", "running"}:
                continue
            now = telling.sample(runner.stats, runner.user_count)
            self._teller.tell(now)
            count += 1
            if self._options.headless and count % _PROGRESS_EVERY == 0:
                told = f"{count:>5} s  {now['users']:>5} users  {now['rate']:>8.1f}/s"
                told += f"  p95 {now['p95_ms']:>6.0f} ms  {now['failures']} failed\n"
                sys.stderr.write(told)
                sys.stderr.flush()
