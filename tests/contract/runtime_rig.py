"""A home, a config and a runtime on one of the backends, over the fake Ollama, for the runtime's contract."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import Future
from pathlib import Path
from random import Random
from typing import Any

from picoclaw.config import default_document
from picoclaw.runtime import Runtime
from picoclaw.sessions import session_key
from picoclaw.turns import TurnReply, TurnRequest
from tests.binary_place import until
from tests.fake_ollama_process import FakeOllama
from tests.stand_in_binary import write_stand_in

NATIVE, OPENAI, BINARY = "embedded-ollama", "embedded-openai", "binary"
KINDS = (NATIVE, OPENAI, BINARY)
SESSION = "agent:main:rico"
MODEL = "tiny:latest"
_SUMMARY = "You write the memory of a conversation"
_PATHS = {"/api/chat", "/v1/chat/completions"}


class Hasty(Random):
    """Jitter as it is drawn, a hundredth of it waited."""

    def uniform(self, a: float, b: float) -> float:
        return super().uniform(a, b) / 100


class Rig:
    """One home. ``kind`` may change between openings: the next runtime is on that backend."""

    def __init__(self, root: Path, kind: str, server: FakeOllama) -> None:
        self.home, self.kind, self.server = root / "home", kind, server
        self.workspace = self.home / "workspace"
        self._bin = root / "bin"
        self._runtimes: list[Runtime] = []
        self.home.mkdir()
        self.configure()

    @property
    def embedded(self) -> bool:
        """Whether the turn's loop is ours, which knows more."""
        return self.kind != BINARY

    def configure(self, **defaults: Any) -> None:
        """Write the config, with these of agents.defaults besides."""
        name = MODEL if self.kind != OPENAI else f"openai/{MODEL}"
        document = default_document(name, self.server.base, context_window=8_192)
        document["agents"]["defaults"] |= defaults
        fallback = {**document["model_list"][0], "model_name": "second"}
        fallback["model"] = str(fallback["model"]).replace(MODEL, "qwen3:0.6b")
        document["model_list"].append(fallback)
        (self.home / "config.json").write_text(json.dumps(document), encoding="utf-8")

    def environ(self, **switches: str | int) -> dict[str, str]:
        """What a process of this home sees; the stand-in also these switches."""
        found = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "PICOCLAW_HOME": str(self.home),
            "STAND_IN_BACKOFF": "0.01",
        }  # fmt: skip
        if self.kind == BINARY:
            found["PICOCLAW_BINARY"] = str(write_stand_in(self._bin, **switches))
        return found

    def open(self, switches: dict[str, str | int] | None = None, **options: Any) -> Runtime:
        """Open a runtime on this home; it is closed after the test."""
        runtime = Runtime.open(self.environ(**(switches or {})), **{"backend": "auto", **options})
        runtime._thinker._rng = Hasty()
        self._runtimes.append(runtime)
        return runtime

    def ask(self, text: str = "hello", **more: Any) -> TurnReply:
        """One turn of the runtime that was opened last, or of a new one."""
        runtime = self._runtimes[-1] if self._runtimes else self.open()
        return runtime.ask(TurnRequest(text, **{"session": SESSION, "seconds": 20.0, **more}))

    def start(self, text: str = "hello", **more: Any) -> Future[TurnReply]:
        """The same on a thread of its own."""
        done: Future[TurnReply] = Future()

        def ask() -> None:
            try:
                done.set_result(self.ask(text, **more))
            except BaseException as error:  # noqa: BLE001 - raised again by whoever looks
                done.set_exception(error)

        threading.Thread(target=ask).start()
        return done

    def close(self) -> None:
        """Close every runtime that was opened."""
        while self._runtimes:
            self._runtimes.pop().close()

    def lines(self, session: str = SESSION) -> list[dict[str, Any]]:
        """The lines of the session's file; every one of them has to be whole."""
        name = session_key(session).replace(":", "_")
        text = (self.workspace / "sessions" / f"{name}.jsonl").read_text(encoding="utf-8")
        assert text == "" or text.endswith("\n")
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def stored(self, session: str = SESSION) -> list[tuple[str, str]]:
        """Who said what, in the session's file."""
        return [(line["role"], line["content"]) for line in self.lines(session)]

    def bodies(self) -> list[dict[str, Any]]:
        """What the model was asked, oldest first."""
        return [one["body"] for one in self.server.requests() if one["path"] in _PATHS]

    def sent(self) -> list[dict[str, Any]]:
        """The conversation that the model was sent last, after the system message."""
        return self._last()[1:]

    def system(self) -> str:
        """The system message that it was sent with."""
        return str(self._last()[0]["content"])

    def _last(self) -> list[dict[str, Any]]:
        """The messages of the last turn's last request; a summary is asked for after the turn."""
        asked: list[list[dict[str, Any]]] = [body["messages"] for body in self.bodies()]
        assert {messages[0]["role"] for messages in asked} == {"system"}
        return [messages for messages in asked if not messages[0]["content"].startswith(_SUMMARY)][-1]

    def asked(self, count: int = 1) -> None:
        """Wait until the model's server has so many requests."""
        until(lambda: self.server.seen()["total"] >= count)


def wish(name: str, **arguments: Any) -> dict[str, Any]:
    """A reply that asks for a tool."""
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


def echo(said: str, before: int = 0) -> str:
    """What the fake Ollama answers to that."""
    return f'You said "{said}" after {before} earlier messages.'


def well_formed(messages: list[dict[str, Any]]) -> bool:
    """Whether a conversation is one that every model's server takes.

    The user begins, roles alternate, each tool call has one result right after it, and the user is last.
    """
    owed = 0
    last = "assistant"
    for message in messages:
        role = message["role"]
        if role == "tool":
            owed -= 1
        elif owed or role == last:
            return False
        else:
            owed = len(message.get("tool_calls") or ())
            # After its results the assistant goes on, as after a user.
            last = "user" if owed else role
        if owed < 0:
            return False
    return bool(messages) and messages[0]["role"] == messages[-1]["role"] == "user"
