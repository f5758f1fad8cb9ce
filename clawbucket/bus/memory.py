"""The Bus in one process's memory: what memcached means, without a network.

Held to the same contract suite as the real one (tests/contract/test_bus.py). Time comes from the Clock
that it is given, so a test decides when a value expires. A test can also cut it off (``down``), lose
answers (``in_doubt``) or wipe it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clawbucket.keys import LONGEST_KEY
from clawbucket.ports import BusDown, BusInDoubt, BusRefused, CasToken, Clock

_LARGEST = 1024 * 1024
"""memcached's default ``-I``: an item of more than 1 MiB is refused."""


@dataclass(frozen=True, slots=True)
class _Item:
    value: bytes
    token: CasToken
    dies_at: float | None


class MemoryBus:
    """A Bus whose every call is atomic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._items: dict[str, _Item] = {}
        self._tokens = itertools.count(1)
        self.down = False
        self.in_doubt = 0

    def get(self, key: str) -> bytes | None:
        """The value, or None."""
        with self._lock:
            self._reach(key)
            item = self._live(key)
            return item.value if item else None

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values that exist."""
        found = {key: self.get(key) for key in dict.fromkeys(keys)}
        return {key: value for key, value in found.items() if value is not None}

    def gets(self, key: str) -> tuple[bytes, CasToken] | None:
        """The value with its token, or None."""
        with self._lock:
            self._reach(key)
            item = self._live(key)
            return (item.value, item.token) if item else None

    def set(self, key: str, value: bytes, ttl: int) -> None:
        """Store whatever was there."""
        with self._lock:
            self._reach(key)
            self._store(key, value, ttl)
            self._answer()

    def set_many(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        """Each as ``set``."""
        for key, (value, ttl) in values.items():
            self.set(key, value, ttl)

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        """Store only where nothing is."""
        with self._lock:
            self._reach(key)
            free = self._live(key) is None
            if free:
                self._store(key, value, ttl)
            self._answer()
            return free

    def cas(self, key: str, value: bytes, token: CasToken, ttl: int) -> bool:
        """Store only where nobody wrote since ``token``."""
        with self._lock:
            self._reach(key)
            item = self._live(key)
            same = item is not None and item.token == token
            if same:
                self._store(key, value, ttl)
            self._answer()
            return same

    def delete(self, key: str) -> bool:
        """Remove. False: nothing was there."""
        with self._lock:
            self._reach(key)
            there = self._live(key) is not None
            self._items.pop(key, None)
            self._answer()
            return there

    def ping(self) -> None:
        """Return unless cut off."""
        with self._lock:
            self._reach("ping")

    def wipe(self) -> None:
        """What a memcached that was killed and started again remembers: nothing."""
        with self._lock:
            self._items.clear()

    def _live(self, key: str) -> _Item | None:
        item = self._items.get(key)
        if item and item.dies_at is not None and item.dies_at <= self._clock.monotonic():
            del self._items[key]
            return None
        return item

    def _store(self, key: str, value: bytes, ttl: int) -> None:
        if len(value) > _LARGEST:
            raise BusRefused(f"{key}: {len(value)} bytes are more than the {_LARGEST} that an item may have")
        dies_at = self._clock.monotonic() + ttl if ttl else None
        self._items[key] = _Item(value, CasToken(b"%d" % next(self._tokens)), dies_at)

    def _reach(self, key: str) -> None:
        if self.down:
            raise BusDown("the memory bus was cut off")
        if len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable() or " " in key or not key:
            raise BusRefused(f"{key[:80]!r} cannot be a key")

    def _answer(self) -> None:
        """Lose this answer if one is to be lost: the write took place, and nobody hears of it."""
        if self.in_doubt > 0:
            self.in_doubt -= 1
            raise BusInDoubt("the memory bus lost its answer")
