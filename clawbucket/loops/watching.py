"""A replica looks at the board even when nobody asks, so that it has a last known one when the bus goes."""

from __future__ import annotations

from clawbucket.board import BoardReader


class Watching:
    """Keep this process's board at most a second old."""

    name = "board"
    every = 1.0

    def __init__(self, board: BoardReader) -> None:
        self._board = board

    def tick(self, now: float) -> None:  # noqa: ARG002 - a behaviour is given the time
        """Look. BusDown while there was never anything to see."""
        self._board.board(max_age=self.every)
