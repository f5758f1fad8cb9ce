"""A replica whose swarm is made up: ``python -m bench.board_generator --tiles 1000 --port 9250``.

The real HTTP side (templates, fanout, stream, gunicorn with one gevent worker, as ``python -m app`` runs it)
on a board of as many troopers as one likes, of which a share changes at each tick. No bus, no loops and no
rack are behind it: what is measured is what people watch. ``throw.at`` of each board is the time at which its
change was due on this machine's monotonic clock, so that a client on the same machine can tell how late it
hears of it.
"""

from __future__ import annotations

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import cast

from app.factory import create_app
from app.services import Services, assemble
from app.stream import fanout_of
from clawbucket import logs
from clawbucket.board import MAX_AGE, BoardReader
from clawbucket.bus.memory import MemoryBus
from clawbucket.clock import SystemClock
from clawbucket.core import phrases
from clawbucket.core.agent import Agent
from clawbucket.core.board import Board, Squad, Trooper
from clawbucket.core.callsign import color_of, name_of
from clawbucket.core.model import (
    TASK_ID_ALPHABET,
    TASK_ID_LENGTH,
    ArmState,
    Freshness,
    TaskState,
    short_alias,
)
from clawbucket.core.records import ChatMessage, Choice, Haiku, Outcome, Throw
from clawbucket.listening import listening_socket
from clawbucket.ports import Orders
from clawbucket.settings import Settings
from clawbucket.wsgi import Program, serve

TICK = 0.5
"""Seconds between two changes of the board."""
SHARE = 0.05
"""Of the troopers, how many change at a tick."""
MOST_TILES = 10_000
SERVICES = tuple(f"clawbucket_clawbucket{more}" for more in ("", "-b", "-c", "-d"))
NODES = 12
CHOICES: tuple[Choice, ...] = ("rock", "paper", "scissors")
OUTCOMES: tuple[Outcome, ...] = ("win", "loss", "draw")
POINTS = {"win": 1, "loss": -1, "draw": 0}
RARE = 0.1
"""Of those that change, how many change their freshness and their ARM too."""


class MadeBoard(BoardReader):
    """A board reader that reads nothing: each tick a share of its troopers is changed by a seeded rng.

    ``now`` gives monotonic seconds. Changes that nobody looked at happen together, with the time of the last.
    """

    def __init__(
        self, services: Services, tiles: int, *, share: float = SHARE, tick: float = TICK, seed: int = 6,
        now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        super().__init__(services.bus, services.gate, services.clock, services.settings)
        self._rng, self._seconds, self._tick = Random(seed), now, tick
        self._many = round(tiles * share)
        self._began = now()
        self._ticks = 0
        self._at = services.clock.iso()
        slots = [0] * len(SERVICES)
        self._troopers: list[Trooper] = []
        for number in range(tiles):
            squad = number % len(SERVICES)
            slots[squad] += 1
            self._troopers.append(self._recruit(SERVICES[squad], slots[squad]))
        self._services = {t.id: SERVICES[n % len(SERVICES)] for n, t in enumerate(self._troopers)}
        self._shown = self._painted()

    def board(self, max_age: float = MAX_AGE) -> Board:  # noqa: ARG002 - the reader's form
        """The board of this tick."""
        ticks = int((self._seconds() - self._began) / self._tick)
        if ticks > self._ticks:
            self._ticks = ticks
            for index in self._rng.sample(range(len(self._troopers)), self._many):
                self._troopers[index] = self._changed(self._troopers[index])
            self._shown = self._painted()
        return self._shown

    def _recruit(self, service: str, slot: int) -> Trooper:
        rng = self._rng
        task_id = "".join(rng.choices(TASK_ID_ALPHABET, k=TASK_ID_LENGTH))
        # Every state is somewhere on the board, and most run, as in a rack that people work on.
        state = rng.choice(list(TaskState)) if rng.random() < RARE else TaskState.RUNNING
        node = rng.randrange(NODES)
        return Trooper(
            id=task_id, slot=slot, state=state.value, desired_state=TaskState.RUNNING.value,
            node_id=f"node{node:02d}".ljust(TASK_ID_LENGTH, "0"), node=f"node-{node:02d}",
            task_name=f"{service}.{slot}.{task_id}", name=name_of(task_id), color=color_of(task_id),
            is_manager=slot == 1, manager_confirmed=slot == 1, score=rng.randint(-20, 20),
            three_words=phrases.three_words(rng), words_source=phrases.SOURCE, freshness=Freshness.ALIVE,
            arm=ArmState.OFF, round=1, move="rock", outcome="draw", started_at=self._at, agent=Agent("ok"),
        )  # fmt: skip

    def _changed(self, before: Trooper) -> Trooper:
        rng = self._rng
        outcome = rng.choice(OUTCOMES)
        after = replace(
            before, three_words=phrases.three_words(rng), round=before.round + 1, outcome=outcome,
            move=rng.choice(CHOICES), score=before.score + POINTS[outcome],
            agent=replace(before.agent, busy=not before.agent.busy),
        )  # fmt: skip
        if rng.random() >= RARE:
            return after
        armed = ArmState.OFF if before.arm is ArmState.ON else ArmState.ON
        return replace(after, freshness=rng.choice(list(Freshness)), arm=armed)

    def _painted(self) -> Board:
        due = self._began + self._ticks * self._tick
        names = [short_alias(service) for service in SERVICES]
        squads = []
        for service, alias in zip(SERVICES, names, strict=True):
            mine = tuple(t for t in self._troopers if self._services[t.id] == service)
            if mine:
                running = sum(t.state == TaskState.RUNNING.value for t in mine)
                squads.append(
                    Squad(service, alias, len(mine), running, mine, mine[0].id, 1_700_000_000_000, True)
                )
        first = self._troopers[0].name if self._troopers else "Nobody"
        line = ChatMessage("m1", 1, first, "node-00", "This board is made up.", self._at)
        return Board(
            version=self._ticks + 1, at=self._at, rack="generator", primary=SERVICES[0], squads=tuple(squads),
            throw=Throw(CHOICES[self._ticks // 20 % 3], first, f"{due:.6f}", self._ticks // 20 + 1, 1),
            interval_seconds=10, haiku=Haiku("made of made-up tiles\na board", phrases.SOURCE, self._at),
            chat=(line,), arm_events=(),
        )  # fmt: skip


def made_up(tiles: int, *, share: float = SHARE, tick: float = TICK, viewers: int = 2_000) -> Services:
    """A replica's services without a bus, a rack or loops, whose board is made up."""
    clock = SystemClock()
    settings = Settings(
        service_name=SERVICES[0], swarm_services=SERVICES, label="Made-up rack", sse_clients=viewers,
        task_id="generator".ljust(TASK_ID_LENGTH, "0"), task_name="generator",
    )  # fmt: skip
    services = assemble(settings, clock, MemoryBus(clock), cast(Orders, None))
    return replace(services, board=MadeBoard(services, tiles, share=share, tick=tick))


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m bench.board_generator", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="on the loopback interface")
    parser.add_argument("--tiles", type=int, default=1_000, help="troopers (default: %(default)s)")
    parser.add_argument(
        "--share", type=float, default=SHARE, help="of them change a tick (default: %(default)s)"
    )
    parser.add_argument("--tick", type=float, default=TICK, help="seconds (default: %(default)s)")
    parser.add_argument("--viewers", type=int, default=2_000, help="at most (default: %(default)s)")
    chosen = parser.parse_args()
    if not 0 <= chosen.tiles <= MOST_TILES:
        parser.error(f"--tiles {chosen.tiles} is none of 0 to {MOST_TILES}")
    if not 0 <= chosen.share <= 1 or chosen.tick < MAX_AGE:
        parser.error(f"--share is from 0 to 1, and --tick is {MAX_AGE} s or longer, as a look at the bus is")
    logs.configure("generator", level="warning")

    def start() -> Program:
        services = made_up(chosen.tiles, share=chosen.share, tick=chosen.tick, viewers=chosen.viewers)
        fanout = fanout_of(services)
        return Program(create_app(services, fanout), fanout.close)

    serve(listening_socket(f"127.0.0.1:{chosen.port}"), start)


if __name__ == "__main__":
    main()
