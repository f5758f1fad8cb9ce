"""What the browser's troopers think with: an agent that answers as well or as badly as asked for."""

from __future__ import annotations

import time

from clawbucket.core.agent import AgentReply, Utterance
from clawbucket.ports import AgentFailed
from tests.fakes import FakeAgent

EVIL = "<img src=x onerror=alert(1)> \x1b[31mred\x1b[0m <script>alert(2)</script>"
"""What a hostile model says when it is asked about evil."""
SLOW = 2.0
"""Seconds that it takes to answer what has "slowly" in it."""
MODEL = "tinyclaw:1b"


class Model:
    """The model that all troopers share."""

    def __init__(self) -> None:
        self.missing = False

    def look(self) -> None:
        """AgentFailed while it is missing."""
        if self.missing:
            sentence = f"Ollama at http://x has no model {MODEL}"
            raise AgentFailed(sentence, "model_missing", "agent_model_not_found")


class Talker(FakeAgent):
    """Thinks with the shared model, and remembers what it said."""

    model = MODEL

    def __init__(self, shared: Model) -> None:
        super().__init__(
            words="iron fog ready",
            haiku="<b>Cold</b> steel waits\nwind over rusted hatches\nwe drop at daybreak",
        )
        self._shared = shared
        self._said: list[Utterance] = []

    def ask(self, session: str, text: str, seconds: float) -> AgentReply:
        """What fits the words that are in the text."""
        self._shared.look()
        if not session.endswith(":talk"):
            return super().ask(session, text, seconds)
        if "slowly" in text:
            time.sleep(SLOW)
        if "fail" in text:
            raise AgentFailed("the model <i>choked</i> on that")
        self.says["talk"] = EVIL if "evil" in text else f"Aye, number {len(self._said) // 2 + 1}."
        reply = super().ask(session, text, seconds)
        self._said += [
            Utterance("user", text, "2026-01-01T10:00:00Z"),
            Utterance("assistant", reply.text, "2026-01-01T10:00:02Z"),
        ]
        return reply

    def plain(self, prompt: str, seconds: float) -> AgentReply:
        """The same model, as gone."""
        self._shared.look()
        return super().plain(prompt, seconds)

    def history(self, session: str) -> tuple[Utterance, ...]:
        """What was said with people."""
        return tuple(self._said) if session.endswith(":talk") else ()
