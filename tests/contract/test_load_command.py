"""``./claw load`` before Locust starts: what it refuses, what it asks the rack, and what it tells Locust."""

from __future__ import annotations

import importlib.util
import json
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.rack import free_port
from clawbucket.cli import load_command, load_report
from clawbucket.cli.children import ROOT
from clawbucket.cli.load_command import LoadTest, attended, check, planned
from clawbucket.cli.main import claw
from clawbucket.cli.refusal import Refusal
from tests.contract.peer_stand_in import Act, Handler, Server, says

Serve = Callable[[Act], Server]
HOST = "http://127.0.0.1:9"
NOTHING = {
    "tags": (), "shape": "steady", "allow_chaos": False, "duration": None, "thresholds": None,
    "reports": None, "users": None, "spawn_rate": None, "headless": False, "processes": None,
    "web_port": None,
}  # fmt: skip


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type ``claw load`` where no rack runs; its status and all that it says."""
    monkeypatch.setenv("CLAWBUCKET_HOME", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: True)

    def type_in(*words: str) -> tuple[int, str]:
        told = CliRunner().invoke(claw, ["load", *words])
        return told.exit_code, told.output

    return type_in


def rack(token: str | None = None) -> Act:
    """A replica as far as the command asks it."""

    def act(handler: Handler) -> None:
        if handler.path == "/api/whoami":
            handler.say(200, {"task_id": "x"})
        elif token and handler.headers.get("Authorization") != f"Bearer {token}":
            handler.say(401, {"error": "no", "code": "token_needed"})
        else:
            handler.say(400, {"error": "no", "code": "bad_payload"})

    return act


@pytest.mark.parametrize(
    ("words", "says_"),
    [
        ((), "no rack runs here; start one with ./claw up"),
        (("--port", "9000"), "no rack runs on port 9000"),
        (("--host", HOST, "--port", "9000"), "give one of them"),
        (("--host", HOST, "--shape", "stedy"), "did you mean steady?"),
        (("--host", HOST, "--tags", "read,wirte"), "did you mean write?"),
        (("--host", HOST, "--tags", "zzz"), "There are read, write, sse, chaos"),
        (("--host", HOST, "--tags", "chaos"), "--allow-chaos"),
        (("--host", HOST, "--tags", "read", "--allow-chaos"), "needs the tag chaos"),
        (("--host", HOST, "--duration", "soon"), "'soon' is no duration; say 90s, 5m or 1h30m"),
        (("--host", HOST, "--thresholds", "/none.toml"), "/none.toml cannot be read"),
        (("--host", "ftp://x"), "no http:// or https:// address"),
        (("--host", f"{HOST}/api/swarms"), f"gives the dashboard's address alone: --host {HOST}"),
        (("--host", HOST, "--token", "a", "--token-file", __file__), "give one of them"),
    ],
)
def test_refusals_say_what_to_type(typed, words, says_):
    """One sentence and status 2, before anybody is asked."""
    status, told = typed(*words)
    assert (status, told.count("claw:")) == (2, 1)
    assert says_ in told


def test_nobody_there_is_told(typed):
    """With the reason, and what to type."""
    status, told = typed("--host", f"127.0.0.1:{free_port()}")
    assert status == 1
    assert "cannot be reached" in told
    assert "./claw up" in told


@pytest.mark.parametrize("act", [says(404, {"error": "x"}), says(200, b"hello"), says(200, {"ok": True})])
def test_what_is_no_dashboard_is_told(typed, serve: Serve, act: Act):
    """Something answers there, and it is not ours."""
    status, told = typed("--host", serve(act).url)
    assert status == 1
    assert "is no dashboard of ours" in told


def test_locust_may_be_missing(typed, monkeypatch):
    """Where somebody started Python without ./claw."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    status, told = typed("--host", HOST)
    assert status == 2
    assert "requirements-load.lock" in told


@pytest.mark.parametrize(
    ("tags", "given", "says_"),
    [((), None, "changes need that rack's token"), (("write",), "wrong", "the token is not that rack's")],
)
def test_the_token_is_asked_for_before_the_test(serve: Serve, tags, given, says_):
    """A test whose changes would all be refused does not begin."""
    test = LoadTest(serve(rack("right")).url, Path("r"), tags=tags)
    with pytest.raises(Refusal, match=says_):
        check(test, given)


def test_the_check_changes_nothing(serve: Serve):
    """With the token all is well; who only reads is not asked for it; and no body that is taken is sent."""
    server = serve(rack("right"))
    check(LoadTest(server.url, Path("r")), "right")
    check(LoadTest(server.url, Path("r"), tags=("read", "sse")), None)
    posts = [(path, json.loads(body)) for method, path, _, body in server.heard if method == "POST"]
    assert posts == [("/api/rps/config", {"interval_seconds": None})]


def test_a_name_that_is_not_allowed_is_told(serve: Serve):
    """In the rack's own words."""

    def act(handler: Handler) -> None:
        if handler.command == "GET":
            handler.say(200, {"task_id": "x"})
        else:
            handler.say(403, {"error": "Use another name.", "code": "host_not_allowed"})

    with pytest.raises(Refusal, match=r"host_not_allowed.*Use another name"):
        check(LoadTest(serve(act).url, Path("r")), None)


def test_options_become_locusts(tmp_path):
    """Each one that was given; tags with commas or one by one."""
    limits = tmp_path / "limits.toml"
    limits.write_text("violations = 0")
    said = {
        **NOTHING, "tags": ("read,sse", "chaos", "read"), "shape": "soak", "duration": "2m", "users": 7,
        "spawn_rate": 0.5, "headless": True, "processes": 2, "allow_chaos": True, "thresholds": limits,
        "reports": tmp_path / "out", "web_port": 9000,
    }  # fmt: skip
    command = planned(said, HOST).command()
    assert command[:7] == (sys.executable, "-m", "locust", "--tags", "read", "sse", "chaos")
    joined = " ".join(command)
    for words in (
        f"--host {HOST}", "--shape soak", "--run-time 120s", "--users 7", "--spawn-rate 0.5", "--headless",
        "--processes 2", "--allow-chaos", f"--thresholds {limits}", f"--html {tmp_path}/out/report.html",
        f"--csv {tmp_path}/out/stats", f"--json-file {tmp_path}/out/requests", f"--reports {tmp_path}/out",
        "--web-port 9000", "--master-bind-host 127.0.0.1",
    ):  # fmt: skip
        assert f" {words}" in joined, words


def test_what_is_not_said_is_left_to_the_conf():
    """Users, rate, time and processes are locust.conf's; the web page is the default."""
    command = planned(NOTHING, HOST).command()
    for word in (
        "--users",
        "--spawn-rate",
        "--run-time",
        "--processes",
        "--headless",
        "--allow-chaos",
        "--tags",
    ):
        assert word not in command
    assert "/reports/20" in " ".join(command)


def test_the_token_is_not_on_the_command_line(typed, serve: Serve, monkeypatch, tmp_path):
    """Locust gets it by its environment, and the report's verdict becomes the exit status."""
    seen: dict[str, Any] = {}

    def stand_in(command, environment) -> int:
        seen.update(command=command, environment=environment)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / load_report.NAME).write_text(json.dumps(REPORT))
        return 1

    monkeypatch.setattr(load_command, "attended", stand_in)
    url = serve(rack("right")).url
    status, told = typed("--host", url, "--token", "right", "--headless", "--reports", str(tmp_path / "out"))
    assert status == 1
    assert "right" not in seen["command"]
    assert seen["environment"]["CLAWBUCKET_TOKEN"] == "right"
    for words in ("GET /, p95", "61 ms", "≤ 50 ms", "MISSED", "503 bus_down", "put back: x", "1 of 2 limits"):
        assert words in told, told


def test_a_token_file_goes_before_the_environment(typed, serve: Serve, monkeypatch, tmp_path):
    """As with ./claw up and ./claw swarm up; an empty one is told."""
    monkeypatch.setenv("CLAWBUCKET_TOKEN", "wrong-" * 4)
    monkeypatch.setattr(load_command, "attended", lambda _command, environment: seen.update(environment) or 2)
    seen: dict[str, str] = {}
    file, url = tmp_path / "token", serve(rack("right-" * 4)).url
    file.write_text("right-" * 4 + "\n")
    typed("--host", url, "--headless", "--token-file", str(file))
    assert seen["CLAWBUCKET_TOKEN"] == "right-" * 4
    file.write_text("")
    status, told = typed("--host", url, "--headless", "--token-file", str(file))
    assert status == 2
    assert f"{file} must hold" in told


def test_a_taken_port_of_the_page_is_told_before_the_test(typed, serve: Serve, monkeypatch):
    """Who has it, and the option for another; without the page nobody asks."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        url = serve(rack()).url
        status, told = typed("--host", url, "--web-port", port)
        assert status == 2
        assert f"port {port} (Locust's page) is taken by" in told
        assert "choose another with --web-port, or do without: --headless" in told
        monkeypatch.setattr(load_command, "attended", lambda _command, _environment: 1)
        assert "left no report" in typed("--host", url, "--web-port", port, "--headless")[1]


def test_the_pages_port_is_locusts(typed, serve: Serve, monkeypatch, tmp_path):
    """Where nothing is said; where it is, the command tells what to open, and what Ctrl-C does."""
    conf = (ROOT / "locust.conf").read_text()
    assert f"web-port = {load_command.WEB_PORT}" in conf
    monkeypatch.setattr(load_command, "attended", lambda _command, _environment: 1)
    page = free_port()
    told = typed("--host", serve(rack()).url, "--web-port", str(page), "--reports", str(tmp_path / "a"))[1]
    assert f"open http://127.0.0.1:{page} and press Start" in told


def test_a_test_that_nobody_began_is_not_judged(typed, serve: Serve, monkeypatch, tmp_path):
    """Status 2 where the page was left without Start: no table of what was not measured."""
    out = tmp_path / "out"

    def stand_in(_command, _environment) -> int:
        out.mkdir()
        (out / load_report.NAME).write_text(json.dumps({**REPORT, "asked": {"run": ""}}))
        return 1

    monkeypatch.setattr(load_command, "attended", stand_in)
    status, told = typed("--host", serve(rack()).url, "--web-port", str(free_port()), "--reports", str(out))
    assert (status, "MEASURED" in told) == (2, False)
    assert "no test was begun" in told


REPORT = {
    "held": False,
    "asked": {"run": "20261127T120000Z"},
    "verdicts": [
        {"what": "requests", "measured": 1_234, "limit": 1, "unit": "", "held": True, "least": True},
        {"what": "GET /, p95", "measured": 61.0, "limit": 50.0, "unit": "ms", "held": False, "least": False},
    ],
    "figures": {
        "requests": 1_234, "seconds": 9.6, "rate": 128.4,
        "failures": [{"count": 3, "request": "GET [/]", "reason": "503 bus_down"}],
    },
    "notes": ["put back: x"],
}  # fmt: skip


def test_a_report_directory_must_be_empty(tmp_path):
    """So that no report is mixed with another."""
    (tmp_path / "old.csv").touch()
    with pytest.raises(Refusal, match="is not empty"):
        planned({**NOTHING, "reports": tmp_path}, HOST)


def test_no_report_is_told(typed, serve: Serve, monkeypatch, tmp_path):
    """Where Locust ended before it wrote one."""
    monkeypatch.setattr(load_command, "attended", lambda _command, _environment: 2)
    status, told = typed("--host", serve(rack()).url, "--headless", "--reports", str(tmp_path / "none"))
    assert status == 1
    assert "Locust ended with status 2 and left no report" in told


@pytest.mark.slow
def test_sigterm_is_handed_on_as_ctrl_c():
    """The child may put things back; its status is the answer, and our handlers are as before."""
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(7))\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "signal.pause()\n"
    )
    before = signal.getsignal(signal.SIGTERM)
    assert attended([sys.executable, "-c", script], {"PATH": "/usr/bin"}) == 7
    assert signal.getsignal(signal.SIGTERM) is before
