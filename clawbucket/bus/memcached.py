"""The Bus on memcached, over pymemcache's pool.

Every write waits for its answer (``noreply=False``): pymemcache's default of not waiting makes ``add``
return True to two callers for one key, which here would be two leaders (measured; docs/adr/0001).

A refused connection is definite: nothing left this process. Once a command has left, a timeout or a
cut connection is in doubt. A pooled connection that died while it lay idle looks like the latter, so
reads are asked a second time on a fresh connection; writes are not, whoever asked decides.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar, cast

from pymemcache.client.base import PooledClient
from pymemcache.exceptions import MemcacheError

from clawbucket.ports import BusDown, BusInDoubt, BusRefused, CasToken

T = TypeVar("T")


class MemcachedBus:
    """One memcached, by at most ``pool`` connections; each step of a call within ``timeout`` seconds.

    Thread- and greenlet-safe.
    """

    def __init__(self, host: str, port: int, *, timeout: float = 0.5, pool: int = 16) -> None:
        self._where = f"memcached at {host}:{port}"
        self._timeout = timeout
        self._turns = threading.BoundedSemaphore(pool)
        self._client = PooledClient(
            (host, port),
            connect_timeout=timeout,
            timeout=timeout,
            no_delay=True,
            max_pool_size=pool,
            default_noreply=False,
        )

    def get(self, key: str) -> bytes | None:
        """The value, or None."""
        return self._read(lambda: cast("bytes | None", self._client.get(key)))

    def get_many(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The values that exist, in one round trip."""
        wanted = list(dict.fromkeys(keys))
        return self._read(lambda: cast("dict[str, bytes]", self._client.get_many(wanted))) if wanted else {}

    def gets(self, key: str) -> tuple[bytes, CasToken] | None:
        """The value with its token, or None."""
        value, token = self._read(lambda: self._client.gets(key))
        return None if value is None else (value, CasToken(token))

    def set(self, key: str, value: bytes, ttl: int) -> None:
        """Store whatever was there."""
        if not self._write(lambda: self._client.set(key, value, expire=ttl, noreply=False)):
            raise BusRefused(f"{self._where} did not store {key}")

    def set_many(self, values: Mapping[str, tuple[bytes, int]]) -> None:
        """Each as ``set``; one round trip for each distinct ttl."""
        by_ttl: dict[int, dict[str, bytes]] = {}
        for key, (value, ttl) in values.items():
            by_ttl.setdefault(ttl, {})[key] = value
        for ttl, group in by_ttl.items():
            failed = self._write(partial(self._client.set_many, group, expire=ttl, noreply=False))
            if failed:
                raise BusRefused(f"{self._where} did not store {failed[0]}")

    def add(self, key: str, value: bytes, ttl: int) -> bool:
        """Store only where nothing is."""
        return bool(self._write(lambda: self._client.add(key, value, expire=ttl, noreply=False)))

    def cas(self, key: str, value: bytes, token: CasToken, ttl: int) -> bool:
        """Store only where nobody wrote since ``token``. pymemcache's None (key gone) is False here."""
        return bool(
            self._write(lambda: self._client.cas(key, value, bytes(token), expire=ttl, noreply=False))
        )

    def delete(self, key: str) -> bool:
        """Remove. False: nothing was there."""
        return bool(self._write(lambda: self._client.delete(key, noreply=False)))

    def ping(self) -> None:
        """Ask for the version: the cheapest command that memcached answers."""
        self._read(self._client.version)

    def close(self) -> None:
        """Give the connections back."""
        with contextlib.suppress(OSError, MemcacheError):
            self._client.close()

    def _read(self, ask: Callable[[], T]) -> T:
        try:
            return self._once(ask)
        except BusInDoubt:
            return self._once(ask)

    def _write(self, ask: Callable[[], T]) -> T:
        return self._once(ask)

    def _once(self, ask: Callable[[], T]) -> T:
        # pymemcache's pool raises where it is empty; here a caller waits for its turn, up to the deadline.
        if not self._turns.acquire(timeout=self._timeout):
            raise BusDown(f"{self._where} is too slow for what is asked of it: every connection is busy")
        try:
            return ask()
        except ConnectionRefusedError:
            raise BusDown(f"{self._where} refuses connections; is it running?") from None
        except OSError as error:
            raise BusInDoubt(f"{self._where} stopped answering ({error.strerror or error})") from error
        except MemcacheError as error:
            raise self._told(error) from error
        finally:
            self._turns.release()

    def _told(self, error: MemcacheError) -> BusRefused | BusInDoubt:
        """What a protocol-level error means: an answer of no, or a conversation cut in the middle."""
        said = str(error) or type(error).__name__
        if type(error).__name__ == "MemcacheUnexpectedCloseError":
            return BusInDoubt(f"{self._where} closed the connection in the middle")
        return BusRefused(f"{self._where} answered: {said[:200]}")
