"""A leader's write: a compare-and-swap that never replaces what a later leader wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from clawbucket.codecs import Codec, Gate
from clawbucket.ports import Bus


class Epoched(Protocol):
    """A leader-owned value: it carries the epoch of who wrote it."""

    @property
    def epoch(self) -> int:
        """The writer's fencing epoch."""
        ...


V = TypeVar("V", bound=Epoched)


def write(bus: Bus, gate: Gate, codec: Codec[V], make: Callable[[V | None], V]) -> V | None:
    """Replace the value by ``make(current)``; what was stored, or None when it must not or did not land.

    It must not when the current value's epoch is higher. ``current`` is None where there is none, or
    poison, which is overwritten.
    """
    key = codec.key.of()
    found = bus.gets(key)
    current = gate.read(codec, key, found[0]) if found else None
    value = make(current)
    if current is not None and current.epoch > value.epoch:
        return None
    encoded = codec.encode(value)
    if found is None:
        stored = bus.add(key, encoded, codec.key.ttl)
    else:
        stored = bus.cas(key, encoded, found[1], codec.key.ttl)
    return value if stored else None
