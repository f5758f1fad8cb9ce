"""``python -m app.nursery FD``: imports the replica once, and forks one for each that the engine asks for.

Importing a replica takes a second of processor time, six of them three seconds of a whole machine of two
cores. A fork takes milliseconds, and shares the memory of what was imported. This is Android's zygote and
CPython's own ``multiprocessing.forkserver``, which is not used since it forks its own children only.

The engine asks over the socket ``FD``: one message of JSON (``environment`` and ``log``) with the
listener's and perhaps the lifeline's descriptor. The answer is the new process' pid in decimal, or the
reason why there is none. The replica leads a session of its own and is handed over, by a second fork, to
the engine, who is its subreaper and hears its exit code like that of any child.

Linux only: elsewhere the engine starts each replica by itself.
"""

# ruff: noqa: E402 - the standard library is patched before anything else can hold on to the unpatched one
from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import ctypes
import fcntl
import gc
import os
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

import gevent
import orjson

import app.__main__
import app.factory
import app.services
import app.stream

LONGEST_MESSAGE = 262_144
"""Bytes of a request: an environment, which the kernel itself bounds."""
OUT_OF_THE_WAY, MOST_DESCRIPTORS = 16, 65_536
"""A replica has /dev/null, its log twice, its listener and perhaps the lifeline as 0 to 4, and no more."""

_fork = monkey.get_original("os", "fork")
_socket = monkey.get_original("socket", "socket")


def main() -> None:
    """Serve the engine until it closes its end of the socket."""
    channel = _socket(fileno=int(sys.argv[1]))
    # urllib3 opens a socket while it is imported, and with it gevent's hub: each replica is to make its own.
    gevent.get_hub().destroy(destroy_loop=True)
    gc.collect()
    gc.freeze()
    channel.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(channel, LONGEST_MESSAGE, 2)
        if not message:
            return
        try:
            pid = _hand_over(channel, orjson.loads(message), descriptors)
        except OSError as error:
            channel.send(f"cannot fork: {error.strerror or error}".encode())
        else:
            channel.send(b"%d" % pid)
        for descriptor in descriptors:
            os.close(descriptor)


def _hand_over(channel: Any, wanted: dict[str, Any], descriptors: list[int]) -> int:
    """Fork twice: what is in between tells the replica's pid and ends, and the engine inherits."""
    reading, writing = os.pipe()
    between = _fork()
    if between == 0:
        replica = _fork()
        if replica == 0:
            channel.close()
            _become(wanted, descriptors)
        os.write(writing, b"%d" % replica)
        os._exit(0)
    os.close(writing)
    try:
        os.waitpid(between, 0)
        told = os.read(reading, 32)
    finally:
        os.close(reading)
    if not told:
        raise OSError(0, "the process in between ended without a word")
    return int(told)


def _become(wanted: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Be the replica: in its own session, with its descriptors and environment and nothing else."""
    os.setsid()
    output = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    # First all up and out of the way, so that none overwrites another.
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, OUT_OF_THE_WAY) for fd in (null, output, output, *descriptors)]
    for target, source in enumerate(moved):
        os.dup2(source, target)
    os.closerange(len(moved), MOST_DESCRIPTORS)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    show_environment(wanted["environment"])
    try:
        app.__main__.main()
    finally:
        sys.stderr.flush()
    os._exit(0)


def show_environment(environment: dict[str, str]) -> None:
    """Have the kernel show this environment as the process' own (``/proc/PID/environ``, ps, psutil).

    What the kernel shows is the memory in which it was handed over at the start of the nursery, where the
    C library no longer looks. It is written over in place, as PostgreSQL does for its titles
    (src/backend/utils/misc/ps_status.c); what does not fit is not shown.
    """
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    start, end = int(fields[47]), int(fields[48])  # env_start and env_end, proc(5)
    block = b"".join(f"{name}={value}".encode() + b"\0" for name, value in environment.items())
    room = end - start
    if len(block) > room:
        block = block[: block.rfind(b"\0", 0, room) + 1]
    ctypes.memmove(start, block.ljust(room, b"\0"), room)


if __name__ == "__main__":
    main()
