"""Is the program in this container alive? The image's HEALTHCHECK.

Asks ``GET /livez`` at the port of CLAWBUCKET_BIND, which every program of the image has. Exit status 0:
it answered 200; 1: it did not, and one line says why (``docker inspect`` shows it).

Run as ``python -I -S``: the standard library alone, and no more of it than a socket, because every
container runs this every few seconds for as long as it lives.
"""

from __future__ import annotations

import os
import socket
import sys

DEADLINE = 2.0
"""Seconds for each step; HEALTHCHECK's own timeout ends all of it."""
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}
"""Where a program that listens everywhere is asked."""
_STATUS_LINE = 64
"""Bytes that hold ``HTTP/1.1 200 OK`` and whatever words come with another status."""


def main(bind: str) -> int:
    """Ask, and tell by the exit status."""
    host, _, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    try:
        head = _ask(_ANYWHERE.get(host, host), int(port))
    except (OSError, ValueError) as error:
        sys.stdout.write(f"CLAWBUCKET_BIND={bind[:80]}: {error}\n")
        return 1
    if head.split(b" ")[1:2] == [b"200"]:
        return 0
    line = head.split(b"\r")[0].decode("ascii", "replace")
    sys.stdout.write(f"CLAWBUCKET_BIND={bind[:80]}: /livez answered {line!r}\n")
    return 1


def _ask(host: str, port: int) -> bytes:
    """The beginning of the answer. OSError when there is none."""
    head = b""
    with socket.create_connection((host, port), timeout=DEADLINE) as connection:
        connection.sendall(f"GET /livez HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        while len(head) < _STATUS_LINE and b"\r" not in head and (part := connection.recv(_STATUS_LINE)):
            head += part
    return head


if __name__ == "__main__":
    sys.exit(main(os.environ.get("CLAWBUCKET_BIND", "127.0.0.1:8080")))
