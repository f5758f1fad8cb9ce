"""PicoClaw: an agent with a workspace, sessions and tools, on a language model that others may share.

    from picoclaw import Runtime, TurnRequest

    with closing(Runtime.open(os.environ)) as runtime:
        print(runtime.ask(TurnRequest("Who are you?", session="me")).text)

docs/picoclaw.md tells the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from picoclaw.errors import (
        BackendUnreachable,
        ConfigInvalid,
        ContextOverflow,
        ModelNotFound,
        PicoClawError,
        RuntimeBusy,
        TurnTimeout,
    )
    from picoclaw.runtime import Runtime
    from picoclaw.turns import Message, RuntimeStatus, SessionInfo, TurnReply, TurnRequest, Usage

__all__ = [
    "BackendUnreachable", "ConfigInvalid", "ContextOverflow", "Message", "ModelNotFound", "PicoClawError",
    "Runtime", "RuntimeBusy", "RuntimeStatus", "SessionInfo", "TurnReply", "TurnRequest", "TurnTimeout",
    "Usage",
]  # fmt: skip


def __getattr__(name: str) -> object:
    """What is asked for by name, imported then: whoever needs the errors alone need not wait for a client."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for home in ("errors", "turns", "runtime"):
        found = getattr(import_module(f"picoclaw.{home}"), name, None)
        if found is not None:
            return found
    raise AttributeError(name)
