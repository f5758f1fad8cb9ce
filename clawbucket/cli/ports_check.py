"""Ports: taken before anything starts, and kept while their programs come and go.

The launcher itself listens on the published ports and hands the sockets down. A taken port is therefore
found before anything starts, and a connection that comes while the gateway is being restarted waits in
the kernel's queue instead of being refused.
"""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil

from clawbucket.cli.refusal import Refusal

LOOPBACK = "127.0.0.1"
_BACKLOG = 1024
_PROBE = 0.2
"""Seconds for a connection to an address of this very machine."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A port that is to be published: whose it is, and the option that chooses another."""

    port: int
    whose: str
    option: str


def take(host: str, ports: Sequence[Wanted]) -> list[socket.socket]:
    """A listening socket for each port on ``host``. Refusal names every one that cannot be had."""
    family, address = _address(host)
    refused: list[str] = []
    with ExitStack() as taken:
        listeners: list[socket.socket] = []
        for number, wanted in enumerate(ports):
            same = next((other for other in ports[:number] if other.port == wanted.port), None)
            if same:
                refused.append(
                    f"port {wanted.port} cannot be both the {same.whose}'s ({same.option}) and the "
                    f"{wanted.whose}'s; choose another with {wanted.option}"
                )
                continue
            try:
                listener = _listen(family, address, wanted.port)
            except OSError as error:
                refused.append(_why(address, wanted, error))
            else:
                listeners.append(taken.enter_context(listener))
        if refused:
            raise Refusal("; ".join(refused))
        taken.pop_all()
        return listeners


@contextmanager
def reserved() -> Iterator[int]:
    """A free loopback port that nobody else is given meanwhile.

    The socket behind it is bound and does not listen: connections are refused, the kernel hands the port
    to nobody, and a program that sets SO_REUSEADDR, as servers do, can still listen there (Linux's
    inet_csk_bind_conflict lets such sockets share a port unless one of them listens already). Where
    that is not so the port is only likely to stay free.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((LOOPBACK, 0))
        port: int = held.getsockname()[1]
        if sys.platform != "linux":
            held.close()
        yield port


def as_url(host: str, port: int) -> str:
    """Where a person on this machine reaches a port bound on ``host``."""
    shown = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what is bound there."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def _address(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise Refusal(f"--host {host!r} is no address or name that this machine knows") from None
    # "localhost" may be both; the memcached, the rack manager and the examples say 127.0.0.1.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] is not socket.AF_INET)
    return family, str(address[0])


def _listen(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    if _answers(family, address, port):  # BSD lets 127.0.0.1 be bound beside somebody's 0.0.0.0
        raise OSError(errno.EADDRINUSE, "Address already in use")
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _answers(family: socket.AddressFamily, address: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE)
        return probe.connect_ex((address, port)) == 0


def _why(address: str, wanted: Wanted, error: OSError) -> str:
    here = f"port {wanted.port} ({wanted.whose})"
    if error.errno == errno.EADDRINUSE:
        return f"{here} is taken by {_holder(wanted.port)}; choose another with {wanted.option}"
    if error.errno == errno.EACCES:
        return f"{here} may be used by root alone; choose one from 1024 up with {wanted.option}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"--host {address} is no address of this machine; 127.0.0.1 is this machine alone, 0.0.0.0 all"
    return f"{here} cannot be used ({error.strerror or error}); choose another with {wanted.option}"


def _holder(port: int) -> str:
    """Who listens there, as far as this user may know."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):  # macOS tells root alone
        return "another program"
    for connection in connections:
        here = connection.laddr[1] if connection.laddr else None
        if connection.status == psutil.CONN_LISTEN and here == port and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                break
    return "another program"
