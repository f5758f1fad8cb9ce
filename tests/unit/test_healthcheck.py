"""The image's health check, asked of sockets that behave in every way."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "docker" / "healthcheck.py"


@pytest.fixture(scope="module")
def healthcheck():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("healthcheck", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def answering(said: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A port whose one caller is told this; and what the caller asked."""
    asked: list[bytes] = []

    def serve() -> None:
        caller, _ = listener.accept()
        with caller:
            asked.append(caller.recv(4096))
            caller.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], asked
        thread.join()


@pytest.mark.parametrize("host", ["0.0.0.0", "127.0.0.1", "localhost"])
def test_a_program_that_answers_is_healthy(healthcheck, host, capsys):
    """Asked for /livez where it listens, on loopback if it listens everywhere; nothing is said."""
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as (port, asked):
        assert healthcheck.main(f"{host}:{port}") == 0
    assert asked[0].startswith(b"GET /livez HTTP/1.0\r\n")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", "'HTTP/1.1 503 Service Unavailable'"),
        (b"", "answered ''"),
        (b"200" * 40, "answered '2002"),
    ],
)
def test_any_other_answer_is_not_health(healthcheck, said, told, capsys):
    """One line says what was answered."""
    with answering(said) as (port, _):
        assert healthcheck.main(f"0.0.0.0:{port}") == 1
    assert told in capsys.readouterr().out


def test_no_answer_is_not_health(healthcheck, monkeypatch, capsys):
    """A port that takes the connection and says nothing is given up after the deadline."""
    monkeypatch.setattr(healthcheck, "DEADLINE", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert healthcheck.main(f"[127.0.0.1]:{listener.getsockname()[1]}") == 1
    assert "timed out" in capsys.readouterr().out


def test_a_bind_that_is_none_is_told(healthcheck, capsys):
    """With the variable's name and no stack trace."""
    assert healthcheck.main("nonsense") == 1
    assert capsys.readouterr().out.startswith("CLAWBUCKET_BIND=nonsense: ")


def test_it_needs_nothing_but_the_standard_library():
    """As the image runs it: isolated, without site-packages, in a blink."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT], env={"CLAWBUCKET_BIND": "127.0.0.1:1"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "refused" in done.stdout
    assert done.stderr == ""
