"""``python -m bench.ready_bytes HOST:PORT FILE``: the yardstick, a Flask view that returns a file's bytes.

Served exactly as a replica is (clawbucket/wsgi.py): the same gunicorn, worker and settings. What a replica is
slower than this is what its own work on a request costs. ``/unchanged`` is the same for a 304: an empty
answer with an ETag, whatever was asked.
"""

# ruff: noqa: E402 - the standard library is patched before anything else can hold on to the unpatched one
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import sys
from pathlib import Path

from flask import Flask, Response

from clawbucket.listening import listening_socket
from clawbucket.wsgi import Program, serve

ETAG = '"00112233445566778899aabb"'
"""As long as those of app/reading.py."""


def program() -> Program:
    """Two routes, ready bytes, nothing to say goodbye to."""
    body = Path(sys.argv[2]).read_bytes()
    app = Flask(__name__)

    @app.get("/ready")
    def ready() -> Response:
        return Response(body, content_type="application/json")

    @app.get("/unchanged")
    def unchanged() -> Response:
        return Response(b"", 304, {"ETag": ETAG})

    return Program(app, lambda: None)


if __name__ == "__main__":
    serve(listening_socket(sys.argv[1]), program)
