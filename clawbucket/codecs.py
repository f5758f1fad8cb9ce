"""How each record looks on the bus, and the gate through which everything from the bus comes in.

The bus is untrusted: whatever is there is measured against its key's bound, parsed, checked against its
record's schema (pydantic, strict) and for plausible numbers. What fails is *poison*: it counts as
absent, and costs one log line for each distinct value, not a loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from clawbucket import keys
from clawbucket.core.agent import Utterance
from clawbucket.core.election import NO_SLOT
from clawbucket.core.events import RackEvent
from clawbucket.core.model import Snapshot
from clawbucket.core.records import (
    Ack,
    Answer,
    ArmEvent,
    ChatMessage,
    Haiku,
    Heartbeat,
    Lease,
    LoadSample,
    Order,
    Throw,
    Words,
)
from clawbucket.core.revolt import Handoff, PeerSummary, RevoltEvent, TrooperState
from clawbucket.ports import Clock

T = TypeVar("T")
log = structlog.get_logger(__name__)

_COUNTERS = frozenset({"epoch", "renewal", "round", "seq"})
_DAY_MS = 86_400_000
_LARGEST = 10**9
_LONGEST_TEXT = 1_000
_REMEMBERED_POISON = 1_024


class Codec(Generic[T]):
    """One record's form on the bus.

    ``key`` gives the size bound; ``wire_names`` renames fields whose contract name Python reserves;
    ``constants`` are fields that the contract wants and that always say the same.
    """

    def __init__(
        self,
        shape: Any,
        key: keys.Key,
        wire_names: dict[str, str] | None = None,
        constants: dict[str, str] | None = None,
    ) -> None:
        self.key = key
        self._adapter: TypeAdapter[T] = TypeAdapter(shape)
        self._wire_names = wire_names or {}
        self._constants = constants or {}

    def encode(self, value: T) -> bytes:
        """The value as JSON bytes."""
        if not self._wire_names:
            return orjson.dumps(value)
        told = _renamed(orjson.loads(orjson.dumps(value)), self._wire_names)
        return orjson.dumps({**told, **self._constants} if self._constants else told)

    def decode(self, raw: bytes) -> T:
        """The value behind the bytes. ValueError with one sentence when they are not such a value."""
        if len(raw) > self.key.max_bytes:
            raise ValueError(f"{len(raw)} bytes, at most {self.key.max_bytes} are allowed")
        if self._wire_names:
            back = {wire: name for name, wire in self._wire_names.items()}
            raw = orjson.dumps(_renamed(orjson.loads(raw), back))
        try:
            return self._adapter.validate_json(raw, strict=True)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "value"
            raise ValueError(f"{where}: {first['msg']}") from None


class Number(Codec[int]):
    """A whole number as plain decimal text, the form that the contract's counters have."""

    def __init__(self, key: keys.Key, low: int, high: int) -> None:
        super().__init__(int, key)
        self._low, self._high = low, high

    def encode(self, value: int) -> bytes:
        """Decimal digits."""
        return b"%d" % value

    def decode(self, raw: bytes) -> int:
        """The number. ValueError when it is none, or out of its range."""
        if len(raw) > self.key.max_bytes or not raw.removeprefix(b"-").isdigit():
            raise ValueError("not a whole number in decimal digits")
        if not self._low <= int(raw) <= self._high:
            raise ValueError(f"{int(raw)} is not between {self._low} and {self._high}")
        return int(raw)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, dict):
        return {names.get(name, name): item for name, item in value.items()}
    return value


PUBLISHER = "leader-manager"
"""Who throws, as the contract has it in every round."""

SNAPSHOT = Codec[Snapshot](Snapshot, keys.SNAPSHOT)
LEASE = Codec[Lease](Lease, keys.LEADER)
HEARTBEAT = Codec[Heartbeat](Heartbeat, keys.HEARTBEAT)
THROW = Codec[Throw](Throw, keys.RPS_STATE, {"by": "from"}, {"publisher": PUBLISHER})
WORDS = Codec[Words](Words, keys.WORDS)
HAIKU = Codec[Haiku](Haiku, keys.HAIKU)
CHAT = Codec[list[ChatMessage]](list[ChatMessage], keys.CHAT, {"sender": "from"})
ARM_EVENTS = Codec[list[ArmEvent]](list[ArmEvent], keys.ARM_EVENTS)
ORDERS = Codec[list[Order]](list[Order], keys.ORDERS)
ACKS = Codec[list[Ack]](list[Ack], keys.ACKS)
ANSWERS = Codec[list[Answer]](list[Answer], keys.ANSWERS)
REVOLT_EVENTS = Codec[list[RevoltEvent]](list[RevoltEvent], keys.REVOLT_EVENTS)
EVENTS = Codec[list[RackEvent]](list[RackEvent], keys.EVENTS, {"before": "from", "after": "to"})
HANDOFF = Codec[Handoff](Handoff, keys.HANDOFF)
CAPTURE = Codec[TrooperState](TrooperState, keys.CAPTURE)
PEERS = Codec[list[PeerSummary]](list[PeerSummary], keys.PEERS)
LOAD = Codec[list[LoadSample]](list[LoadSample], keys.LOAD)
CONVERSATION = Codec[list[Utterance]](list[Utterance], keys.CONVERSATION)
SCORE = Number(keys.SCORE, -_LARGEST, _LARGEST)
LAST_SEEN = Number(keys.LAST_SEEN, 0, 2**53 - 1)
INTERVAL = Number(keys.RPS_INTERVAL, 2, 120)
OVERRIDE = Number(keys.OVERRIDE, NO_SLOT, 1_000_000)


class Gate:
    """What reads the bus reads through here. Greenlet-safe; one for a program.

    Counters (epoch, renewal, round, seq) are plausible up to this machine's unix milliseconds plus a
    day: an honest one starts at most there, and a hostile one can therefore never use up the numbers
    after it. This is a bound on garbage, not an order between machines.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known_poison: OrderedDict[bytes, None] = OrderedDict()

    def read(self, codec: Codec[T], key: str, raw: bytes | None) -> T | None:
        """The value, or None where there is none or it is poison (logged once)."""
        if raw is None:
            return None
        try:
            value = codec.decode(raw)
            self._plausible(value)
        except ValueError as error:
            self._report(key, raw, str(error))
            return None
        return value

    def reader(self, codec: Codec[T], key: str) -> Reader[T]:
        """A ``read`` of one key that remembers its last answer."""
        return Reader(self, codec, key)

    def _plausible(self, value: object) -> None:
        latest = self._clock.wall_ms() + _DAY_MS
        for name, number in _leaves(value):
            if isinstance(number, str):
                if len(number) > _LONGEST_TEXT:
                    raise ValueError(
                        f"{name} has {len(number)} characters, at most {_LONGEST_TEXT} are allowed"
                    )
            elif name in _COUNTERS:
                if not 0 <= number <= latest:
                    raise ValueError(f"{name} {number} is not a plausible counter")
            elif abs(number) > _LARGEST:
                raise ValueError(f"{name} {number} is beyond {_LARGEST}")

    def _report(self, key: str, raw: bytes, reason: str) -> None:
        digest = blake2b(raw, key=key.encode()[:64], digest_size=16).digest()
        if digest in self._known_poison:
            self._known_poison.move_to_end(digest)
            return
        self._known_poison[digest] = None
        while len(self._known_poison) > _REMEMBERED_POISON:
            self._known_poison.popitem(last=False)
        log.warning("poison on the bus", key=key, reason=reason[:200], size=len(raw))


class Reader(Generic[T]):
    """Reads one key through a gate, and parses again only when the bytes have changed."""

    def __init__(self, gate: Gate, codec: Codec[T], key: str) -> None:
        self._gate, self._codec, self._key = gate, codec, key
        self._last: tuple[bytes | None, T | None] = (None, None)

    def __call__(self, raw: bytes | None) -> T | None:
        """The value, or None where there is none or it is poison."""
        if raw is None:
            return None
        if raw != self._last[0]:
            self._last = (raw, self._gate.read(self._codec, self._key, raw))
        return self._last[1]


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every number and text inside, with the name of the field that holds it."""
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | str):
        yield name, value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item, name)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield name, key
            yield from _leaves(item, name)
    elif is_dataclass(value):
        for spec in fields(value):
            yield from _leaves(getattr(value, spec.name), spec.name)
