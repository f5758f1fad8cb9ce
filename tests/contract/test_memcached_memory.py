"""How the private memcached of ``./claw up`` uses memory, on a real one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from pymemcache.client.base import Client

from bench.rack import free_port
from clawbucket import keys
from clawbucket.cli.provision import memcached_command
from tests.conftest import wait_for_port

SMALL, LARGE = 16_384, keys.ARM_EVENTS.max_bytes
"""Bytes of a list that has filled up a little, and of the longest one."""


@pytest.fixture
def client() -> Iterator[Client]:
    """A client of a memcached that is started as the launcher starts it."""
    binary = shutil.which("memcached")
    assert binary, "memcached is not installed; ./claw test installs it (Debian package: memcached)"
    port = free_port()
    with subprocess.Popen([*memcached_command(binary, port), "-u", "nobody"]) as process:
        try:
            wait_for_port(port)
            client = Client(("127.0.0.1", port), default_noreply=False, timeout=5.0)
            yield client
            client.close()
        finally:
            process.kill()


def pages(client: Client) -> int:
    """Pages of 1 MiB that it has taken for values, and never gives back."""
    told = client.stats("slabs")
    return sum(int(value) for name, value in told.items() if name.endswith(b":total_pages"))


def test_a_list_that_fills_up_takes_few_pages(client):
    """Its small sizes have taken a page each; from 16 KiB to the longest list it takes one or two more."""
    for size in range(64, SMALL, 32):
        client.set("list", b"x" * size)
    before = pages(client)
    for size in range(SMALL, LARGE, 256):
        client.set("list", b"x" * size)
    assert client.get("list") == b"x" * size
    assert pages(client) <= before + 2
