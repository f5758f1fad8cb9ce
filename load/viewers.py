"""People who watch: the page with its assets, and the stream."""

from __future__ import annotations

import random
import re
import time

from locust import SequentialTaskSet, between, tag, task

from load import figures
from load.checked import Person, violated
from load.event_stream import Broken, CutOff, Refused, Stream
from load.invariants import SHAPE
from load.plain_http import Unreachable
from load.watching import Seen, Watcher

STAYS = (20.0, 60.0)
"""Seconds that a viewer watches before it loads the page again."""
SILENT = 18.0
"""Seconds without an event after which a stream counts as broken (docs/protocol.md, The stream)."""
COMES_BACK = 1.0
"""Seconds before a browser connects again (``retry: 1000``)."""
_ASSET = re.compile(r'(?:src|href)="(/static/[^"?#]{1,200})')
_MOST_ASSETS = 40


class Visits(SequentialTaskSet):
    """The page, then the stream, then the page again: in this order, whichever of them the tags leave."""

    user: Viewer

    @tag("read")
    @task
    def load_the_page(self) -> None:
        """As one who comes."""
        self.user.load_the_page()

    @tag("sse")
    @task
    def watch(self) -> None:
        """Until that one leaves."""
        self.user.watch()


class Viewer(Person):
    """Loads the page as a browser does, then watches the stream for a while, and again."""

    tasks = [Visits]
    weight = 4
    wait_time = between(0.5, 2.0)
    tags = frozenset({"read", "sse"})

    def __init__(self, environment: object) -> None:
        super().__init__(environment)
        self._watcher = Watcher()
        self._assets: list[str] = []

    def load_the_page(self) -> None:
        """The page, and its scripts and styles; what the browser has already is only asked about."""
        page = self.read("/")
        if page is not None:
            self._assets = list(dict.fromkeys(_ASSET.findall(page)))[:_MOST_ASSETS]
        for asset in self._assets:
            self.read(asset, "/static/*")

    def watch(self) -> None:
        """One visit: a stream, and another wherever one breaks off, going on where that ended."""
        leaves = time.monotonic() + random.uniform(*STAYS)  # noqa: S311 - no secret
        broke_at: float | None = None
        while time.monotonic() < leaves:
            stream = Stream(self.host or "", "/api/stream", last_event_id=self._watcher.last_id)
            try:
                if self._connect(stream, broke_at):
                    broke_at = None
                    if self._follow(stream, leaves):
                        return
            finally:
                stream.close()
            if broke_at is None:
                broke_at = time.monotonic()
            time.sleep(COMES_BACK)

    def _connect(self, stream: Stream, broke_at: float | None) -> bool:
        begun = time.monotonic()
        try:
            stream.open(SILENT)
        except (Refused, Unreachable) as error:
            self.count(figures.CONNECT, 1000 * (time.monotonic() - begun), error)
            return False
        now = time.monotonic()
        self.count(figures.CONNECT, 1000 * (now - begun))
        if broke_at is not None:
            self.measure(figures.BACK, 1000 * (now - broke_at))
        self._watcher.opened(stream.served_by)
        return True

    def _follow(self, stream: Stream, leaves: float) -> bool:
        """Whether it was this viewer who left."""
        begun, first = time.monotonic(), True
        try:
            for event, read_at in stream.events():
                if first:
                    first = False
                    self.measure(figures.FIRST, 1000 * (time.monotonic() - begun))
                self._note(self._watcher.see(event, read_at))
                if time.monotonic() >= leaves:
                    return True
        except CutOff:
            return False  # a replica ended; the next stream goes on from here, and counts as a reconnect
        except Broken as broken:
            self.count("events", 1000 * (time.monotonic() - begun), broken)
        except RecursionError:
            self.count("events", 0, violated(f"{SHAPE}: an event of the stream is nested without end"))
        return False

    def _note(self, seen: Seen) -> None:
        if seen.lag_ms is not None:
            self.measure(figures.LAG, seen.lag_ms)
        if seen.clocks_apart:
            self.measure(figures.APART, 0)
        if seen.gap_ms is not None:
            self.measure(figures.GAP, seen.gap_ms)
        for problem in seen.problems:
            self.count("events", 0, violated(problem))
