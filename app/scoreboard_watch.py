"""The aggregator as one replica sees it: asked every two seconds at most, and only while somebody looks.

The page may not ask by itself (its policy is ``connect-src 'self'``, and the aggregator has another port), so
the replica does. Nobody ever waits for the aggregator here: ``seen`` gives what was heard last, and begins
to ask anew in the background when that has become old.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal
from zlib import crc32

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from clawbucket.handoff.exchange import Answer, Exchange, Request, Unanswered, Unreached
from clawbucket.ports import Clock

EVERY = 2.0
"""Seconds between two questions, as between two looks at another rack (watching_peers)."""
DEADLINE = 1.0
"""Seconds in all that one may take."""
LARGEST = 512 * 1024
"""Bytes of an answer that are read: the 500 events of the journal make far less."""
MOST = 100
"""Lines that are shown."""
NOT_SET = "No aggregator is set (CLAWBUCKET_AGGREGATOR_URL), so nobody counts who was armed how often."
"""What stands in the scoreboard's place where there is none; ./claw up and docker-stack.yml set it."""
NOT_YET = "The aggregator has not been asked yet."
Ask = Callable[[str, Request, float, int], Answer]


class Line(BaseModel):
    """One trooper's line, as the aggregator's API has it (docs/protocol.md)."""

    model_config = ConfigDict(strict=True, frozen=True)

    bot: Annotated[str, StringConstraints(max_length=200)]
    task_id: Annotated[str, StringConstraints(max_length=64)]
    on: Annotated[int, Field(ge=0)]
    off: Annotated[int, Field(ge=0)]
    toggles: Annotated[int, Field(ge=0)]
    score: int
    last_state: Literal["on", "off"]
    last_event_at: Annotated[str, StringConstraints(max_length=40)]


class _Said(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    events: Annotated[int, Field(ge=0)]
    scoreboard: Annotated[tuple[Line, ...], Field(max_length=10_000)]
    stale_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """What is known of it. ``problem``: one sentence while something is wrong, "" while not.

    ``silent_since``: the moment from which on it has not answered (UTC, as a clock says it); None while it
    does. A moment and not a number of seconds: that would be news to every viewer, every second. ``lines``
    are the first ``MOST`` in the aggregator's order; ``events`` and ``count`` tell of all.
    """

    lines: tuple[Line, ...] = ()
    count: int = 0
    events: int = 0
    problem: str = ""
    silent_since: str | None = None

    @property
    def mark(self) -> str:
        """What changes when the lines do. The same at every replica that heard the same."""
        told = "".join(f"{line!r}" for line in self.lines)
        return f"{self.events}:{crc32(told.encode()):08x}:{'!' if self.problem and not self.lines else ''}"


def _in_a_thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, name="scoreboard", daemon=True).start()


class ScoreboardWatch:
    """Asks the aggregator at ``url``; None: there is none. Thread- and greenlet-safe.

    ``spawn`` runs one question beside the caller; a test gives one that runs it at once, or later.
    """

    def __init__(
        self, url: str | None, clock: Clock, ask: Ask | None = None,
        spawn: Callable[[Callable[[], None]], None] = _in_a_thread,
    ) -> None:  # fmt: skip
        self._url, self._clock, self._ask, self._spawn = url, clock, ask or Exchange(), spawn
        self._lock = threading.Lock()
        self._asking = False
        self._asked_at: float | None = None
        self._last = Scoreboard(problem=NOT_SET if url is None else NOT_YET)

    def seen(self) -> Scoreboard:
        """What was heard last; asks again, beside the caller, where that was a while ago."""
        now = self._clock.monotonic()
        if self._url is not None and self._due(now):
            self._spawn(self._look)
        with self._lock:
            return self._last

    def _due(self, now: float) -> bool:
        with self._lock:
            if self._asking or (self._asked_at is not None and now - self._asked_at < EVERY):
                return False
            self._asking, self._asked_at = True, now
            return True

    def _look(self) -> None:
        asked_at = self._clock.iso()
        try:
            heard = self._heard()
        finally:
            with self._lock:
                self._asking = False
        with self._lock:
            if isinstance(heard, Scoreboard):
                self._last = heard
                return
            # What was known stays, under a sentence that says what is wrong.
            since = self._last.silent_since or f"{asked_at[11:19]} UTC"
            self._last = replace(self._last, problem=heard, silent_since=since)

    def _heard(self) -> Scoreboard | str:
        """The board, or why there is none."""
        request = Request("GET", "/api/scoreboard", {"Accept": "application/json"})
        try:
            answer = self._ask(self._url or "", request, DEADLINE, LARGEST)
        except (Unreached, Unanswered) as error:
            return f"The aggregator does not answer: {error}."
        if answer.status == 503:
            return "The aggregator has never heard from the bus yet."
        try:
            said = _Said.model_validate_json(answer.body, strict=True)
        except ValidationError:
            return f"Something else than the aggregator answers there (status {answer.status})."
        stale = said.stale_seconds is not None
        return Scoreboard(
            lines=said.scoreboard[:MOST],
            count=len(said.scoreboard),
            events=said.events,
            problem="The bus does not answer the aggregator; this is what it heard last." if stale else "",
        )
