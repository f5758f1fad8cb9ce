"""Where a program is that goes by a name: its addresses, looked up again and again.

Swarm gives each task an address of its own, tells them all for the service's name (``dnsrr``) and leaves out
those that are ending. A program that restarts has another address, so no answer is kept for longer than
``EVERY``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

import aiohttp
import structlog

from gateway.routing import Replica

log = structlog.get_logger(__name__)

EVERY = 1.0
"""Seconds from one look-up's end to the next. None is cut short: the C library gives up (resolv.conf)."""
MOST = 64
"""Addresses that are taken of one name."""
_NOBODY = {socket.EAI_NONAME, socket.EAI_NODATA}
"""How a look-up fails when the name has no address; all else is the look-up's own failure."""


class NameFeed:
    """Hands the replicas behind ``target`` (``host:port``) to ``on_found``, whenever it looked them up.

    A name without an address is an empty list. While the look-up itself fails, the last list stays.
    """

    def __init__(self, target: str, on_found: Callable[[Iterable[Replica]], None]) -> None:
        host, _, port = target.rpartition(":")
        self._host, self._port = host.removeprefix("[").removesuffix("]"), int(port)
        self._on_found = on_found
        self._resolver = aiohttp.ThreadedResolver()
        self._trouble: str | None = None
        self._first = asyncio.Event()

    async def first_list(self) -> None:
        """Return once it was looked up."""
        await self._first.wait()

    async def run(self) -> None:
        """Look it up until cancelled."""
        while True:
            await self._look()
            self._first.set()
            await asyncio.sleep(EVERY)

    async def _look(self) -> None:
        try:
            found = await self._resolver.resolve(self._host, self._port, socket.AF_UNSPEC)
        except OSError as error:
            if self._trouble is None:
                log.warning("name not found", name=self._host, reason=str(error))
            self._trouble = str(error)
            if error.errno in _NOBODY:
                self._on_found(())
            return
        if self._trouble is not None:
            log.info("name found", name=self._host)
            self._trouble = None
        addresses = sorted({_address(one["host"], one["port"]) for one in found})[:MOST]
        self._on_found(Replica(address, address, address) for address in addresses)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
