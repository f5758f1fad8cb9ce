"""The command: ``picoclaw-py``, or ``python -m picoclaw``, in the shape of upstream's.

Exit codes are upstream's: 0, or 1 whatever failed, wrong usage included. A turn that Ctrl-C ended gives
130, and a reader that went away 141, as a shell shows them. What failed is one line on standard error,
``Error: …``; with ``--json`` it is one JSON object on standard output instead.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import IO

from picoclaw.cli_arguments import Command, WrongUsage, parse
from picoclaw.cli_output import CANCELLED, GONE, fail, fail_as_json, in_upstreams_words
from picoclaw.errors import EXIT_FAILED, PicoClawError

_HOMES: dict[Command, str] = {
    "agent": "cli_agent",
    "status": "cli_setup",
    "onboard": "cli_setup",
    "version": "cli_version",
}
"""Where each command lives in this package. A refusal or a version must not wait for an HTTP client."""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what was typed; the exit code."""
    _mend_streams()
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        return _run(words)
    except BrokenPipeError:
        # Python writes what is left in the buffer when it ends: that must not fail and say so.
        _to_nowhere(sys.stdout)
        return GONE


def _run(words: list[str]) -> int:
    as_json = "--json" in words
    try:
        asked = parse(words)
        as_json = asked.json
        command = getattr(import_module(f"picoclaw.{_HOMES[asked.command]}"), asked.command)
        code = int(command(asked, os.environ))
        sys.stdout.flush()
    except WrongUsage as wrong:
        return _failed(as_json, str(wrong), "usage")
    except PicoClawError as error:
        sentence = str(error) if as_json else in_upstreams_words(error)
        return _failed(as_json, sentence, error.code, retryable=error.retryable)
    except BrokenPipeError:
        raise
    except OSError as error:
        return _failed(as_json, _of_system(error), "failed")
    except KeyboardInterrupt:
        return CANCELLED
    return code


def _failed(as_json: bool, sentence: str, code: str, *, retryable: bool = False) -> int:
    try:
        if as_json:
            fail_as_json(sentence, code, retryable=retryable)
        else:
            fail(sentence)
    except BrokenPipeError:
        raise
    except OSError:
        # A full disk behind standard output: the exit code is all that is left to say it with.
        _to_nowhere(sys.stdout)
    return EXIT_FAILED


def _of_system(error: OSError) -> str:
    """Python's text is for programmers: ``[Errno 13] Permission denied: '/x'``."""
    what = error.strerror or str(error)
    return f"{error.filename}: {what}" if error.filename else what


def _mend_streams() -> None:
    """A stream that was closed is None; one in another encoding cannot take a lobster."""
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = sys.stdout or _nowhere("w")
    sys.stderr = sys.stderr or _nowhere("w")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="replace")


def _nowhere(mode: str) -> IO[str]:
    return open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123 - open as long as the process


def _to_nowhere(stream: IO[str]) -> None:
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, stream.fileno())
    finally:
        os.close(devnull)
