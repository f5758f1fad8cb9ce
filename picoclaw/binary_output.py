"""What upstream's ``picoclaw agent -m`` printed, and what it means: a reply, or one of the six errors.

stdout is a banner, log lines, then an empty line and "🦞 ", the reply, and a newline; stderr is "Error: …",
and after it the command's help where the error speaks of flags. Only sentences tell one failure from
another; those looked for are upstream's own, Go's, and Ollama's.
"""

from __future__ import annotations

import re
from pathlib import Path

from picoclaw.backend import BackendAnswer
from picoclaw.child import MOST_STDERR, MOST_STDOUT, Finished
from picoclaw.clean import printable
from picoclaw.config import ModelEntry
from picoclaw.errors import (
    BackendUnreachable,
    ConfigInvalid,
    ContextOverflow,
    ModelNotFound,
    PicoClawError,
)
from picoclaw.turns import Outcome

MARKER = "\n🦞 "
"""What stands before the reply. The first one counts: a reply may hold more of them."""
_EMPTY = "The model returned an empty response."
_TOOL_LIMIT = "I've reached `max_tool_iterations` without a final response."
_SHOWN = 300
"""Characters of upstream's own words in a sentence of ours."""
_ERROR = re.compile(r"^Error: (.*?)(?=\n\s*\n\s*Usage|\Z)", re.DOTALL | re.MULTILINE)
_STATUS = re.compile(r"\bstatus(?: code)?\s*[:=]?\s*(\d{3})\b")
_CONFIG = ("error loading config", "failed to load config", "unknown field", "error creating provider")
_NO_MODEL = re.compile(r"\bmodel\b.{0,200}\bnot (be )?found\b|\bmodel_not_found\b", re.DOTALL)
_TOO_LONG = (
    "context_length_exceeded", "context window", "context_window", "context length", "context size",
    "too many tokens", "prompt is too long", "request too large",
)  # fmt: skip
_UNREACHED = re.compile(
    r"connection refused|connection reset|broken pipe|no such host|network is unreachable|no route to host|"
    r"\beof\b|deadline exceeded|timed out|timeout|rate limit|too many requests|(read|write|dial) tcp"
)
_WRONG_ADDRESS = ("page not found", "html instead of json")
"""A 404 that is not the model's: nothing is served under that path."""
_WHICH = "see whether PICOCLAW_BINARY is upstream's picoclaw"
_TOOLS_OFF = '{"enabled": true, "tools": {"mode": "off"}}'
_RETRIED = frozenset({408, 429})


def reply_in(finished: Finished, binary: Path) -> BackendAnswer:
    """The reply, whole; BackendUnreachable where the output has none."""
    printed = finished.stdout.decode(errors="replace")
    _, marker, reply = printed.partition(MARKER)
    if not marker:
        raise BackendUnreachable(
            f"{binary} printed no reply (no line begins 🦞) but {_quoted(plain(finished.stdout))}; {_WHICH}",
            stderr=plain(finished.stderr),
            exit_code=finished.exit_code,
            retryable=False,
        )
    reply = reply.removesuffix("\n")
    outcome: Outcome = "ok"
    if not reply.strip() or reply.startswith(_EMPTY):
        reply, outcome = "", "empty"
    elif reply.startswith(_TOOL_LIMIT):
        outcome = "tool_limit"
    return BackendAnswer(reply, outcome)


def failure_of(finished: Finished, binary: Path, entry: ModelEntry) -> PicoClawError:
    """The error that a run which failed amounts to, with its stderr and its exit code."""
    stderr = plain(finished.stderr)
    for secret in filter(None, entry.api_keys):
        stderr = stderr.replace(secret, "***")  # a server may say back what it was sent
    kind, retryable, sentence = _judge(finished, stderr, binary, entry)
    return kind(sentence, stderr=stderr, exit_code=finished.exit_code, retryable=retryable)


def plain(printed: bytes, limit: int = MOST_STDERR) -> str:
    """The end of some output as it may be shown, from at most its last ``limit`` bytes."""
    return printable(printed[-limit:].decode(errors="replace")).strip()


def _judge(
    finished: Finished, stderr: str, binary: Path, entry: ModelEntry
) -> tuple[type[PicoClawError], bool, str]:
    """Which error it is, whether it is worth another try, and the sentence."""
    if finished.flooded:
        sentence = f"{binary} printed more than {MOST_STDOUT} bytes and was ended; {_WHICH}"
        return BackendUnreachable, False, sentence
    if finished.exit_code < 0:
        return BackendUnreachable, True, f"{binary} was killed by signal {-finished.exit_code}; try again"
    message = _message(stderr)
    low, words = message.lower(), _quoted(message)
    server = f"the model's server at {entry.api_base}"
    status = int(found[1]) if (found := _STATUS.search(low)) else 0
    missing = _NO_MODEL.search(low) is not None
    if any(sign in low for sign in _CONFIG) and not missing:
        sentence = f"picoclaw refuses its config: {words}; mend the file, or have `picoclaw onboard` write it"
        return ConfigInvalid, False, sentence
    if missing or (status == 404 and not any(sign in low for sign in _WRONG_ADDRESS)):
        sentence = f"{server} has no model {entry.model!r}: {words}; pull it, or choose another"
        return ModelNotFound, False, sentence
    if any(sign in low for sign in _TOO_LONG):
        sentence = f"the conversation does not fit the context window of {entry.model!r}: {words}; say less"
        return ContextOverflow, False, sentence
    if "does not support tools" in low:
        sentence = (
            f"{entry.model!r} takes no tools: {words}; set agents.defaults.turn_profile to {_TOOLS_OFF}"
        )
        return BackendUnreachable, False, sentence
    if status:
        again = status in _RETRIED or status >= 500
        return BackendUnreachable, again, f"{server} answered {status}: {words}"
    if _UNREACHED.search(low):
        return BackendUnreachable, True, f"{server} cannot be reached: {words}; see whether it runs"
    return BackendUnreachable, False, f"{binary} failed with exit code {finished.exit_code}: {words}"


def _message(stderr: str) -> str:
    """The error that stderr tells of, without what was printed before it and the help that may follow."""
    found = _ERROR.search(stderr)
    return (found[1] if found else stderr).strip()


def _quoted(words: str) -> str:
    """On one line, cut."""
    line = " ".join(words.split())
    return (line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…") or "nothing"
