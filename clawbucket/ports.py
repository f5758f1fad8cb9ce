"""The swarm's ports: what it needs from the outside, and how the outside may fail.

A failure is *definite* (it did not happen, and will not) or *indefinite* (it may have happened, or may
yet). The difference decides everything above: a definite failure may be retried or reported as no, an
indefinite one must be resolved by asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NewType, Protocol

from clawbucket.core.model import Snapshot, Task

CasToken = NewType("CasToken", bytes)
"""Opaque proof of which version of a value was read; valid for the Bus that gave it."""


class ClawError(Exception):
    """Base of every failure that is ours to explain; its text is one sentence for a person."""


class Definite(ClawError):  # noqa: N818 - the design's word, read as an adjective of the failure
    """The act did not take place."""


class Indefinite(ClawError):  # noqa: N818
    """Nobody here can tell whether the act took place."""


class BusDown(Definite):
    """The bus could not be reached; nothing was sent."""


class BusInDoubt(Indefinite):
    """The bus stopped answering after the request left; a write may or may not have landed."""


class BusRefused(Definite):
    """The bus answered, and its answer was no (value too large, out of memory, bad key)."""


class EngineDown(Definite):
    """The engine, or the rack manager before it, could not be reached; nothing was sent."""


class EngineInDoubt(Indefinite):
    """The engine stopped answering after the order left."""


class ServiceUnknown(Definite):
    """No service of that name runs here."""


class TaskUnknown(Definite):
    """No task of that id runs here."""


class TaskElsewhere(Definite):
    """The task runs on a node that this engine has no hand on; an order on the bus reaches it."""


class NodeUnknown(Definite):
    """No node of that id is in the swarm."""


class Conflict(Definite):
    """What is asked for cannot be done as things stand (a second outage, no other candidate)."""


class Clock(Protocol):
    """Time as this process sees it."""

    def monotonic(self) -> float:
        """Seconds that never go back; the only time that decides anything."""
        ...

    def wall_ms(self) -> int:
        """Unix milliseconds, for epochs and for people."""
        ...

    def iso(self) -> str:
        """Now as ISO-8601 UTC, for people."""
        ...


class Bus(Protocol):
    """The rack's shared memory, with memcached's semantics. Thread- and greenlet-safe.

    Every call returns or raises within the adapter's deadline. Reads raise BusDown or BusInDoubt;
    writes also BusRefused. Values are bytes; ``ttl`` is whole seconds, 0 = until evicted. Anything
    may vanish at any time (eviction, restart): no caller may rely on a value being there.
    """

    def get(self, key: str) -> bytes | None:
        """The value, or None."""
        ...

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values that exist. Not atomic: each is the value at some moment during the call."""
        ...

    def gets(self, key: str) -> tuple[bytes, CasToken] | None:
        """The value with the token that a later ``cas`` must present, or None."""
        ...

    def set(self, key: str, value: bytes, ttl: int) -> None:
        """Store whatever was there."""
        ...

    def set_many(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        """``key -> (value, ttl)``; each stored as ``set`` would, in one go, not atomic."""
        ...

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        """Store only where nothing is; atomic. False: something is there."""
        ...

    def cas(self, key: str, value: bytes, token: CasToken, ttl: int) -> bool:
        """Store only where nobody wrote since ``token``; atomic. False: somebody did, or it is gone."""
        ...

    def delete(self, key: str) -> bool:
        """Remove. False: nothing was there."""
        ...

    def ping(self) -> None:
        """Return when the bus answers; raise as a read would."""
        ...


class Orders(Protocol):
    """What the rack is asked to do. Every call is safe to repeat."""

    def scale(self, service: str, replicas: int) -> None:
        """Make ``replicas`` the desired count. ServiceUnknown, EngineDown, EngineInDoubt."""
        ...

    def kill(self, task_id: str) -> None:
        """End the task's processes at once (SIGKILL), as a crash would.

        TaskUnknown, TaskElsewhere, EngineDown, EngineInDoubt.
        """
        ...

    def restart(self, service: str) -> None:
        """Replace every task of the service, one after another. ServiceUnknown, EngineDown, EngineInDoubt."""
        ...

    def set_availability(self, node_id: str, availability: str) -> None:
        """``active`` or ``drain``. NodeUnknown, EngineDown, EngineInDoubt."""
        ...


class Engine(Orders, Protocol):
    """Where troopers run: OS processes here, containers on Docker Swarm. Thread-safe."""

    def snapshot(self) -> Snapshot:
        """What should run and what does, now. ``seq`` is 0: the observer numbers it. EngineDown."""
        ...

    def history(self, service: str) -> tuple[Task, ...]:
        """The kept dead tasks, newest first, at most five a slot. ServiceUnknown, EngineDown."""
        ...

    def wait_change(self, after: int, timeout: float) -> int:
        """Block until the engine's change counter passes ``after`` or ``timeout`` seconds went by.

        Returns the counter; start with 0.
        """
        ...

    def calls(self) -> int:
        """How often the underlying engine was asked for its state, so far."""
        ...

    def close(self) -> None:
        """Let go of what this object holds. What runs goes on running."""
        ...
