"""``claw load``: a load test with Locust, its report, and whether the rack kept to its limits."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from clawbucket.cli import load_report, ports_check, rundir
from clawbucket.cli.children import ROOT
from clawbucket.cli.options import operators_token, port_option
from clawbucket.cli.ports_check import Wanted
from clawbucket.cli.refusal import Refusal
from clawbucket.settings import Settings
from load import thresholds as limits
from load.choices import SHAPES, TAGS, nearest, seconds
from load.plain_http import Told, Unreachable, ask

CHANGING = frozenset({"write", "chaos"})
"""Tags whose users change things, which may need the token."""
WEB_PORT = 8_089
"""The page's port where nobody says another; locust.conf has it too."""
_LOOK = 5.0
"""Seconds that the rack has to say who it is."""


@dataclass(frozen=True, slots=True)
class LoadTest:
    """A load test as Locust is to be told of it. None and empty: as locust.conf says, or Locust."""

    host: str
    reports: Path
    users: int | None = None
    spawn_rate: float | None = None
    duration: int | None = None
    shape: str = "steady"
    tags: tuple[str, ...] = ()
    headless: bool = False
    processes: int | None = None
    allow_chaos: bool = False
    thresholds: Path | None = None
    web_port: int | None = None
    master_port: int | None = None

    @property
    def changes(self) -> bool:
        """Whether somebody comes who changes things."""
        return not self.tags or bool(CHANGING & set(self.tags))

    def command(self) -> tuple[str, ...]:
        """The command line, in the clone's root, where locust.conf is."""
        chosen: list[tuple[str, object]] = [
            ("--users", self.users),
            ("--spawn-rate", self.spawn_rate),
            ("--run-time", None if self.duration is None else f"{self.duration}s"),
            ("--processes", self.processes),
            ("--web-port", self.web_port),
            ("--thresholds", self.thresholds),
        ]
        given = [word for name, value in chosen if value is not None for word in (name, str(value))]
        quiet = ("--headless", "--only-summary", "--loglevel", "WARNING") if self.headless else ()
        return (
            sys.executable, "-m", "locust",
            *(("--tags", *self.tags) if self.tags else ()),
            "--host", self.host, "--shape", self.shape, *given, *quiet,
            *(("--allow-chaos",) if self.allow_chaos else ()),
            *(self._among_processes() if self.processes else ()),
            "--reports", str(self.reports), "--html", str(self.reports / "report.html"),
            "--csv", str(self.reports / "stats"), "--json-file", str(self.reports / "requests"),
        )  # fmt: skip

    def _among_processes(self) -> tuple[str, ...]:
        """Where they meet: it would be one port for all tests of a machine, open to everybody."""
        host = ("--master-bind-host", ports_check.LOOPBACK)
        if self.master_port is None:
            return host
        return (*host, "--master-bind-port", str(self.master_port), "--master-port", str(self.master_port))


@click.command(short_help="Load the rack, and see whether it keeps to its limits.", epilog="""
\b
Examples:
  ./claw load                                        Locust's web page, on http://127.0.0.1:8089
  ./claw load --headless --users 200 --duration 10m
  ./claw load --headless --tags read,sse --shape spike
  ./claw load --headless --allow-chaos               and somebody breaks things every 10 s
  ./claw load --host http://10.0.0.7:8080            a rack elsewhere: Docker Swarm, two racks
""")  # fmt: skip
@port_option
@click.option(
    "--host", metavar="URL", help="The dashboard to load; without it, that of the rack that runs here."
)
@click.option("--users", type=click.IntRange(1, 100_000), metavar="COUNT", help="How many at the peak [20].")
@click.option(
    "--spawn-rate",
    type=click.FloatRange(0.01, 10_000),
    metavar="RATE",
    help="Users that come each second [5].",
)
@click.option("--duration", metavar="TIME", help="How long: 90s, 5m, 1h30m [60s].")
@click.option("--shape", default="steady", show_default=True, help=f"How users come: {', '.join(SHAPES)}.")
@click.option("--tags", multiple=True, metavar="TAG", help=f"Only users who do this: {', '.join(TAGS)}.")
@click.option("--headless", is_flag=True, help="Begin at once, without the web page.")
@click.option(
    "--processes", type=click.IntRange(1, 64), metavar="COUNT",
    help="Processes that share the users; one uses at most one core.",
)  # fmt: skip
@click.option("--allow-chaos", is_flag=True, help="Also scale, cause outages, self-destruct and revolt.")
@click.option("--token", metavar="TOKEN", help="What changes must show; better as CLAWBUCKET_TOKEN.")
@click.option(
    "--token-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="A file that holds it.",
)  # fmt: skip
@click.option(
    "--thresholds", type=click.Path(path_type=Path), help="A TOML file of limits [load/thresholds.toml]."
)
@click.option("--reports", type=click.Path(path_type=Path), help="Where the report goes [reports/<time>/].")
@click.option(
    "--web-port", type=click.IntRange(1, 65_535), metavar="PORT", help="The web page's port [8089]."
)
def load(**said: Any) -> None:
    """Load a rack with simulated people, and judge what it answers.

    Viewers watch the page and its stream, pollers read, operators arm, chat and change the pace; with
    --allow-chaos one more breaks things. Every answer is held to what must always be true. The report is
    written as HTML, CSV and JSON; the exit status is 0 when all limits held and 1 when one did not.
    """
    if said["token"] and said["token_file"]:
        raise Refusal("--token and --token-file both say what changes must show; give one of them")
    token = said["token"] or operators_token(said["token_file"])
    test = planned(said, _host(said["host"], said["port"]))
    check(test, token)
    page = None if test.headless else _page(test.web_port or WEB_PORT)
    click.echo(f"claw: {test.host}, {test.shape}; the report goes to {test.reports}", err=True)
    if page:
        click.echo(f"claw: open {page} and press Start; Ctrl-C here ends it and judges the test", err=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **({"CLAWBUCKET_TOKEN": token} if token else {})}
    with ports_check.reserved() as port:
        status = attended(replace(test, master_port=port).command(), environment)
    report = _report(test.reports, status)
    if not report["asked"]["run"]:
        raise Refusal("no test was begun, so there is nothing to judge; Start is on the page")
    load_report.show(report, test.reports)
    raise SystemExit(0 if report["held"] and status == 0 else 1)


def planned(said: Mapping[str, Any], host: str) -> LoadTest:
    """The options as a test. Refusal says what is allowed, and what was probably meant."""
    tags = tuple(dict.fromkeys(t.strip() for group in said["tags"] for t in group.split(",") if t.strip()))
    _known("shape", said["shape"], SHAPES)
    for tag in tags:
        _known("tag", tag, tuple(TAGS))
    if "chaos" in tags and not said["allow_chaos"]:
        raise Refusal("the tag chaos breaks things, so it also takes --allow-chaos")
    if tags and "chaos" not in tags and said["allow_chaos"]:
        raise Refusal(
            f"--allow-chaos needs the tag chaos where tags are given: --tags {','.join(tags)},chaos"
        )
    path = said["thresholds"].absolute() if said["thresholds"] else None
    try:
        duration = None if said["duration"] is None else seconds(said["duration"])
        limits.read(path or limits.DEFAULT)
    except (ValueError, limits.BadThresholds) as error:
        raise Refusal(str(error)) from None
    return LoadTest(
        host=host, reports=_reports(said["reports"]), users=said["users"], spawn_rate=said["spawn_rate"],
        duration=duration, shape=said["shape"], tags=tags, headless=said["headless"],
        processes=said["processes"], allow_chaos=said["allow_chaos"], thresholds=path,
        web_port=said["web_port"],
    )  # fmt: skip


def check(test: LoadTest, token: str | None) -> None:
    """Refusal where nobody is there to be loaded, or the token is missing, or Locust is."""
    if importlib.util.find_spec("locust") is None:
        raise Refusal("Locust is not installed here; type ./claw load, which installs requirements-load.lock")
    told = _ask("GET", test.host, "/api/whoami")
    if told.status != 200 or not isinstance(told.json, dict) or "task_id" not in told.json:
        raise Refusal(
            f"{test.host} answers {told.status} and is no dashboard of ours; is the address right?", 1
        )
    if not test.changes:
        return
    # The guard comes before the body: with a body that nobody takes, nothing is changed.
    told = _ask("POST", test.host, "/api/rps/config", {"interval_seconds": None}, token)
    if told.status == 401:
        wrong = "the token is not that rack's" if token else "changes need that rack's token"
        raise Refusal(
            f"{wrong}: give it by --token-file or CLAWBUCKET_TOKEN, or only look with --tags read,sse"
        )
    if told.status == 403:
        reason = told.json.get("error", "") if isinstance(told.json, dict) else ""
        raise Refusal(
            f"{test.host} takes no changes from here ({told.code}); {reason or 'it does not say why'}"
        )


def attended(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run Locust in this terminal until it ended, its status.

    Ctrl-C reaches it directly, since it is in the same process group, and this waits until it has put back
    what it changed and written its report. SIGTERM is handed on as Ctrl-C.
    """
    child: subprocess.Popen[bytes] | None = None

    def hand_on(_number: int, _frame: object) -> None:
        if child is not None:
            child.send_signal(signal.SIGINT)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGTERM, hand_on)
    try:
        child = subprocess.Popen(command, cwd=ROOT, env=environment)
        return child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _host(host: str | None, port: int | None) -> str:
    if host is None:
        _, run = rundir.find(rundir.home(Settings.from_env().home), port)
        return run.urls["dashboard"].rstrip("/")
    if port is not None:
        raise Refusal("--port chooses a rack that runs here and --host names one anywhere; give one of them")
    named = (host if "://" in host else f"http://{host}").rstrip("/")
    base = "/".join(named.split("/", 3)[:3])
    if base != named:
        raise Refusal(
            f"{host[:80]!r} names a page; --host gives the dashboard's address alone: --host {base}"
        )
    return named


def _page(port: int) -> str:
    """Where Locust's page will be. Refusal: the port is taken."""
    wanted = Wanted(port, "Locust's page", "--web-port, or do without: --headless")
    for listener in ports_check.take(ports_check.LOOPBACK, [wanted]):
        listener.close()
    return ports_check.as_url(ports_check.LOOPBACK, port)


def _known(what: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        meant = nearest(word, known)
        hint = f"; did you mean {meant}?" if meant else "."
        raise Refusal(f"there is no {what} {word[:40]!r}{hint} There are {', '.join(known)}")


def _ask(method: str, host: str, path: str, body: object = None, token: str | None = None) -> Told:
    try:
        return ask(method, host, path, body=body, token=token, timeout=_LOOK)
    except ValueError as error:
        raise Refusal(f"{error}; --host takes the dashboard's, such as http://127.0.0.1:8080") from None
    except Unreachable as unreachable:
        raise Refusal(
            f"{host} cannot be reached ({unreachable}); start a rack with ./claw up, or give another --host",
            1,
        ) from None


def _reports(chosen: Path | None) -> Path:
    """Where the report goes: what was chosen, or a new directory named after the time."""
    if chosen is not None:
        if chosen.exists() and any(chosen.iterdir()):
            raise Refusal(f"{chosen} is to hold the report and is not empty; choose another with --reports")
        return chosen.absolute()
    return ROOT / "reports" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


def _report(directory: Path, status: int) -> dict[str, Any]:
    try:
        told: dict[str, Any] = json.loads((directory / load_report.NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Refusal(
            f"Locust ended with status {status} and left no report; what it said is above", 1
        ) from None
    return told
