"""The limit of what a server of ours can do: the same gunicorn and settings, returning ready bytes.

bench/ready_bytes.py is the server; a figure beside it is a share of what it does in the same run.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from bench.rack import ROOT, free_port, wait_until


@contextmanager
def yardstick(body: bytes) -> Iterator[str]:
    """A server's URL for the length of a block: its ``/ready`` returns those bytes, ``/unchanged`` a 304."""
    port = free_port()
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        Path(file.name).write_bytes(body)
        command = [sys.executable, "-m", "bench.ready_bytes", f"127.0.0.1:{port}", file.name]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        http = urllib3.PoolManager(timeout=2.0, retries=False)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until("the yardstick answers", lambda: http.request("GET", f"{url}/ready").status == 200)
            yield url
        finally:
            http.clear()
            process.terminate()
            process.wait(10)
