"""How each record looks on the bus, and the gate through which everything from the bus comes in.

The bus is untrusted: whatever is there is measured against its key's bound, parsed, checked against its
record's schema (pydantic, strict) and for plausible numbers. What fails is *poison*: it counts as
absent, and costs one log line for each distinct value, not a loop.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from clawbucket import keys
from clawbucket.core.agent import Utterance
from clawbucket.core.election import NO_SLOT
from clawbucket.core.events import RackEvent
from clawbucket.core.model import Snapshot, Task
from clawbucket.core.neighbours import PeerSummary
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
from clawbucket.core.revolt import Handoff, RevoltEvent, TrooperState
from clawbucket.ports import Clock

T = TypeVar("T")
log = structlog.get_logger(__name__)

_COUNTERS = frozenset({"epoch", "renewal", "round", "seq"})
_DAY_MS = 86_400_000
_LARGEST = 10**9
_LONGEST_TEXT = 1_000
_REMEMBERED_POISON = 1_024
DEFLATED_FROM = 200_000
"""Bytes of a snapshot's JSON, some 450 tasks: far above what a rack of 20 replicas a service has."""
_WORTH_REMEMBERING = 20_000
"""Bytes of a snapshot's JSON from which on the last one is kept for comparison."""
_AFTER_HEAD = b',"engine":'


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
            raise ValueError(_first_of(error)) from None


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


class SnapshotCodec(Codec[Snapshot]):
    """The snapshot: plain JSON while it is small, deflated (RFC 1950) where thousands of tasks make it large.

    JSON begins with a brace and zlib's stream never does, so a reader sees which it has. ``plain`` is the
    form without deflation, for the rack manager's HTTP API.
    """

    def __init__(self) -> None:
        super().__init__(Snapshot, keys.SNAPSHOT)
        self._last: tuple[bytes, Snapshot] | None = None

    def encode(self, value: Snapshot) -> bytes:
        """The value as it goes on the bus."""
        return packed(self.plain(value))

    def plain(self, value: Snapshot) -> bytes:
        """The value as JSON."""
        return orjson.dumps(value)

    def decode(self, raw: bytes) -> Snapshot:
        """The value behind the bytes of either form. ValueError with one sentence when they are not such."""
        if not raw.startswith(b"{"):
            if len(raw) > self.key.max_bytes:
                raise ValueError(f"{len(raw)} bytes, at most {self.key.max_bytes} are allowed")
            raw = _inflated(raw)
        if len(raw) > keys.LARGEST_SNAPSHOT:
            raise ValueError(f"{len(raw)} bytes, at most {keys.LARGEST_SNAPSHOT} are allowed")
        return self._decoded(raw)

    def _decoded(self, raw: bytes) -> Snapshot:
        """Parsed anew only where more has changed than the number and the time.

        Every second everybody is told that all is as it was; of a thousand tasks that takes 20 ms to read.
        The fields ``rack``, ``seq`` and ``at`` come before ``engine``. No text can hold that name's quotes
        unescaped, so the first place where they stand is the field.
        """
        head, mark, tail = raw.partition(_AFTER_HEAD)
        last = self._last
        if last is not None and mark and tail == last[0]:
            try:
                told = self._parsed(head + _AFTER_HEAD + b'""}')
            except ValueError:
                return self._parsed(raw)  # not the form in which it is written here: read it whole
            return replace(last[1], rack=told.rack, seq=told.seq, at=told.at)
        value = self._parsed(raw)
        # What is here once stays here as long as this process, so small ones, which are read at once, do not.
        self._last = (tail, value) if mark and len(raw) > _WORTH_REMEMBERING else None
        return value

    def _parsed(self, raw: bytes) -> Snapshot:
        try:
            return self._adapter.validate_json(raw, strict=True)
        except ValidationError as error:
            raise ValueError(_first_of(error)) from None


def packed(plain: bytes) -> bytes:
    """JSON as it is, or deflated where it is long."""
    return plain if len(plain) <= DEFLATED_FROM else zlib.compress(plain, level=1)


def _inflated(raw: bytes) -> bytes:
    """ValueError: not deflated, or to more than a snapshot may have."""
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(raw, keys.LARGEST_SNAPSHOT)
    except zlib.error as error:
        raise ValueError(f"neither JSON nor deflated ({error})") from None
    if stream.unconsumed_tail or not stream.eof:
        raise ValueError(f"more than {keys.LARGEST_SNAPSHOT} bytes once it is inflated, or cut short")
    return plain


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "value"
    return f"{where}: {first['msg']}"


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    if isinstance(value, dict):
        return {names.get(name, name): item for name, item in value.items()}
    return value


PUBLISHER = "leader-manager"
"""Who throws, as the contract has it in every round."""

SNAPSHOT = SnapshotCodec()
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
        self._passed: tuple[Task, ...] = ()

    def read(self, codec: Codec[T], key: str, raw: bytes | None) -> T | None:
        """The value, or None where there is none or it is poison (logged once)."""
        if raw is None:
            return None
        try:
            value = codec.decode(raw)
            if isinstance(value, Snapshot):
                self._plausible_snapshot(value)
            else:
                self._plausible(value)
        except ValueError as error:
            self._report(key, raw, str(error))
            return None
        return value

    def reader(self, codec: Codec[T], key: str) -> Reader[T]:
        """A ``read`` of one key that remembers its last answer."""
        return Reader(self, codec, key)

    def _plausible_snapshot(self, value: Snapshot) -> None:
        """Only tasks that did not pass as they are are looked at: of thousands few change at once."""
        if value.tasks and value.tasks is self._passed:  # the codec gives the very tasks of before
            self._plausible(replace(value, tasks=(), ended={}))
            return
        passed = {task.id: task for task in self._passed}
        fresh = tuple(task for task in value.tasks if passed.get(task.id) != task)
        self._plausible(replace(value, tasks=fresh))
        self._passed = value.tasks

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
