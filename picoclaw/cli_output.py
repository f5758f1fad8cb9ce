"""What the command prints, and where: upstream's form for people and programs, JSON for programs alone."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TextIO

from picoclaw.clean import printable
from picoclaw.errors import ConfigInvalid, ContextOverflow, ModelNotFound, PicoClawError, TurnTimeout
from picoclaw.turns import TurnReply
from picoclaw.version import VERSION

MARKER = "\n🦞 "
"""Stands before a reply, on a line of its own. Nothing that is printed before the reply may hold it."""
CANCELLED = 130
"""128 + SIGINT."""
GONE = 141
"""128 + SIGPIPE."""
_UPSTREAMS: dict[type[PicoClawError], str] = {
    ConfigInvalid: "error loading config",
    ModelNotFound: "model not found",
    ContextOverflow: "prompt is too long",
    TurnTimeout: "timed out",
}
_SHORT = {"DEBUG": "DBG", "INFO": "INF", "WARNING": "WRN", "ERROR": "ERR", "CRITICAL": "FTL"}
"""zerolog's names of the levels."""


def out(text: str) -> None:
    """To standard output, at once: whoever reads a pipe waits for it."""
    sys.stdout.write(text)
    sys.stdout.flush()


def fail(sentence: str) -> None:
    """``Error: …`` on standard error, after what was printed before."""
    sys.stdout.flush()
    sys.stderr.write(f"Error: {printable(sentence)}\n")
    sys.stderr.flush()


def in_upstreams_words(error: PicoClawError) -> str:
    """Our sentence, behind the words by which whoever drives upstream's binary knows such a failure."""
    words = _UPSTREAMS.get(type(error))
    return f"{words}: {error}" if words else str(error)


def out_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line."""
    out(json.dumps(value, ensure_ascii=False) + "\n")


def fail_as_json(sentence: str, code: str, *, retryable: bool) -> None:
    """What failed, as one JSON object on standard output."""
    out_json({"error": printable(sentence), "code": code, "retryable": retryable})


def banner(model: str, environ: Mapping[str, str]) -> None:
    """One line of who answers. Upstream's is a picture, and coloured even into a pipe; ours is not there."""
    line = f"picoclaw-py {VERSION} · {model}"
    coloured = sys.stdout.isatty() and not environ.get("NO_COLOR")
    out(f"\x1b[2m{line}\x1b[0m\n" if coloured else f"{line}\n")


def reply_as_json(reply: TurnReply) -> dict[str, Any]:
    """A reply as ``--json`` prints it; what is unknown is null."""
    return {
        "text": reply.text,
        "outcome": reply.outcome,
        "session": reply.session,
        "model": reply.model,
        "backend": reply.backend,
        "seconds": round(reply.seconds, 3),
        "usage": {
            "prompt_tokens": reply.usage.prompt_tokens,
            "completion_tokens": reply.usage.completion_tokens,
        },
        "tool_calls": reply.tool_calls,
    }


def start_logging(environ: Mapping[str, str], stream: TextIO, *, debug: bool) -> None:
    """Log lines ``15:04:05 WRN …`` to ``stream``, or to the file that PICOCLAW_LOG_FILE names. OSError."""
    path = environ.get("PICOCLAW_LOG_FILE", "")
    handler: logging.Handler
    if path:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)  # noqa: PTH103, PTH120 - a string until here
        handler = logging.FileHandler(path, encoding="utf-8", errors="replace")
    else:
        handler = logging.StreamHandler(stream)
    handler.setFormatter(_Lines())
    logging.raiseExceptions = False  # a full disk must not print tracebacks between the replies
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("picoclaw").setLevel(logging.DEBUG if debug else logging.WARNING)


class _Lines(logging.Formatter):
    """One line for each record, whatever is in it: a model's text must not look like a reply's beginning."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}: {self.formatException(record.exc_info)}"
        return f"{at} {_SHORT.get(record.levelname, record.levelname)} {' '.join(printable(text).split())}"
