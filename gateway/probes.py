"""Asking replicas that failed, or are draining, whether they speak again."""

from __future__ import annotations

import asyncio

import aiohttp
import orjson
import structlog

from clawbucket.ports import Clock
from gateway.routing import Replica, Routes
from gateway.upstreams import Upstreams

log = structlog.get_logger(__name__)

EVERY = 0.25
"""Seconds between two looks."""
PATIENCE = 1.0
"""Seconds for an answer."""
_LONGEST = 64 * 1024


class Prober:
    """Clears a replica as soon as it answers ``GET /readyz``, with whatever status.

    A replica that says that the bus is down still serves what it last knew: not ready is no reason to
    give it nothing. Only the check ``drain`` is: then it is about to end.
    """

    def __init__(self, routes: Routes, upstreams: Upstreams, clock: Clock) -> None:
        self._routes = routes
        self._upstreams = upstreams
        self._now = clock.monotonic

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await asyncio.gather(*(self.probe(replica) for replica in self._routes.unwell()))
            await asyncio.sleep(EVERY)

    async def probe(self, replica: Replica) -> None:
        """Ask one replica and mark it by what it says."""
        try:
            async with asyncio.timeout(PATIENCE):
                draining = await self._draining(replica)
        except (aiohttp.ClientError, OSError):  # OSError: TimeoutError too
            self._routes.strike(replica, self._now())
            return
        if replica.strikes and not draining:
            log.info("upstream answers again", task=replica.name)
        replica.draining = draining
        self._routes.clear(replica)

    async def _draining(self, replica: Replica) -> bool:
        url = f"http://{replica.address}/readyz"
        async with self._upstreams.probes.get(url, allow_redirects=False) as response:
            if response.status != 503:
                return False
            body = b""
            async for part in response.content.iter_any():
                body += part
                if len(body) > _LONGEST:
                    return False
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        checks = said.get("checks") if isinstance(said, dict) else None
        return isinstance(checks, dict) and "drain" in checks
