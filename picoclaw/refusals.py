"""What a model's server says when it does not answer, as one of the errors of a turn."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import httpx

from picoclaw.errors import BackendUnreachable, ContextOverflow, ModelNotFound, PicoClawError
from picoclaw.model import ToolsRefused

_LONGEST_WORDS = 200
_OVERFLOW = re.compile(
    r"exceed\w*[\w ]{0,20}\bcontext|exceed_context_size|context[ _]length[ _]exceed|maximum context length"
    r"|prompt is too long|context (window|size|length) (is )?(too small|exceeded)",
    re.IGNORECASE,
)
"""llama.cpp's ("exceeds the available context size"), Ollama's, OpenAI's and their imitators' words."""
_NO_TOOLS = re.compile(
    r"does(n't| not) support (tools|function calling)|tool use is not supported", re.IGNORECASE
)
_NO_MODEL = re.compile(
    r"\bmodel\b.{0,200}?(not found|does not exist|unknown|no such)|model_not_found",
    re.IGNORECASE | re.DOTALL,
)
_RETRIED = {408, 425, 429}
"""Beside every 5xx: refusals that pass by themselves (upstream's list, and 425 Too Early)."""


@dataclass(frozen=True, slots=True)
class Server:
    """Whom an error text is about: ``name`` the model, ``base`` the address without secrets."""

    name: str
    base: str
    is_ollama: bool

    def refused(self, status: int, words: str) -> PicoClawError | ToolsRefused:
        """The error for an answer that is none: ``status`` of HTTP (-1: inside a stream), and its text."""
        said = _short(words)
        if _NO_TOOLS.search(words):
            return ToolsRefused(f"{self.name} at {self.base} takes no tools")
        if _OVERFLOW.search(words):
            return ContextOverflow(
                f"{self.base} refused the conversation as too long for {self.name} ({said}); lower "
                "context_window to what the model really has, or clear the session"
            )
        if status in {-1, 400, 404} and _NO_MODEL.search(words):
            return self.missing()
        if status == -1:
            return BackendUnreachable(f"{self.base} gave up in the middle of an answer: {said}")
        if status in _RETRIED or status >= 500:
            return BackendUnreachable(f"{self.base} answered {status} ({said}); it may pass: try again later")
        return BackendUnreachable(f"{self.base} {self._advice(status)} ({said})", retryable=False)

    def missing(self) -> ModelNotFound:
        """The server answers, and does not have the model."""
        if self.is_ollama:
            return ModelNotFound(
                f'Ollama at {self.base} has no model "{self.name}"; type: ollama pull {self.name}'
            )
        return ModelNotFound(
            f'{self.base} has no model "{self.name}"; give one that it has as "model" in model_list'
        )

    def unreachable(self, error: Exception) -> BackendUnreachable:
        """Nothing there, or the connection broke."""
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return BackendUnreachable(
                f"{self.base} shows a certificate that is not trusted ({_short(str(error))}); name the "
                "authority's file in SSL_CERT_FILE",
                retryable=False,
            )
        if isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol | ConnectionError):
            mend = "is `ollama serve` running?" if self.is_ollama else "is api_base right, and is it running?"
            return BackendUnreachable(f"{self.base} cannot be reached ({_short(str(error))}); {mend}")
        return BackendUnreachable(
            f"{self.base} broke the connection in the middle of an answer ({_short(str(error))}); try again"
        )

    def cut(self) -> BackendUnreachable:
        """The answer ended without its end."""
        return BackendUnreachable(f"{self.base} ended its answer in the middle; try again")

    def garbled(self, what: str) -> BackendUnreachable:
        """It answers, and not as such a server does."""
        kind = "Ollama" if self.is_ollama else "an OpenAI-compatible server"
        return BackendUnreachable(
            f"{self.base} answers, but not as {kind} does ({_short(what)}); look at api_base and provider",
            retryable=False,
        )

    def _advice(self, status: int) -> str:
        if 300 <= status < 400:
            return f"answered {status}, a redirect, which is not followed: give its target as api_base"
        if status in {401, 403}:
            return f"answered {status}, it does not accept the key: look at api_keys of the model"
        if status in {404, 405}:
            return f"answered {status}, it has no such call: look at api_base and provider of the model"
        return f"refused the request with {status}"


def words_of(body: Any) -> str:
    """The sentence in an error body: ``{"error": "…"}``, ``{"error": {"message": "…"}}``, or its text."""
    if isinstance(body, str):
        try:
            parsed = json.loads(body)
        except ValueError:
            return body
        return words_of(parsed) if isinstance(parsed, dict) else body
    if isinstance(body, dict):
        error = body.get("error") or body.get("message")
        if isinstance(error, dict):
            return " ".join(str(error[key]) for key in ("message", "type", "code") if error.get(key))
        if isinstance(error, str):
            return error
    return str(body)


def _short(words: str) -> str:
    """One line of somebody else's text, fit for ours."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words[: 4 * _LONGEST_WORDS]).split())
    return line[:_LONGEST_WORDS] or "it said nothing"
