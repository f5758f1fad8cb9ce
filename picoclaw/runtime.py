"""The runtime: one object through which an application has an agent, whichever backend carries its turns out.

It bounds what runs at once, gives each turn one deadline, holds the session's lock around it, compacts the
session after it, and cleans what the model said. Which backend it is was chosen once, when it was opened.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal

from picoclaw import compaction
from picoclaw.backend import Backend
from picoclaw.binary import BinaryBackend, find_binary
from picoclaw.clean import clean, printable
from picoclaw.config import Config, ModelEntry, load
from picoclaw.deadline import Deadline
from picoclaw.embedded import EmbeddedBackend
from picoclaw.errors import ConfigInvalid, ContextOverflow, PicoClawError, RuntimeBusy
from picoclaw.places import Places
from picoclaw.sentences import spoken, typed
from picoclaw.sessions import OpenSession, SessionStore, session_key
from picoclaw.turns import (
    BackendName,
    Compaction,
    Message,
    RuntimeStatus,
    SessionInfo,
    TurnReply,
    TurnRequest,
)
from picoclaw.workspace import prepare

log = logging.getLogger(__name__)

BackendChoice = Literal["auto", "binary", "embedded"]
MOST_AT_ONCE = 2
"""Turns of one runtime that run at once: Ollama, which many share, answers few at a time
(OLLAMA_NUM_PARALLEL)."""
MOST_WAITING = 256
"""Turns that wait for their place; one more is told RuntimeBusy at once."""
LONGEST_TEXT = 256 * 1024
"""Characters of one request. More is no conversation."""
LONGEST_REPLY = 16_000
"""Characters of a reply that are handed on."""
SUMMARY_SECONDS = 20.0
"""What a summary after a turn may take, within the turn's deadline: the next turn of the session waits."""
_WINDING_UP = 5.0
"""Seconds that ``close`` waits for turns to end. They notice within a slice of 0.1 s; a tool ends first."""
_TICK = 0.02
_CLOSED = "this runtime was closed"


class Runtime:
    """An agent. Thread- and greenlet-safe; turns of one session follow one another."""

    def __init__(
        self,
        config: Config,
        backend: Backend,
        thinker: EmbeddedBackend,
        *,
        most_at_once: int = MOST_AT_ONCE,
        most_waiting: int = MOST_WAITING,
        sync: Callable[[int], None] = os.fsync,
    ) -> None:
        """``thinker`` knows the models, for summaries and for status, when ``backend`` is the binary too."""
        self.config = config
        self._backend, self._thinker = backend, thinker
        self._store = SessionStore(config.workspace / "sessions", sync=sync)
        self._places = Places(most_at_once, most_waiting)
        self._lock = threading.Lock()
        self._under_way: set[Deadline] = set()
        self._closed = False

    @classmethod
    def open(
        cls,
        environ: Mapping[str, str],
        *,
        backend: BackendChoice = "auto",
        say: Callable[[str], None] | None = None,
        most_at_once: int = MOST_AT_ONCE,
        most_waiting: int = MOST_WAITING,
        sync: Callable[[int], None] = os.fsync,
    ) -> Runtime:
        """The runtime that this environment describes; ``auto`` takes the binary where there is one.

        ``say`` is called with what the agent sends by its ``message`` tool; ``sync`` stands for fsync, for
        an application that must not be held up by a disk. ConfigInvalid.
        """
        config = load(environ)
        prepare(config.workspace)
        thinker = EmbeddedBackend(config, say=say)
        binary = find_binary(environ) if backend != "embedded" else None
        if backend == "binary" and binary is None:
            raise ConfigInvalid(
                "the backend is to be the binary and no picoclaw is on PATH; install it, set PICOCLAW_BINARY "
                "to where it is, or choose auto or embedded"
            )
        chosen = thinker if binary is None else BinaryBackend(binary, config, environ)
        log.info("picoclaw backend: %s%s", chosen.name, f" ({binary})" if binary else "")
        return cls(config, chosen, thinker, most_at_once=most_at_once, most_waiting=most_waiting, sync=sync)

    @property
    def backend(self) -> BackendName:
        """Which backend was chosen."""
        return self._backend.name

    def ask(self, request: TurnRequest) -> TurnReply:
        """One turn: say ``request.text`` in its session and give the agent's reply.

        ConfigInvalid, ModelNotFound, BackendUnreachable, TurnTimeout, ContextOverflow, RuntimeBusy.
        """
        deadline = Deadline(request.seconds, request.cancel)
        if len(request.text) > LONGEST_TEXT:
            raise ContextOverflow(
                f"the text has {len(request.text)} characters and {LONGEST_TEXT} are allowed; say less"
            )
        key = session_key(request.session)
        entry = self.config.entry(request.model)
        said = spoken(request.text)
        with self._turn(key, deadline), self._store.open(key, deadline) as session:
            answer = self._backend.turn(said, session, entry, request.channel, deadline)
            text = clean(answer.text, LONGEST_REPLY)
            reply = TurnReply(
                text=text,
                outcome=answer.outcome if text else "empty",
                session=key,
                model=answer.model or entry.model_name,
                backend=self._backend.name,
                seconds=deadline.elapsed(),
                usage=answer.usage,
                tool_calls=answer.tool_calls,
            )
            self._tidy(session, entry, deadline)
        return reply

    def status(self, probe_seconds: float | None = None) -> RuntimeStatus:
        """How things stand; with ``probe_seconds`` the model's server is asked too, for at most that long."""
        entry = self.config.entry(None)
        model = self._thinker.model(entry)
        running, waiting = self._places.counts()
        status = RuntimeStatus(
            backend=self._backend.name,
            version=self._backend.version,
            model=entry.model_name,
            api_base=model.api_base,
            home=str(self.config.home),
            workspace=str(self.config.workspace),
            config=str(self.config.path),
            tools=self._thinker.takes_tools(entry),
            in_flight=running,
            waiting=waiting,
            most_at_once=self._places.most_at_once,
        )
        if probe_seconds is None:
            return status
        try:
            model.probe(Deadline(probe_seconds))
        except PicoClawError as error:
            return replace(status, problem=str(error))
        return status

    def sessions(self) -> tuple[SessionInfo, ...]:
        """The stored sessions, the latest used first."""
        return self._store.sessions()

    def history(self, session: str) -> tuple[Message, ...]:
        """The messages of a session that still count, oldest first; none where there is no such session.

        They are as they may be shown: the user's as they were typed, the model's cleaned as a reply is.
        """
        return tuple(_shown(message) for message in self._store.history(session_key(session)))

    def remember(self, session: str, messages: Iterable[Message], seconds: float = 10.0) -> None:
        """Put messages of a conversation that was had elsewhere at the end of a session.

        RuntimeBusy while a turn holds it all that time; ConfigInvalid where the disk refuses.
        """
        deadline, key = Deadline(seconds), session_key(session)
        with self._turn(key, deadline), self._store.open(key, deadline) as opened:
            for message in messages:
                opened.append(message)

    def clear(self, session: str, seconds: float = 10.0) -> None:
        """Forget a session. RuntimeBusy while a turn holds it all that time."""
        self._store.clear(session_key(session), Deadline(seconds))

    def compact(self, session: str, seconds: float = 60.0) -> Compaction:
        """Summarise the older messages of a session now, or drop them where the model fails."""
        deadline, key = Deadline(seconds), session_key(session)
        model = self._thinker.model(self.config.entry(None))
        with self._turn(key, deadline), self._store.open(key, deadline) as opened:
            return compaction.compact(opened, model, self.config.defaults, deadline, force=True)

    def close(self) -> None:
        """End what still runs or waits (RuntimeBusy there); nothing can be asked afterwards."""
        with self._lock:
            self._closed = True
            for deadline in self._under_way:
                deadline.end()
        patience = Deadline(_WINDING_UP)
        while any(self._places.counts()) and patience.remaining() > 0.0:
            patience.sleep(_TICK)
        self._backend.close()
        if self._backend is not self._thinker:
            self._thinker.close()

    def _tidy(self, session: OpenSession, entry: ModelEntry, deadline: Deadline) -> None:
        """Compact where it is time to. The turn is done: nothing that fails here fails it."""
        if not compaction.needs_compaction(session.messages, self.config.defaults):
            return
        if deadline.remaining() <= 0.0:
            return  # the next turn does it; without time all that is left is to drop what could be kept
        try:
            model, patience = self._thinker.model(entry), deadline.part(SUMMARY_SECONDS)
            done = compaction.compact(session, model, self.config.defaults, patience)
        except PicoClawError as error:
            log.warning("session %s was not compacted: %s", session.key, error)
        else:
            log.info("session %s compacted: %s, %d messages away", session.key, done.how, done.dropped)

    @contextmanager
    def _turn(self, key: str, deadline: Deadline) -> Iterator[None]:
        """A place for a turn of that session, until it ends by itself or the runtime is closed."""
        with self._lock:
            if self._closed:
                raise RuntimeBusy(_CLOSED, retryable=False)
            self._under_way.add(deadline)
        try:
            with self._places.taken(key, deadline):
                yield
        except PicoClawError as error:
            if not self._closed:
                raise
            raise RuntimeBusy(_CLOSED, retryable=False) from error
        finally:
            with self._lock:
                self._under_way.discard(deadline)


def _shown(message: Message) -> Message:
    if message.role == "user":
        return replace(message, content=printable(typed(message.content))[:LONGEST_TEXT])
    return replace(message, content=clean(message.content, LONGEST_REPLY))
