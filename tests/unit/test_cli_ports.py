from __future__ import annotations

import os
import socket
import sys

import psutil
import pytest

from clawbucket.cli.ports_check import Wanted, as_url, is_loopback, reserved, take
from clawbucket.cli.refusal import Refusal


@pytest.fixture
def busy():
    """A port that this very process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def free():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_free_ports_are_listened_on_at_once():
    """A connection waits in the queue before the program behind the port is there."""
    port = free()
    (listener,) = take("127.0.0.1", [Wanted(port, "dashboard", "--port")])
    with listener:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        assert not listener.get_inheritable()


def test_a_busy_port_is_refused_by_name(busy):
    """Whose port it was to be, who has it, and the option that chooses another."""
    with pytest.raises(Refusal) as refused:
        take("127.0.0.1", [Wanted(busy, "dashboard", "--port")])
    said = str(refused.value)
    assert said.startswith(f"port {busy} (dashboard) is taken by ")
    assert f"(pid {os.getpid()})" in said
    assert said.endswith("choose another with --port")
    assert refused.value.code == 2


def test_every_busy_port_is_named_at_once(busy):
    """Nobody has to try twice, and what could be had is let go."""
    other = free()
    wanted = [Wanted(other, "dashboard", "--port"), Wanted(busy, "aggregator", "--aggregator-port")]
    with socket.create_server(("127.0.0.1", 0)) as second:
        third = Wanted(second.getsockname()[1], "spare", "--spare")
        with pytest.raises(Refusal, match=r"\(aggregator\).*; port \d+ \(spare\)"):
            take("127.0.0.1", [*wanted, third])
    socket.create_server(("127.0.0.1", other)).close()


def test_one_port_for_two_is_refused():
    """The same number twice is a mistake of the options, not a busy port."""
    port = free()
    with pytest.raises(Refusal, match=f"port {port} cannot be both the dashboard's"):
        take(
            "127.0.0.1",
            [Wanted(port, "dashboard", "--port"), Wanted(port, "aggregator", "--aggregator-port")],
        )


def test_a_wildcard_listener_makes_the_port_busy():
    """0.0.0.0 answers on 127.0.0.1 too."""
    with socket.create_server(("", 0)) as listener, pytest.raises(Refusal, match="is taken by"):
        take("127.0.0.1", [Wanted(listener.getsockname()[1], "dashboard", "--port")])


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "256.1.1.1"])
def test_a_host_that_is_not_here_is_refused(host):
    """By the option's name."""
    with pytest.raises(Refusal, match="--host"):
        take(host, [Wanted(free(), "dashboard", "--port")])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a bound port be shared so")
def test_a_reserved_port_is_kept_for_whoever_sets_reuseaddr():
    """Connections are refused, nobody else is given the port, and a server can still listen there."""
    with reserved() as port:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)
        with socket.socket() as stranger, pytest.raises(OSError, match="in use"):
            stranger.bind(("127.0.0.1", port))
        for _ in range(2):  # and again, as after a restart
            with socket.create_server(("127.0.0.1", port)):  # sets SO_REUSEADDR
                socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_urls_are_what_a_person_can_type():
    """A wildcard is no address, and IPv6 has brackets."""
    assert as_url("0.0.0.0", 8080) == "http://127.0.0.1:8080"
    assert as_url("::1", 80) == "http://[::1]:80"
    assert as_url("box", 80) == "http://box:80"
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1")] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_a_holder_that_may_not_be_known_is_another_program(busy, monkeypatch):
    """Root alone is told who listens on macOS."""

    def denied(_kind):
        raise PermissionError

    monkeypatch.setattr(psutil, "net_connections", denied)
    with pytest.raises(Refusal, match="is taken by another program; choose"):
        take("127.0.0.1", [Wanted(busy, "dashboard", "--port")])
