"""Where the list of replicas comes from: the rack manager's API, by long poll.

The last list stays in use while the rack manager does not answer; replicas outlive it. On Swarm it goes by a
name, and has another address after each restart: every new connection looks the name up anew.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import aiohttp
import structlog

from clawbucket import codecs, keys
from clawbucket.core.model import Snapshot
from clawbucket.ports import ClawError, Clock
from gateway.metrics import Metrics

log = structlog.get_logger(__name__)

WAIT = 10
"""Seconds that the rack manager may hold a poll back; its API takes at most 25."""
GRACE = 3.0
"""Seconds beyond that before a poll counts as failed."""
FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""Seconds between two polls that fail: doubling from first to longest, less up to a half by chance."""


class NoSnapshot(ClawError):  # noqa: N818 - named as the ports' errors are
    """The rack manager has not said anything yet."""


class FeedFailed(Exception):  # noqa: N818 - the same
    """A poll gave no snapshot; the text says why in one sentence."""


class RackFeed:
    """Hands every snapshot to ``on_snapshot``, in the order in which the API gives them."""

    def __init__(
        self,
        url: str,
        token: str | None,
        on_snapshot: Callable[[Snapshot], None],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._url = f"{url}/v1/snapshot"
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._on_snapshot = on_snapshot
        self._metrics = metrics
        self._now = clock.monotonic
        self._answered_at: float | None = None
        self._seq = 0
        self._trouble: str | None = None
        self._first = asyncio.Event()
        metrics.snapshot_age.set_function(self.age)

    def age(self) -> float:
        """Seconds since the rack manager last answered; infinite before it ever did."""
        return float("inf") if self._answered_at is None else self._now() - self._answered_at

    def ping(self) -> None:
        """Return once there is a list. NoSnapshot otherwise."""
        if self._answered_at is None:
            raise NoSnapshot(f"no snapshot yet: {self._trouble or 'the rack manager was not asked yet'}")

    async def first_list(self) -> None:
        """Return once there is a list."""
        await self._first.wait()

    async def run(self) -> None:
        """Poll until cancelled."""
        pause = FIRST_PAUSE
        limits = aiohttp.ClientTimeout(total=WAIT + GRACE, sock_connect=1.0)
        connector = aiohttp.TCPConnector(use_dns_cache=False, resolver=aiohttp.ThreadedResolver())
        async with aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=limits, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            while True:
                try:
                    await self._poll(session)
                except (FeedFailed, aiohttp.ClientError, OSError) as error:  # OSError: TimeoutError too
                    self._failed(str(error) or type(error).__name__)
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                    pause = min(pause * 2, LONGEST_PAUSE)
                else:
                    pause = FIRST_PAUSE

    async def _poll(self, session: aiohttp.ClientSession) -> None:
        params = {"after": self._seq, "wait": WAIT}
        async with session.get(self._url, params=params, allow_redirects=False) as response:
            if response.status not in {200, 204}:
                hint = " (is CLAWBUCKET_RACK_TOKEN the same for both?)" if response.status == 401 else ""
                raise FeedFailed(f"the rack manager answered {response.status}{hint}")
            snapshot = _decode(await _bounded(response)) if response.status == 200 else None
        self._answered_at = self._now()
        if self._trouble is not None:
            log.info("rack manager answers", url=self._url)
            self._trouble = None
        if snapshot is not None:
            self._seq = snapshot.seq
            self._on_snapshot(snapshot)
            self._first.set()

    def _failed(self, why: str) -> None:
        self._metrics.feed_failures.inc()
        self._seq = 0  # whoever answers next may count from elsewhere: take what it says at once
        if self._trouble is None:
            log.warning("rack manager does not answer; the last list stays", url=self._url, reason=why)
        self._trouble = why


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > keys.LARGEST_SNAPSHOT:
            raise FeedFailed(f"the snapshot is longer than {keys.LARGEST_SNAPSHOT} bytes")
    return bytes(body)


def _decode(raw: bytes) -> Snapshot:
    try:
        return codecs.SNAPSHOT.decode(raw)
    except ValueError as error:
        raise FeedFailed(f"the snapshot is not one: {error}") from error
