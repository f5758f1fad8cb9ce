"""``agent``: one turn (-m), or a conversation on standard input."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from importlib import import_module

from picoclaw.clean import clean
from picoclaw.cli_arguments import Asked
from picoclaw.cli_output import (
    CANCELLED,
    MARKER,
    banner,
    fail,
    fail_as_json,
    in_upstreams_words,
    out,
    out_json,
    reply_as_json,
    start_logging,
)
from picoclaw.errors import EXIT_FAILED, PicoClawError, TurnTimeout
from picoclaw.runtime import LONGEST_TEXT, Runtime
from picoclaw.sentences import EMPTY
from picoclaw.turns import DEFAULT_SECONDS, TurnReply, TurnRequest

_PROMPT = "\nYou: "
_ENDS = {"exit", "quit"}
_WINDING_UP = 10.0
"""Seconds for a cancelled turn to end. Connections notice within 0.2 s, tools when they are done."""


def agent(asked: Asked, environ: Mapping[str, str]) -> int:
    """Talk to the agent; the exit code. The six errors before the first turn, OSError."""
    start_logging(environ, sys.stderr if asked.json else sys.stdout, debug=asked.debug)
    say = _say if asked.message is None else _aside
    with closing(Runtime.open(environ, backend=asked.backend, say=say)) as runtime:
        entry = runtime.config.entry(asked.model)
        seconds = asked.timeout or max(DEFAULT_SECONDS, entry.request_timeout)
        request = TurnRequest(_text(asked.message or ""), asked.session, asked.model, seconds)
        if not asked.json:
            banner(entry.model_name, environ)
        if asked.message is None:
            return _converse(runtime, request)
        done = _turn(runtime, request)
    # The runtime is closed: nothing is logged any more, so the reply is the last thing on standard output.
    return _tell_as_json(done) if asked.json else _tell(done)


@dataclass(frozen=True, slots=True)
class _Done:
    """How a turn ended: with a reply, or one of the six errors."""

    reply: TurnReply | None = None
    error: PicoClawError | None = None
    cancelled: bool = False

    @property
    def code(self) -> int:
        """The exit code that says so."""
        return CANCELLED if self.cancelled else EXIT_FAILED if self.error else 0


def _turn(runtime: Runtime, request: TurnRequest) -> _Done:
    """One turn, on a thread of its own so that Ctrl-C reaches this one, which cancels it."""
    cancel, done = threading.Event(), threading.Event()
    ended: list[TurnReply | BaseException] = []

    def ask() -> None:
        try:
            ended.append(runtime.ask(replace(request, cancel=cancel)))
        except BaseException as error:  # noqa: BLE001 - raised again below, by the thread that waits
            ended.append(error)
        finally:
            done.set()

    threading.Thread(target=ask, name="turn", daemon=True).start()
    try:
        done.wait()  # not join(): interrupted, Python 3.11 takes the thread for ended (bpo-45274)
    except KeyboardInterrupt:
        cancel.set()
        done.wait(_WINDING_UP)
    match ended:
        case [TurnReply() as reply]:
            return _Done(reply=reply)
        case [PicoClawError() as error]:
            return _Done(error=error, cancelled=cancel.is_set())
        case [BaseException() as error]:
            raise error
        case _:
            return _Done(error=TurnTimeout("the turn was cancelled and has not ended yet"), cancelled=True)


def _tell(done: _Done) -> int:
    if done.reply is not None:
        out(f"{MARKER}{_shown(done.reply)}\n")
    elif done.error is not None:
        sentence = str(done.error) if done.cancelled else in_upstreams_words(done.error)
        fail(f"error processing message: {sentence}")
    return done.code


def _tell_as_json(done: _Done) -> int:
    if done.reply is not None:
        out_json(reply_as_json(done.reply))
    elif done.error is not None:
        fail_as_json(str(done.error), done.error.code, retryable=done.error.retryable)
    return done.code


def _shown(reply: TurnReply) -> str:
    """Upstream prints a sentence where the model said nothing, and so do we; ``--json`` says "empty"."""
    return reply.text or EMPTY


def _converse(runtime: Runtime, request: TurnRequest) -> int:
    """A turn for each line of standard input, until its end, exit, quit or Ctrl-C.

    A turn that fails is told and does not end it.
    """
    while True:
        try:
            line = _line()
        except KeyboardInterrupt:
            line = None
        if line is None or line.strip().lower() in _ENDS:
            return 0
        if not line.strip():
            continue
        done = _turn(runtime, replace(request, text=_text(line.strip())))
        code = _tell(done)
        if done.cancelled:
            return code


def _line() -> str | None:
    """The next line, None at the end. One that is too long is cut, and then refused by the runtime."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return _typed_line()
    line = sys.stdin.readline(LONGEST_TEXT + 2)
    rest = line
    while rest and not rest.endswith("\n") and len(rest) > LONGEST_TEXT:
        rest = sys.stdin.readline(LONGEST_TEXT + 2)
    return line or None


def _typed_line() -> str | None:
    """The same from a terminal, with a prompt, and with line editing where Python has it."""
    with suppress(ImportError):
        import_module("readline")  # input() uses it once it is there
    try:
        return input(_PROMPT)
    except (EOFError, KeyboardInterrupt):
        out("\n")
        return None


def _text(typed: str) -> str:
    """Bytes that are no UTF-8 come from the shell as lone surrogates, which nothing after this can write."""
    return typed.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _say(text: str) -> None:
    """What the agent sends by its message tool, in a conversation."""
    out(f"{MARKER}{clean(text)}\n")


def _aside(text: str) -> None:
    """The same where standard output is one reply's alone."""
    sys.stderr.write(f"picoclaw says: {clean(text)}\n")
    sys.stderr.flush()
