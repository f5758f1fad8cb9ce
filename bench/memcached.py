"""The limit of the bus: a memcached of one's own, and the least that a Python program can ask it by."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.rack import free_port, wait_until
from clawbucket.cli.provision import memcached_command
from clawbucket.cli.refusal import Refusal


@contextmanager
def memcached() -> Iterator[int]:
    """The port of one that runs for the length of a block, set as that of a rack is."""
    binary = shutil.which("memcached")
    if binary is None:
        raise Refusal("no memcached is on PATH; ./claw up installs one")
    port = free_port()
    command = (
        *memcached_command(binary, port),
        "-u",
        "nobody",
    )  # whom root becomes; others stay who they are
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_until("memcached answers", lambda: _answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    raw = Raw(port)
    raw.get("nothing")
    raw.close()
    return True


class Raw:
    """One socket, and no more parsing than it takes to know that an answer is whole."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=2.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def get(self, key: str) -> bytes:
        """The answer as it comes."""
        return self._ask(b"get %b\r\n" % key.encode(), b"END\r\n")

    def get_many(self, keys: Sequence[str]) -> bytes:
        """The answer as it comes."""
        return self._ask(b"get %b\r\n" % " ".join(keys).encode(), b"END\r\n")

    def set(self, key: str, value: bytes) -> bytes:
        """Store it for a minute."""
        return self._ask(b"set %b 0 60 %d\r\n%b\r\n" % (key.encode(), len(value), value), b"\r\n")

    def cas(self, key: str, value: bytes) -> bytes:
        """Look, and store where nobody did meanwhile: two round trips, as a leader's renewal is."""
        head = self._ask(b"gets %b\r\n" % key.encode(), b"END\r\n").split(b"\r\n", 1)[0]
        token = head.rpartition(b" ")[2]
        command = b"cas %b 0 60 %d %b\r\n%b\r\n" % (key.encode(), len(value), token, value)
        return self._ask(command, b"\r\n")

    def _ask(self, command: bytes, end: bytes) -> bytes:
        self._socket.sendall(command)
        answer = self._socket.recv(65_536)
        while not answer.endswith(end):
            piece = self._socket.recv(65_536)
            if not piece:
                raise ConnectionError("memcached hung up")
            answer += piece
        return answer
