"""What a session file says that nobody typed; both backends write it alike."""

from __future__ import annotations

EMPTY = "The model returned an empty response. This may indicate a provider error or token limit."
"""What upstream writes in place of an empty answer."""
TOOL_LIMIT = (
    "I've reached `max_tool_iterations` without a final response. Increase `max_tool_iterations` in "
    "config.json if this task needs more tool steps."
)
NOT_A_COMMAND = "> "
"""Put before a message that upstream would take for a chat command. It trims white space before it looks for
``/`` or ``!``, so a space would not do; this reads as a quotation, to a model and to a person."""


def spoken(text: str) -> str:
    """A message as either backend is given it, and stores it.

    No chat command of upstream's, no NUL and no half characters (an argument of a program has neither), and
    never empty (that is upstream's interactive mode).
    """
    said = text.replace("\0", "").encode(errors="replace").decode()
    return NOT_A_COMMAND + said if _is_command(said) else said


def typed(said: str) -> str:
    """The message as somebody typed it, for showing: without what ``spoken`` put before it."""
    rest = said.removeprefix(NOT_A_COMMAND)
    return rest if _is_command(rest) else said


def _is_command(said: str) -> bool:
    return not said.strip() or said.lstrip()[0] in "/!"
