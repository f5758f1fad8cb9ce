"""The port to whatever runs a turn: upstream's binary, or the embedded loop. One contract, one test suite.

The runtime (runtime.py) chooses a backend once, holds the session's lock around each turn, repairs the
session before it and compacts it after. A backend only carries the turn out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from picoclaw.config import ModelEntry
from picoclaw.deadline import Deadline
from picoclaw.sessions import OpenSession
from picoclaw.turns import BackendName, Outcome, Usage


@dataclass(frozen=True, slots=True)
class BackendAnswer:
    """What a backend got out of a turn; ``text`` is not cleaned yet.

    ``model`` is the model_name of the one that answered, None where the backend does not say.
    """

    text: str
    outcome: Outcome
    usage: Usage = field(default_factory=Usage)
    tool_calls: int | None = None
    model: str | None = None


class Backend(Protocol):
    """Carries out turns, several at once in different sessions."""

    @property
    def name(self) -> BackendName:
        """Which one it is."""
        ...

    @property
    def version(self) -> str:
        """Its version, for status."""
        ...

    def turn(
        self, text: str, session: OpenSession, entry: ModelEntry, channel: str, deadline: Deadline
    ) -> BackendAnswer:
        """Say ``text`` in ``session``, whose lock the caller holds.

        On return the session's file ends with the user's message, whatever tools did, and the
        assistant's. Raises one of the six errors; the file may then end with the user's message, which the
        next opening repairs.
        """
        ...

    def close(self) -> None:
        """End what still runs."""
        ...
