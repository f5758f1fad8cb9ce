"""A board generator in a process of its own, for the length of a block."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3

from bench.rack import ROOT, free_port, wait_until


@contextmanager
def generator(tiles: int, *options: str) -> Iterator[str]:
    """Its URL, without a slash at the end; it ends with the block."""
    port = free_port()
    command = [
        sys.executable, "-m", "bench.board_generator", "--tiles", str(tiles), "--port", str(port), *options,
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT)
    http = urllib3.PoolManager(timeout=2.0, retries=False)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until("the board generator answers", lambda: http.request("GET", f"{url}/readyz").status == 200)
        yield url
    finally:
        http.clear()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
