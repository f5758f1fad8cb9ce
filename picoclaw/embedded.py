"""The embedded backend: the turn itself. Prompt, model, tools, model again, until the model is done.

Every step is on disk before the next is taken: the user's message before the model is asked, the model's
wish for tools before they run, each result before the model sees it. A turn that is killed anywhere leaves
a session that the next opening repairs.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from random import Random

from picoclaw import compaction
from picoclaw.backend import BackendAnswer
from picoclaw.config import Config, ModelEntry
from picoclaw.deadline import Deadline
from picoclaw.errors import BackendUnreachable, ContextOverflow, ModelNotFound, PicoClawError
from picoclaw.inside import READ_BYTES
from picoclaw.model import ChatModel, ModelAnswer, ModelCall, ToolSpec, ToolsRefused
from picoclaw.models import model_of
from picoclaw.pace import Pace
from picoclaw.prompt import system_message
from picoclaw.retries import attempt
from picoclaw.sentences import EMPTY, TOOL_LIMIT
from picoclaw.sessions import OpenSession
from picoclaw.tools import Toolbox
from picoclaw.turns import BackendName, Message, Outcome, Usage
from picoclaw.version import VERSION

log = logging.getLogger(__name__)


class EmbeddedBackend:
    """Turns on this process's own HTTP client. Thread-safe; sessions are the caller's to lock."""

    def __init__(
        self,
        config: Config,
        *,
        say: Callable[[str], None] | None = None,
        models: Callable[[ModelEntry], ChatModel] = model_of,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rng: Random | None = None,
    ) -> None:
        self._config, self._say, self._make, self._now = config, say, models, now
        self._rng = rng or Random()  # noqa: S311 - jitter, not a secret
        self._lock = threading.Lock()
        self._models: dict[str, ChatModel] = {}
        self._paces: dict[str, Pace] = {}
        self._toolless: set[str] = set()

    @property
    def name(self) -> BackendName:
        """Which backend this is."""
        return "embedded"

    @property
    def version(self) -> str:
        """This package's."""
        return VERSION

    def takes_tools(self, entry: ModelEntry) -> bool:
        """Whether this model is offered tools, as far as is known: it is until its server says no."""
        return self._config.tools != "off" and entry.model_name not in self._toolless

    def model(self, entry: ModelEntry) -> ChatModel:
        """The adapter to that entry's server, one for all turns."""
        with self._lock:
            if entry.model_name not in self._models:
                self._models[entry.model_name] = self._make(entry)
                self._paces[entry.model_name] = Pace(entry.rpm)
            return self._models[entry.model_name]

    def turn(
        self, text: str, session: OpenSession, entry: ModelEntry, channel: str, deadline: Deadline
    ) -> BackendAnswer:
        """One turn. See ``Backend``."""
        defaults = self._config.defaults
        toolbox = Toolbox(
            self._config.workspace,
            restrict=defaults.restrict_to_workspace,
            say=self._say,
            # A file's bytes are about three to a token: what is read at once takes a third of the window.
            read_bytes=min(READ_BYTES, defaults.context_window),
        )
        session.append(Message("user", text))
        usage: Usage | None = None
        used = 0
        for _ in range(defaults.max_tool_iterations):
            self._fit(session, entry, channel, toolbox, deadline)
            answer, model = self._answer(session, entry, channel, toolbox, deadline)
            usage = answer.usage if usage is None else _sum(usage, answer.usage)
            if not answer.tool_calls:
                return self._done(session, answer, usage, used, model)
            session.append(Message("assistant", answer.text, tool_calls=answer.tool_calls))
            for call in answer.tool_calls:
                deadline.check(f"running the tool {call.name}")
                result = toolbox.run(call)
                session.append(Message("tool", result, tool_call_id=call.id))
                used += 1
        session.append(Message("assistant", TOOL_LIMIT))
        return BackendAnswer(TOOL_LIMIT, "tool_limit", usage or Usage(), used, model)

    def close(self) -> None:
        """Let go of every connection."""
        with self._lock:
            models = list(self._models.values())
            self._models.clear()
        for model in models:
            model.close()

    def _done(
        self, session: OpenSession, answer: ModelAnswer, usage: Usage, used: int, model: str
    ) -> BackendAnswer:
        said = answer.text if answer.text.strip() else ""
        outcome: Outcome = "empty" if not said else "truncated" if answer.finish == "length" else "ok"
        # An empty reply is written as upstream writes it, so that both leave the same file.
        session.append(Message("assistant", said or EMPTY))
        return BackendAnswer(said, outcome, usage, used, model)

    def _answer(
        self, session: OpenSession, entry: ModelEntry, channel: str, toolbox: Toolbox, deadline: Deadline
    ) -> tuple[ModelAnswer, str]:
        """Ask this model, and where its server fails or lacks it, the config's ``model_fallbacks``.

        With the model_name of the one that answered.
        """
        failed: PicoClawError | None = None
        for chosen in self._in_order(entry):
            try:
                return self._ask(session, chosen, channel, toolbox, deadline), chosen.model_name
            except (BackendUnreachable, ModelNotFound) as error:
                log.warning("model %s failed: %s", chosen.model_name, error)
                failed = failed or error
        assert failed is not None  # noqa: S101 - there is always at least the entry itself
        raise failed

    def _in_order(self, entry: ModelEntry) -> Iterator[ModelEntry]:
        yield entry
        for name in self._config.defaults.model_fallbacks:
            if name != entry.model_name:
                try:
                    yield self._config.entry(name)
                except ModelNotFound as error:  # one that does not exist is no reason to fail the turn
                    log.warning("model_fallbacks: %s", error)

    def _ask(
        self, session: OpenSession, entry: ModelEntry, channel: str, toolbox: Toolbox, deadline: Deadline
    ) -> ModelAnswer:
        defaults, model = self._config.defaults, self.model(entry)

        def once() -> ModelAnswer:
            self._paces[entry.model_name].wait(deadline)
            tools = toolbox.specs if self.takes_tools(entry) else ()
            try:
                return model.chat(self._call(session, channel, tools), deadline)
            except ToolsRefused as error:
                if not tools:
                    raise BackendUnreachable(
                        f"{error}, although it was offered none; the conversation may hold tool calls: "
                        "clear the session",
                        retryable=False,
                    ) from error
                log.info("model %s takes no tools; it is asked without from now on", entry.model_name)
                self._toolless.add(entry.model_name)
                return once()

        def patiently() -> ModelAnswer:
            return attempt(
                once, deadline, retries=defaults.max_llm_retries, backoff=defaults.llm_retry_backoff_secs,
                rng=self._rng,
            )  # fmt: skip

        try:
            return patiently()
        except ContextOverflow:
            # The server counts better than compaction's estimate: make room once, then it is the answer.
            if not compaction.compact(session, model, defaults, deadline, force=True).dropped:
                raise
            return patiently()

    def _fit(
        self, session: OpenSession, entry: ModelEntry, channel: str, toolbox: Toolbox, deadline: Deadline
    ) -> None:
        """Make the conversation fit the window: Ollama drops what does not fit without a word.

        ContextOverflow where not even the last messages do.
        """
        defaults = self._config.defaults
        room = defaults.context_window - defaults.max_tokens

        def needed() -> int:
            call = self._call(session, channel, toolbox.specs if self.takes_tools(entry) else ())
            return compaction.estimate_tokens(call.messages) + _tokens_of(call.tools)

        if needed() <= room:
            return
        # The answer needs time too: a summary that takes more than half of what is left is given up.
        compaction.compact(
            session, self.model(entry), defaults, deadline.part(deadline.remaining() / 2), force=True
        )
        if (tokens := needed()) > room:
            raise ContextOverflow(
                f"about {tokens} tokens would have to be sent and {max(room, 0)} fit (context_window "
                f"{defaults.context_window} less max_tokens {defaults.max_tokens}); say less, or raise "
                f"agents.defaults.context_window in {self._config.path}"
            )

    def _call(self, session: OpenSession, channel: str, tools: Sequence[ToolSpec]) -> ModelCall:
        defaults = self._config.defaults
        system = system_message(
            self._config.workspace,
            summary=session.summary,
            channel=channel,
            now=self._now(),
            tools=tools,
        )
        return ModelCall(
            messages=(Message("system", system), *session.messages),
            tools=tuple(tools),
            max_tokens=defaults.max_tokens,
            context_window=defaults.context_window,
            temperature=defaults.temperature,
        )


def _sum(before: Usage, more: Usage) -> Usage:
    """Tokens of two calls; unknown as soon as one of them is."""

    def added(a: int | None, b: int | None) -> int | None:
        return None if a is None or b is None else a + b

    return Usage(
        added(before.prompt_tokens, more.prompt_tokens),
        added(before.completion_tokens, more.completion_tokens),
    )


def _tokens_of(tools: Sequence[ToolSpec]) -> int:
    return sum(compaction.estimate_tokens(f"{t.name} {t.description} {dict(t.parameters)}") for t in tools)
