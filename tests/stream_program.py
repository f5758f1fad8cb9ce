"""``python -m tests.stream_program FD CAP UNREAD SIZE``: the real stream of a made-up state.

Served as a replica is (clawbucket/wsgi.py). At each of twenty looks a second the state has the next number
``n``, and ``SIZE`` bytes that are different too. ``/viewers`` tells how many watch,
``/outlet`` whether the server lays its sockets open, ``/livez`` nothing.
"""

from __future__ import annotations

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import itertools
import sys

from flask import Flask, request

from app import stream
from app.fanout import Fanout, State
from app.outlet import outlet_of
from clawbucket.clock import SystemClock
from clawbucket.listening import listening_socket
from clawbucket.wsgi import Program, serve

PERIOD = 0.05


def program(cap: int, unread: float, size: int) -> Program:
    """The stream and two small answers."""
    numbers = itertools.count(1)

    def produce() -> State:
        n = next(numbers)
        return {"n": n, "blob": "ab"[n % 2] * size}

    fanout = Fanout(produce, SystemClock(), cap=cap, period=PERIOD)
    app = Flask(__name__)
    app.register_blueprint(stream.blueprint(fanout, unread=unread))
    app.add_url_rule("/viewers", "viewers", lambda: str(fanout.viewers))
    app.add_url_rule("/outlet", "outlet", lambda: str(outlet_of(request.environ) is not None))
    app.add_url_rule("/livez", "livez", lambda: "")
    return Program(app, fanout.close)


if __name__ == "__main__":
    listener = listening_socket(f"fd://{sys.argv[1]}")
    serve(listener, lambda: program(int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
