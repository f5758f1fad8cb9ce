"""A replica looks at the board even when nobody asks: to know a last one, and how it went."""

from __future__ import annotations

from clawbucket.board import BoardReader
from clawbucket.ports import BusDown
from clawbucket.watched import Watched


class Watching:
    """Keep this process's board at most a second old, and remember what is seen."""

    name = "board"
    every = 1.0

    def __init__(self, board: BoardReader, watched: Watched) -> None:
        self._board, self._watched = board, watched

    def tick(self, now: float) -> None:  # noqa: ARG002 - a behaviour is given the time
        """Look. BusDown while there was never anything to see."""
        try:
            board = self._board.board(max_age=self.every)
        except BusDown:
            self._watched.look(None)
            raise
        self._watched.look(board)
