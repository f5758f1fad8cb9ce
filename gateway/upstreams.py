"""The connections to replicas: aiohttp's client, set up to pass on and to add nothing.

Two pools, for one reason: a replica may close an idle connection at the very moment at which a request
is written to it, and nobody can tell afterwards whether it was read (RFC 9112 section 9.3.1). Requests
that may be repeated use kept connections. All others get a connection of their own, so that an idle
one's end never puts an act in doubt.
"""

from __future__ import annotations

import aiohttp

CONNECT = 1.0
"""Seconds to reach a replica, or to get a place in the pool."""
KEPT = 1.5
"""Seconds that an idle connection is kept: less than gunicorn's own default of 2."""
PER_REPLICA = 4096
"""Connections to one replica, below the 5000 that its worker takes."""
BODY_IDLE = 75.0
"""Seconds between two parts of an answer; a stream's ping comes every 15."""
LONGEST_FIELD = 32 * 1024
"""Bytes of one header field of an answer."""


class Died(aiohttp.ClientError):
    """The connection ended before the head of the answer was whole."""


class Upstreams:
    """Both pools. Made and closed inside the event loop."""

    def __init__(self) -> None:
        self.kept = _session(force_close=False)
        self.fresh = _session(force_close=True)

    async def close(self) -> None:
        """Close every connection."""
        await self.kept.close()
        await self.fresh.close()


def _session(*, force_close: bool) -> aiohttp.ClientSession:
    if force_close:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=PER_REPLICA, force_close=True)
    else:
        connector = aiohttp.TCPConnector(limit=0, limit_per_host=PER_REPLICA, keepalive_timeout=KEPT)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT, sock_read=BODY_IDLE),
        max_line_size=LONGEST_FIELD,
        max_field_size=LONGEST_FIELD,
        middlewares=(_once,),
        trust_env=False,
    )


async def _once(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Never ask the same replica twice behind the gateway's back.

    aiohttp repeats an idempotent request once when its connection ends early; whether to repeat, and
    where, is the gateway's decision and is counted.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise Died(str(error) or "it closed the connection") from error
