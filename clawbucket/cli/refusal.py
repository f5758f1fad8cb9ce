"""What a command cannot do, in one sentence."""

from __future__ import annotations


class Refusal(Exception):  # noqa: N818 - it names the thing, not the act
    """The text says what is wrong, what was given, what is allowed and what to type next.

    ``code`` is the command's exit status: 2 where nothing was begun, 1 where it failed on the way.
    """

    def __init__(self, sentence: str, code: int = 2) -> None:
        super().__init__(sentence)
        self.code = code
