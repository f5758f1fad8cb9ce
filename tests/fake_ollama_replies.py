"""What the fake Ollama says when no reply is scripted: always the same to the same conversation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

WORDS = (  # noqa: SIM905 - no easier to read as a list
    "steel drop boot dust rally bug plasma orbit march armor ridge signal trench vector ember hull"
    " siege salvo recon flare breach thunder iron vanguard bastion comet drift hammer falcon onyx"
    " patrol ration"
).split()
_LONGEST_ECHO = 4_000


@dataclass(frozen=True)
class Reply:
    """One answer: its text, tools it asks for as (name, arguments), and why it stopped."""

    text: str
    tool_calls: tuple[tuple[str, Any], ...] = ()
    reason: str = "stop"


@dataclass(frozen=True)
class Asked:
    """A conversation, whichever endpoint it came through."""

    model: str
    messages: list[dict[str, Any]]
    tools: list[Any] = field(default_factory=list)
    limit: int | None = None

    def users(self) -> list[str]:
        """What the user said, oldest first."""
        return [str(m.get("content") or "") for m in self.messages if m.get("role") == "user"]

    def size(self) -> int:
        """Characters of all of it."""
        return sum(len(str(m.get("content") or "")) for m in self.messages)


def scripted(told: Any) -> Reply:
    """A reply of a script: a text, or ``{"text", "tool_calls": [{"name", "arguments"}], "reason"}``."""
    if isinstance(told, str):
        return Reply(told)
    calls = tuple((one["name"], one.get("arguments", {})) for one in told.get("tool_calls", ()))
    return Reply(told.get("text", ""), calls, told.get("reason", "stop"))


def default(asked: Asked) -> Reply:
    """Three words or a haiku where one is asked for, else what was said and how much came before."""
    users = asked.users()
    last = users[-1] if users else ""
    system = "\n".join(str(m.get("content") or "") for m in asked.messages if m.get("role") == "system")
    words = _three(f"{asked.model}\n{system}")
    if re.search(r"\bhaiku\b", last, re.IGNORECASE):
        a, b, c = words
        return Reply(f"{a} on the far ridge\n{b} waits beneath the cold stars\n{c} follows me home")
    if re.search(r"\bthree\b.*\bwords\b", last, re.IGNORECASE | re.DOTALL):
        return Reply(" ".join(words))
    return Reply(f'You said "{last[:_LONGEST_ECHO]}" after {max(0, len(users) - 1)} earlier messages.')


def _three(seed: str) -> list[str]:
    """Three different words that depend on the seed."""
    left, number = list(WORDS), int.from_bytes(blake2b(seed.encode(), digest_size=8).digest(), "big")
    chosen = []
    for _ in range(3):
        number, place = divmod(number, len(left))
        chosen.append(left.pop(place))
    return chosen
