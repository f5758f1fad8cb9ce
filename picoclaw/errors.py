"""The six ways in which a turn fails. Each text is one sentence for the person at the keyboard.

``retryable`` says whether the same request may do better later; ``stderr`` and ``exit_code`` are the
upstream binary's where it was the backend, and what this package's own command gives otherwise.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_FAILED = 1
"""What upstream exits with, whatever failed."""


class PicoClawError(Exception):
    """Base of the six."""

    code: ClassVar[str] = "failed"
    retryable: bool = False

    def __init__(
        self, sentence: str, *, stderr: str = "", exit_code: int | None = EXIT_FAILED,
        retryable: bool | None = None,
    ) -> None:  # fmt: skip
        super().__init__(sentence)
        self.stderr, self.exit_code = stderr, exit_code
        if retryable is not None:
            self.retryable = retryable


class ConfigInvalid(PicoClawError):  # noqa: N818 - upstream's users know these names
    """The config cannot be read, or says what is not allowed: file, key, what was given, what is allowed."""

    code = "config_invalid"


class ModelNotFound(PicoClawError):  # noqa: N818
    """The model's server answers and does not have the model, or the config names no such model."""

    code = "model_not_found"


class BackendUnreachable(PicoClawError):  # noqa: N818
    """The model's server (or the binary) cannot be reached, or gave up in the middle of an answer."""

    code = "backend_unreachable"
    retryable = True


class TurnTimeout(PicoClawError):  # noqa: N818
    """The turn's deadline passed, or it was cancelled."""

    code = "turn_timeout"
    retryable = True


class ContextOverflow(PicoClawError):  # noqa: N818
    """What would have to be sent does not fit the model's context window, even after compaction."""

    code = "context_overflow"


class RuntimeBusy(PicoClawError):  # noqa: N818
    """Too many turns wait already, or the session stayed locked until the deadline."""

    code = "runtime_busy"
    retryable = True
