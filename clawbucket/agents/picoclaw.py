"""The AgentRuntime port on PicoClaw: a trooper's own home and personality, on the model that all share.

The runtime opens at the first thought, not at the start of the replica, and where it cannot, anew at each
thought: a config that was mended needs no restart. Where PICOCLAW_CONFIG names a config it is used as it
is; otherwise this replica's own is written into its own home.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import structlog

from clawbucket.core import persona
from clawbucket.core.agent import AgentReply, Health, Utterance
from clawbucket.ports import AgentFailed
from clawbucket.settings import Settings, environment
from picoclaw import errors
from picoclaw.clean import clean
from picoclaw.config import ModelEntry, Tools, default_document
from picoclaw.deadline import Deadline
from picoclaw.model import ChatModel, ModelCall
from picoclaw.models import model_of
from picoclaw.runtime import BackendChoice, Runtime
from picoclaw.turns import Message, TurnRequest

log = structlog.get_logger(__name__)

MAX_TOKENS, CONTEXT_WINDOW = 256, 4_096
"""Tokens of one answer and of all that a model is sent: set together, and what Ollama is told to keep room
for (``num_ctx``), since it drops silently what does not fit. A few sentences and a page of memory."""
REQUEST_SECONDS = 120.0
"""Of one attempt, upstream's default; the deadline of a thought is shorter."""
PLAIN_TOKENS = 96
"""Tokens of a plain answer: a haiku has some forty."""
LONGEST_PLAIN = 2_000
"""Characters of a plain answer."""
TEMPERATURE = 0.9
"""Of a plain answer: six troopers are not to say the same."""

_HEALTH: dict[type[errors.PicoClawError], Health] = {
    errors.ConfigInvalid: "misconfigured",
    errors.ModelNotFound: "model_missing",
    errors.BackendUnreachable: "unreachable",
}


class PicoClawAgent:
    """One trooper's agent. Thread- and greenlet-safe.

    ``say`` takes what the agent sends by itself; ``sync`` stands for fsync.
    """

    def __init__(
        self, settings: Settings, url: str, say: Callable[[str], None], sync: Callable[[int], None] = os.fsync
    ) -> None:
        self._settings, self._url, self._say, self._sync = settings, url, say, sync
        self._lock = threading.Lock()
        self._runtime: Runtime | None = None
        self._plain: ChatModel | None = None

    @property
    def backend(self) -> str:
        """What carries the turns out; "" while that is not decided yet."""
        return self._runtime.backend if self._runtime else ""

    @property
    def model(self) -> str:
        """The model that it thinks with."""
        return self._runtime.config.entry(None).model if self._runtime else self._settings.ollama_model

    def ask(self, session: str, text: str, seconds: float) -> AgentReply:
        """One turn. AgentFailed."""
        if not self._settings.picoclaw_enabled:
            raise AgentFailed("this trooper has no agent: PICOCLAW_ENABLED is off", "off", "agent_off")
        try:
            reply = self._opened().ask(TurnRequest(text, session, seconds=seconds, channel="swarm"))
        except errors.PicoClawError as error:
            raise self._failed(error) from error
        return AgentReply(
            text=reply.text,
            session=reply.session,
            model=reply.model,
            backend=reply.backend,
            seconds=reply.seconds,
            outcome=reply.outcome,
            prompt_tokens=reply.usage.prompt_tokens,
            completion_tokens=reply.usage.completion_tokens,
        )

    def plain(self, prompt: str, seconds: float) -> AgentReply:
        """The model alone, straight from OLLAMA_URL whatever the config says. AgentFailed."""
        deadline = Deadline(seconds)
        call = ModelCall((Message("user", prompt),), (), PLAIN_TOKENS, CONTEXT_WINDOW, TEMPERATURE)
        try:
            answer = self._bare().chat(call, deadline)
        except errors.PicoClawError as error:
            raise self._failed(error) from error
        return AgentReply(
            text=clean(answer.text, LONGEST_PLAIN),
            session="",
            model=self._settings.ollama_model,
            backend="ollama",
            seconds=deadline.elapsed(),
            outcome="truncated" if answer.finish == "length" else "ok",
            prompt_tokens=answer.usage.prompt_tokens,
            completion_tokens=answer.usage.completion_tokens,
        )

    def history(self, session: str) -> tuple[Utterance, ...]:
        """What was said in that session and still counts. AgentFailed."""
        try:
            messages = self._opened().history(session)
        except errors.PicoClawError as error:
            raise self._failed(error) from error
        return tuple(
            Utterance(m.role, m.content, m.created_at)
            for m in messages
            if m.role in {"user", "assistant"} and m.content
        )

    def remember(self, session: str, conversation: Iterable[Utterance]) -> None:
        """Put what was said elsewhere at the end of that session. AgentFailed."""
        try:
            said = [Message(one.role, one.text, one.at) for one in conversation]
            self._opened().remember(session, said)
        except errors.PicoClawError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """End what still runs."""
        if self._runtime is not None:
            self._runtime.close()
        if self._plain is not None:
            self._plain.close()

    def _opened(self) -> Runtime:
        with self._lock:
            if self._runtime is None:
                environ = environment({})
                home = self._settings.picoclaw_home or _temporary(self._settings.task_id)
                environ["PICOCLAW_HOME"] = str(home)
                try:
                    if not environ.get("PICOCLAW_CONFIG"):
                        self._furnish(home)
                    self._runtime = Runtime.open(
                        environ,
                        backend=cast("BackendChoice", self._settings.picoclaw_backend),
                        say=self._say,
                        sync=self._sync,
                    )
                except OSError as error:
                    raise errors.ConfigInvalid(f"the agent's home {home} cannot be used: {error}") from error
            return self._runtime

    def _furnish(self, home: Path) -> None:
        """Write this trooper's config and personality, over what an earlier start of the same task wrote."""
        settings = self._settings
        workspace = home / "workspace"
        workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        document = default_document(
            settings.ollama_model, f"{self._url}/v1", workspace=str(workspace), max_tokens=MAX_TOKENS,
            context_window=CONTEXT_WINDOW, tools=cast("Tools", settings.picoclaw_tools),
        )  # fmt: skip
        _write(home / "config.json", json.dumps(document, indent=2) + "\n")
        who = (settings.task_id, settings.task_slot, settings.service_name)
        _write(workspace / "AGENT.md", persona.agent_md(*who))
        _write(workspace / "SOUL.md", persona.soul_md(*who))

    def _bare(self) -> ChatModel:
        with self._lock:
            if self._plain is None:
                name = self._settings.ollama_model
                self._plain = model_of(
                    ModelEntry(
                        model_name=name, provider="ollama", model=name, api_base=f"{self._url}/v1",
                        api_keys=(), request_timeout=REQUEST_SECONDS, rpm=0, extra_body={}, enabled=True,
                    )
                )  # fmt: skip
            return self._plain

    def _failed(self, error: errors.PicoClawError) -> AgentFailed:
        health: Health = next((h for kind, h in _HEALTH.items() if isinstance(error, kind)), "failing")
        if health == "unreachable" and not error.retryable:
            health = "failing"
        where = self._runtime.status().api_base.removesuffix("/v1") if self._runtime else self._url
        brief = {
            "unreachable": f"the model's server at {where} does not answer",
            "model_missing": f"the server at {where} has no model {self.model}",
        }.get(health, "")
        return AgentFailed(str(error), health, f"agent_{error.code}", brief)


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o600)
    fresh.replace(path)


def _temporary(task_id: str) -> Path:
    """Where a replica lives that was given no home: a directory of this user's alone."""
    mine = Path(tempfile.gettempdir()) / f"clawbucket-agents-{os.getuid()}"
    mine.mkdir(mode=0o700, exist_ok=True)
    if mine.stat().st_uid != os.getuid():
        raise PermissionError(f"{mine} belongs to somebody else; set PICOCLAW_HOME")
    return mine / (task_id or "nobody")
