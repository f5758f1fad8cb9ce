"""A tap on the bus: programs talk to memcached through it, and it counts what each asks.

memcached itself counts keys, not requests, and not whose. Here each connection's commands are counted as they
pass, by what they are for, and /proc says whose connection it is.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from bench.rack import free_port
from clawbucket import keys

_READS = frozenset({"get", "gets"})
_STORES = frozenset({"set", "add", "cas", "replace"})
_FAMILIES = sorted(keys.ALL, key=lambda key: "{}" in key.name)
"""Single keys first: one of them begins as a family does."""
_PIECE = 1 << 18
BOARD, LOOK, LEASE = "board", "look", "lease"
"""A board's read of everything; who stands for election: the snapshot and the override; the lease itself."""
ELECTION = frozenset({LOOK, LEASE})


@dataclass(slots=True)
class Tally:
    """Commands and the keys in them, by what they are for. A ``get`` of many keys is one command."""

    commands: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)

    def note(self, words: list[str]) -> int:
        """Take note of a command's line; how many bytes of data follow it."""
        verb = words[0] if words else ""
        named = words[1:] if verb in _READS else words[1:2]
        what = purpose(named)
        self.commands[what] += 1
        self.keys[what] += len(named)
        return int(words[4]) + 2 if verb in _STORES else 0

    def __sub__(self, before: Tally) -> Tally:
        """What came since."""
        return Tally(self.commands - before.commands, self.keys - before.keys)

    def __add__(self, other: Tally) -> Tally:
        """Both."""
        return Tally(self.commands + other.commands, self.keys + other.keys)


def purpose(named: list[str]) -> str:
    """What a command is for, by its keys: ``board``, ``look``, ``lease``, or the family of its first key."""
    if keys.LOAD.name in named and keys.SNAPSHOT.name in named:
        return BOARD
    family = next((key for key in _FAMILIES if named and _is_of(named[0], key)), None)
    if family is keys.SNAPSHOT and len(named) > 1:
        return LOOK
    return LEASE if family is keys.LEADER else family.name if family else "other"


def _is_of(name: str, key: keys.Key) -> bool:
    start, braces, _ = key.name.partition("{}")
    return name.startswith(start) if braces else name == start


class Tap:
    """What passed, by the port that a client's connection comes from. Threadsafe to look at."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self._target = port, target
        self._tallies: dict[int, Tally] = {}

    def tallies(self, processes: Iterable[psutil.Process]) -> dict[int, Tally]:
        """By the process id of those whose connections are open, all that each has asked on them."""
        found: dict[int, Tally] = {}
        for process in processes:
            ports = self.connections(process)
            if ports:
                known = (self._tallies.get(port, Tally()) for port in ports)
                found[process.pid] = sum(known, Tally())
        return found

    def connections(self, process: psutil.Process) -> list[int]:
        """The ports of that process's open connections to the bus."""
        try:
            opened = process.net_connections(kind="tcp")
        except psutil.Error:
            return []
        return [
            one.laddr.port
            for one in opened
            if one.status == psutil.CONN_ESTABLISHED and one.raddr and one.raddr.port == self.port
        ]

    async def serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        """One connection, until either side hangs up."""
        tally = self._tallies[answer.get_extra_info("peername")[1]] = Tally()
        server, command = await asyncio.open_connection("127.0.0.1", self._target)
        tasks = [
            asyncio.create_task(_pass_on(client, command, tally)),
            asyncio.create_task(_pass_on(server, answer, None)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for writer in (command, answer):
                writer.close()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, tally: Tally | None) -> None:
    """What comes is counted, then goes on: no answer comes before its count."""
    waiting, data = b"", 0
    with suppress(OSError):
        while piece := await source.read(_PIECE):
            if tally is not None:
                waiting += piece
            while tally is not None:
                if data:
                    cut = min(data, len(waiting))
                    waiting, data = waiting[cut:], data - cut
                end = waiting.find(b"\r\n")
                if data or end < 0:
                    break
                data = tally.note(waiting[:end].decode().split())
                waiting = waiting[end + 2 :]
            sink.write(piece)
            await sink.drain()


@contextmanager
def tap(target: int) -> Iterator[Tap]:
    """A tap before the memcached at ``target``, for the length of a block."""
    made, loop = Tap(free_port(), target), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(made.serve, "127.0.0.1", made.port, limit=_PIECE))
    thread = threading.Thread(target=loop.run_forever, name="bus-tap")
    thread.start()

    async def end() -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.05)  # the connections that were closed are let go by the loop

    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
