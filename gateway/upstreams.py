"""The connections to replicas: kept ones for what may be repeated, fresh ones for all else.

Two ways, for one reason: a replica may close an idle connection at the very moment at which a request is
written to it, and nobody can tell afterwards whether it was read (RFC 9112 section 9.3.1). Requests that may
be repeated use kept connections. All others get a connection of their own, so that an idle one's end never
puts an act in doubt.

A connection is aiohttp's own client protocol, with its parser and its back-pressure. What aiohttp puts around
it for those who write clients (sessions, cookies, redirects, URLs, a response object) is left out: it cost
more than the whole rest of the gateway (docs/adr/0013-lean-client.md).
"""

from __future__ import annotations

import asyncio
from collections import deque

import aiohttp
from aiohttp.client_proto import ResponseHandler

CONNECT = 1.0
"""Seconds to reach a replica, or to get a place at it."""
KEPT = 1.5
"""Seconds that an idle connection is kept: less than gunicorn's own default of 2."""
PER_REPLICA = 4096
"""Connections to one replica in use, below the 5000 that its worker takes."""
BODY_IDLE = 75.0
"""Seconds between two parts of an answer; a stream's ping comes every 15."""
LONGEST_FIELD = 32 * 1024
"""Bytes of one header field of an answer."""
_SWEEP = 0.5
"""Seconds between two looks for connections that were idle for too long."""


class Unreached(Exception):  # noqa: N818 - it says what happened
    """No connection could be had, so that nothing was sent; the text says why."""


class Link(ResponseHandler):
    """One connection to a replica, for one request at a time. Made by ``Upstreams``."""

    def __init__(self, loop: asyncio.AbstractEventLoop, pool: _Pool, links: set[Link]) -> None:
        super().__init__(loop)
        self.pool = pool
        self.idle_since = 0.0
        self._links = links

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open: one of the ``links`` until it is lost."""
        super().connection_made(transport)
        self._links.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is gone."""
        self._links.discard(self)
        super().connection_lost(exc)

    @property
    def usable(self) -> bool:
        """Whether it is open and nothing came that nobody asked for."""
        return self.is_connected() and not self.should_close

    def expect(self, *, body: bool) -> None:
        """A request is about to be sent; its answer has no ``body`` when it is one to HEAD."""
        self.set_response_params(
            skip_payload=not body,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=LONGEST_FIELD,
            max_field_size=LONGEST_FIELD,
        )
        self.read_timeout = None  # until the head is there, whoever asks has the time limit

    def watch_body(self) -> None:
        """From now on the replica must go on with its answer every BODY_IDLE seconds."""
        self.read_timeout = BODY_IDLE
        self.start_timeout()


class _Pool:
    """What leads to one address. ``places`` bounds the connections in use, the idle ones not counted."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.host, self.port = host.removeprefix("[").removesuffix("]"), int(port)
        self.places = asyncio.Semaphore(PER_REPLICA)
        self.used = 0
        self.idle: deque[Link] = deque()

    def youngest(self, now: float) -> Link | None:
        """The idle connection that was used last, if it is good for another request."""
        while self.idle:
            link = self.idle.pop()
            if now - link.idle_since <= KEPT and link.usable:
                return link
            link.close()
        return None

    def drop_before(self, moment: float) -> None:
        """Close what has been idle since before then."""
        while self.idle and self.idle[0].idle_since < moment:
            self.idle.popleft().close()


class Upstreams:
    """All connections to replicas. Made and closed inside the event loop, which is its clock.

    ``probes`` is a client of aiohttp's, for those who ask a replica something of their own.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pools: dict[str, _Pool] = {}
        self._links: set[Link] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self.probes = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT, sock_read=BODY_IDLE),
        )

    async def take(self, address: str, *, kept: bool) -> Link:
        """A connection to ``address``; ``kept``: one that was used before will do. Give it back.

        Unreached when there is none within CONNECT seconds.
        """
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = _Pool(address)
            self._sweep_later()
        pool.used += 1
        try:
            if not pool.places.locked():
                await pool.places.acquire()
                link = pool.youngest(self._loop.time()) if kept else None
                return await self._connect(pool, CONNECT) if link is None else link
            started = self._loop.time()
            async with asyncio.timeout(CONNECT):
                await pool.places.acquire()
            return await self._connect(pool, started + CONNECT - self._loop.time())
        except TimeoutError as error:
            pool.used -= 1
            raise Unreached(f"{PER_REPLICA} connections to {address} are in use") from error
        except BaseException:
            pool.used -= 1
            raise

    async def _connect(self, pool: _Pool, seconds: float) -> Link:
        """A new connection in a place that was got already, which goes if there is none."""
        try:
            async with asyncio.timeout(seconds):
                _, link = await self._loop.create_connection(
                    lambda: Link(self._loop, pool, self._links), pool.host, pool.port
                )
        except OSError as error:  # TimeoutError too
            pool.places.release()
            raise Unreached(str(error) or f"no connection within {seconds:g} s") from error
        except BaseException:
            pool.places.release()
            raise
        return link

    def give(self, link: Link, *, keep: bool) -> None:
        """It is used no longer. ``keep`` it where it is fit for that; otherwise it is closed."""
        pool = link.pool
        pool.used -= 1
        pool.places.release()
        if keep and link.usable:
            link.idle_since = self._loop.time()
            pool.idle.append(link)
        else:
            link.close()

    def _sweep_later(self) -> None:
        if self._sweeper is None and self._pools:
            self._sweeper = self._loop.call_later(_SWEEP, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle for too long, and forget the addresses that nothing leads to."""
        self._sweeper = None
        for pool in self._pools.values():
            pool.drop_before(self._loop.time() - KEPT)
        self._pools = {a: pool for a, pool in self._pools.items() if pool.used or pool.idle}
        self._sweep_later()

    async def close(self) -> None:
        """Break every connection off, and wait until they are gone."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        lost = [link.closed for link in self._links]
        for link in tuple(self._links):
            link.abort()
        await asyncio.gather(*filter(None, lost), self.probes.close(), return_exceptions=True)
