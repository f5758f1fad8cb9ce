"""The swarm's ports: what it needs from the outside, and how the outside may fail.

A failure is *definite* (it did not happen, and will not) or *indefinite* (it may have happened, or may
yet). The difference decides everything above: a definite failure may be retried or reported as no, an
indefinite one must be resolved by asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NewType, Protocol

from clawbucket.core.agent import AgentReply, Health, Utterance
from clawbucket.core.model import Snapshot, Task
from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.revolt import Offer, Told

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


class AgentFailed(Definite):
    """The agent gave no answer. ``health`` says what that tells of it; ``code`` is stable, for programs.

    ``brief`` is the reason in a few words, for where the whole rack is told of it.
    """

    def __init__(
        self, sentence: str, health: Health = "failing", code: str = "agent_failed", brief: str = ""
    ) -> None:
        super().__init__(sentence)
        self.health, self.code, self.brief = health, code, brief or sentence


class AgentInDoubt(Indefinite):
    """The trooper was asked and has not answered yet; it may still."""


class Conflict(Definite):
    """What is asked for cannot be done as things stand (a second outage, no other candidate)."""


class PeerDown(Definite):
    """The other rack could not be reached; it has not heard of this."""


class PeerRefused(Definite):
    """The other rack answered, and its answer was no."""


class PeerInDoubt(Indefinite):
    """The other rack stopped answering after it was asked, or answered what cannot be understood."""


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


class AgentRuntime(Protocol):
    """A trooper's agent: its own context, on a model that all troopers share. Thread- and greenlet-safe."""

    @property
    def backend(self) -> str:
        """What carries the turns out: ``binary`` or ``embedded``."""
        ...

    @property
    def model(self) -> str:
        """The model that it thinks with."""
        ...

    def ask(self, session: str, text: str, seconds: float) -> AgentReply:
        """One turn in that session, within ``seconds`` in all. AgentFailed."""
        ...

    def plain(self, prompt: str, seconds: float) -> AgentReply:
        """The model alone, asked without personality, context or memory. AgentFailed."""
        ...

    def history(self, session: str) -> tuple[Utterance, ...]:
        """What was said in that session and still counts, oldest first. AgentFailed."""
        ...

    def remember(self, session: str, conversation: Iterable[Utterance]) -> None:
        """Put what was said elsewhere at the end of that session. AgentFailed."""
        ...

    def close(self) -> None:
        """End what still runs."""
        ...


class Peers(Protocol):
    """The other racks, each by its dashboard's URL. Thread- and greenlet-safe; no redirect is followed."""

    def hello(self, url: str) -> str:
        """The other rack's label, once it has shown that it has the same key. PeerDown, PeerRefused.

        Whatever is not a peer's own signed answer is a PeerRefused here: nothing was asked for yet.
        """
        ...

    def offer(self, url: str, offer: Offer, seconds: float) -> Told:
        """Have it take a trooper in, within ``seconds``; the phase is RESTORED.

        PeerDown and PeerRefused: it has not, and will not. PeerInDoubt: ask it.
        """
        ...

    def ask(self, url: str, snapshot_id: str) -> Told:
        """What became of a handoff there; if it never heard of it, it never will. PeerDown, PeerInDoubt."""
        ...

    def look(self, name: str, url: str) -> PeerSummary:
        """How it is, within a second and a half. A peer that cannot be seen is told of, not raised."""
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

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        """Change the desired count by one (``by`` 1 or -1), once for each ``mark``; the count afterwards.

        A mark that was seen before changes nothing, whatever else is asked for, and the count is the present
        one. The last 64 of a service are remembered with the count, over a restart too. One more fills the
        lowest free slot.

        With ``leaving`` (only with -1) the slot of that task is the one given up, whoever fills it now: the
        task may have ended already, as long as its slot's history tells of it. A slot that is not wanted any
        more is not given up twice: the mark is remembered and the count stays. Nobody else goes, where all
        tasks of the service are on one node; the engine on Swarm says what it can promise on several. It
        raises TaskElsewhere, before it changes anything, where the task runs beyond its reach: an order on
        the bus ends it, and then this is asked for again.

        ServiceUnknown, TaskUnknown (``leaving`` was never in the service, or is forgotten), TaskElsewhere,
        Conflict (beyond 1 to 20 replicas), EngineDown, EngineInDoubt.
        """
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
