"""``python -m bench.viewers URL COUNT SECONDS``: how late many viewers of one stream hear of a change.

Bare sockets on asyncio in a process of its own. Each event of the board generator carries the time at which
its change was due, on the monotonic clock that processes of one machine share; the lag is thus everything
from then on: the wait for the replica's next look, the comparing and serialising, and the sending to everyone
before. Prints "counting" when it begins to, and then JSON: ``lags`` in milliseconds, ``viewers`` connected at
the end, ``bytes``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import resource
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

AT_ONCE = 50
"""Connections that are opened at one time."""
MOST = 4_000
SETTLE = 3.0
"""Seconds after the last has its first picture, before anything is counted."""
LONGEST_EVENT = 16 * 1024 * 1024
DUE = re.compile(rb'"rps":\{[^{}]*"at":"(\d+\.\d+)"')


@dataclass(slots=True)
class Counted:
    """What was heard between ``begin`` and the end."""

    begin: float = float("inf")
    lags: list[float] = field(default_factory=list)
    bytes: int = 0
    connected: int = 0


async def watch(host: str, port: int, counted: Counted, greeted: asyncio.Event) -> None:
    """One viewer, until it is cancelled or cut off."""
    reader, writer = await asyncio.open_connection(host, port, limit=LONGEST_EVENT)
    writer.write(
        f"GET /api/stream HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
    )
    try:
        while True:
            line = await reader.readline()
            if not line:
                return
            if line.startswith(b"data: "):
                heard = time.monotonic()
                if not greeted.is_set():
                    greeted.set()
                    counted.connected += 1
                elif heard >= counted.begin:
                    counted.bytes += len(line)
                    due = DUE.search(line, max(0, len(line) - 2_000))
                    if due is not None and float(due[1]) >= counted.begin:
                        counted.lags.append(1_000 * (heard - float(due[1])))
    finally:
        counted.connected -= greeted.is_set()
        writer.close()


async def run(url: str, count: int, seconds: float) -> Counted:
    """Connect everyone, let it settle, and count for that long."""
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 0
    if host != "127.0.0.1" or not 0 < count <= MOST:
        raise ValueError(f"up to {MOST} viewers of this machine's loopback; {count} of {url} are not")
    counted = Counted()
    tasks: list[asyncio.Task[None]] = []
    while len(tasks) < count:
        greeted = [asyncio.Event() for _ in range(min(AT_ONCE, count - len(tasks)))]
        tasks += [asyncio.create_task(watch(host, port, counted, each)) for each in greeted]
        async with asyncio.timeout(60):
            await asyncio.gather(*(each.wait() for each in greeted))
    await asyncio.sleep(SETTLE)
    counted.begin = time.monotonic()
    print("counting", flush=True)
    await asyncio.sleep(seconds)
    counted.begin = float("inf")
    connected = counted.connected
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    counted.connected = connected
    return counted


def main() -> int:
    """Exit code 0 with JSON on the last line."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("count", type=int)
    parser.add_argument("seconds", type=float)
    chosen = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    counted = asyncio.run(run(chosen.url, chosen.count, chosen.seconds))
    told = {
        "lags": counted.lags,
        "viewers": counted.connected, "bytes": counted.bytes,
    }  # fmt: skip
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
