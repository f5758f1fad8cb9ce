"""How the fake Ollama is told to behave, and what it remembers of its callers."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

MODELS = {"smollm2:135m": 270_898_672, "qwen3:0.6b": 522_653_767, "tiny:latest": 1_024}
_REMEMBERED = 2_000


@dataclass
class Script:
    """Every behaviour; the defaults are a healthy server. Set by POST /_script, any of them at a time."""

    delay: float = 0.0
    """Seconds before an answer begins, within its place among the parallel ones."""
    models: dict[str, int] = field(default_factory=lambda: dict(MODELS))
    """Names and bytes. A model that is not here is a 404."""
    not_found: str = "new"
    """Whose words a 404 has: "new" or "old" Ollama's."""
    refuse_tools: bool = False
    empty: bool = False
    replies: list[Any] = field(default_factory=list)
    """Said in this order, each once; then the default replies again. See ``fake_ollama_replies.scripted``."""
    fail: dict[str, Any] | None = None
    """``{"status": 503, "times": 2, "words": "…", "location": "…"}``: refuse that many generations;
    with "all" set, lists too."""
    die: dict[str, Any] | None = None
    """``{"after": 2, "how": "rst"|"close"|"end", "times": 1}``: break off after so many writes of the body;
    "end" ends it as if that were all."""
    slow: dict[str, Any] | None = None
    """``{"bytes": 8, "every": 0.1}``: write the body in such pieces."""
    length: bool = False
    """Cut every answer to two words and say that max_tokens did it."""
    garbage: bool = False
    huge: int = 0
    """Bytes of text in an answer."""
    overflow: int = 0
    """Refuse conversations of that many characters or more as too long."""
    usage: bool | str = True
    """Count tokens; "partial": only the prompt's."""
    pull_step: float = 0.0
    """Seconds between the reports of a pull."""
    pull_stalls: bool = False
    tool_text: bool = False
    """Write scripted tool calls into the text, as small models do."""

    def update(self, told: dict[str, Any]) -> None:
        """Set these; None sets the default. KeyError for a name that is none."""
        known = {one.name for one in fields(self)}
        fresh = Script()
        for name, value in told.items():
            if name not in known:
                raise KeyError(name)
            setattr(self, name, getattr(fresh, name) if value is None else value)


class Desk:
    """The script in force, the requests so far, and the places for parallel generations."""

    def __init__(self, parallel: int, delay: float) -> None:
        self._parallel, self._delay = parallel, delay
        self._change = threading.Condition()
        self._queue: deque[object] = deque()
        self._running = self._open = 0
        self.reset()

    def reset(self) -> None:
        """Forget what was asked, and behave again."""
        with self._change:
            self.script = Script(delay=self._delay)
            self._requests: deque[dict[str, Any]] = deque(maxlen=_REMEMBERED)
            self._total = 0
            self._most_open, self._most_running = self._open, self._running

    def set(self, told: dict[str, Any]) -> None:
        """Change the script."""
        with self._change:
            self.script.update(told)

    def next_reply(self) -> Any:
        """The next scripted reply, None when there is none."""
        with self._change:
            return self.script.replies.pop(0) if self.script.replies else None

    def spend(self, name: str) -> dict[str, Any] | None:
        """That behaviour (``fail`` or ``die``) when it applies to one more request."""
        with self._change:
            told: dict[str, Any] | None = getattr(self.script, name)
            if not told or told.get("times", 1) <= 0:
                return None
            told["times"] = told.get("times", 1) - 1
            return told

    @contextmanager
    def record(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Keep this request; its entry can be added to, and says at the end how long it took."""
        began = time.monotonic()
        entry: dict[str, Any] = {
            "method": method, "path": path, "body": body, "headers": headers,
            "at": time.time(), "seconds": None, "queued": 0.0, "status": None, "gone": False,
        }  # fmt: skip
        with self._change:
            self._requests.append(entry)
            self._total += 1
            self._open += 1
            self._most_open = max(self._most_open, self._open)
        try:
            yield entry
        finally:
            with self._change:
                self._open -= 1
                entry["seconds"] = time.monotonic() - began

    @contextmanager
    def place(self, entry: dict[str, Any]) -> Iterator[None]:
        """One of the parallel places, in the order of asking (OLLAMA_NUM_PARALLEL)."""
        ticket, began = object(), time.monotonic()
        with self._change:
            self._queue.append(ticket)
            self._change.wait_for(lambda: self._queue[0] is ticket and self._running < self._parallel)
            self._queue.popleft()
            self._running += 1
            self._most_running = max(self._most_running, self._running)
            entry["queued"] = time.monotonic() - began
            self._change.notify_all()
        try:
            yield
        finally:
            with self._change:
                self._running -= 1
                self._change.notify_all()

    def told(self) -> dict[str, Any]:
        """What GET /_requests gives: ``most_open`` connected at once, ``most_running`` answered at once."""
        with self._change:
            return {
                "requests": [dict(entry) for entry in self._requests],
                "total": self._total, "open": self._open, "running": self._running,
                "most_open": self._most_open, "most_running": self._most_running,
            }  # fmt: skip
