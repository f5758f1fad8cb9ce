"""``python -m tests.contract.gateway.served FD FILE``: a replica's server, under the smallest application.

What ends on SIGTERM here is what ends in a replica: clawbucket/wsgi.py with its master, worker and drain.
"""

# ruff: noqa: E402 - the standard library is patched before anything else can hold on to the unpatched one
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import gevent

from clawbucket.health import Health
from clawbucket.listening import listening_socket
from clawbucket.wsgi import Program, serve

UNDER_WAY = 0.01
"""Seconds that a request takes, so that some are always under way."""
DRAINING = b'{"error":"This replica is about to end.","code":"draining"}'


def program(done: int) -> Program:
    """Writes the path of every POST to ``done`` once it has taken effect; refuses all while it drains."""
    health = Health()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        status, body = "200 OK", b"hello"
        if path == "/readyz":
            verdict = health.check()
            if not verdict.ok:
                status, body = "503 Service Unavailable", b'{"ok":false,"checks":{"drain":"draining"}}'
        elif health.draining:
            status, body = "503 Service Unavailable", DRAINING
        else:
            gevent.sleep(UNDER_WAY)
            if environ["REQUEST_METHOD"] == "POST":
                os.write(done, f"{path} {environ['wsgi.input'].read().decode()}\n".encode())
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    return Program(application, health.drain)


if __name__ == "__main__":
    file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    serve(listening_socket(sys.argv[1]), lambda: program(file))
