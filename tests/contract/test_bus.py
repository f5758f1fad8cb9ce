"""The Bus port: one suite on the real memcached and on the memory bus."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest

from bench.rack import free_port
from clawbucket.bus.memcached import MemcachedBus
from clawbucket.bus.memory import MemoryBus
from clawbucket.clock import SystemClock
from clawbucket.ports import Bus, BusDown, BusInDoubt, BusRefused
from tests.conftest import Memcached


@pytest.fixture(params=["memcached", "memory"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    """Each implementation in turn."""
    if request.param == "memory":
        yield MemoryBus(SystemClock())
        return
    server: Memcached = request.getfixturevalue("memcached")
    real = MemcachedBus("127.0.0.1", server.port)
    yield real
    real.close()


@pytest.fixture
def key() -> str:
    """A key that nobody used before."""
    return f"test:{uuid.uuid4().hex}"


def test_what_was_set_is_read(bus, key):
    """What was set is read back byte for byte."""
    value = bytes(range(256))
    bus.set(key, value, 60)
    assert bus.get(key) == value


def test_nothing_is_none(bus, key):
    """A key that was never written is None to get and gets, and absent from get_many."""
    assert bus.get(key) is None
    assert bus.gets(key) is None
    assert bus.get_many([key]) == {}


def test_get_many_returns_what_exists(bus, key):
    """get_many returns the keys that exist, each once, and takes no keys at all."""
    bus.set(f"{key}1", b"1", 60)
    assert bus.get_many([f"{key}1", f"{key}2", f"{key}1"]) == {f"{key}1": b"1"}
    assert bus.get_many([]) == {}


def test_set_many_sets_each_with_its_own_ttl(bus, key):
    """set_many stores each value."""
    bus.set_many({f"{key}1": (b"1", 60), f"{key}2": (b"2", 120)})
    assert bus.get_many([f"{key}1", f"{key}2"]) == {f"{key}1": b"1", f"{key}2": b"2"}


def test_add_stores_only_where_nothing_is(bus, key):
    """The second add of a key is told False and changes nothing."""
    assert bus.add(key, b"first", 60) is True
    assert bus.add(key, b"second", 60) is False
    assert bus.get(key) == b"first"


def test_only_one_of_many_adds_wins(bus, key):
    """Of twenty adds at once exactly one is told True: what leadership stands on."""
    told: list[bool] = []
    start = threading.Barrier(20)

    def add(number: int) -> None:
        start.wait()
        told.append(bus.add(key, b"%d" % number, 60))

    threads = [threading.Thread(target=add, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told.count(True) == 1


def test_cas_stores_what_nobody_wrote_since(bus, key):
    """A cas with the token of the current version stores."""
    bus.set(key, b"1", 60)
    _, token = bus.gets(key)
    assert bus.cas(key, b"2", token, 60) is True
    assert bus.get(key) == b"2"


def test_cas_with_an_old_token_is_refused(bus, key):
    """A cas after anybody's write, even of the same bytes, is told False and changes nothing."""
    bus.set(key, b"1", 60)
    _, token = bus.gets(key)
    bus.set(key, b"1", 60)
    assert bus.cas(key, b"2", token, 60) is False
    assert bus.get(key) == b"1"


def test_cas_on_what_is_gone_is_refused(bus, key):
    """A cas on a key that was deleted is told False, and the key stays gone."""
    bus.set(key, b"1", 60)
    _, token = bus.gets(key)
    bus.delete(key)
    assert bus.cas(key, b"2", token, 60) is False
    assert bus.get(key) is None


def test_delete_tells_whether_anything_was_there(bus, key):
    """Delete is True once, then False."""
    bus.set(key, b"1", 60)
    assert bus.delete(key) is True
    assert bus.delete(key) is False


def test_a_value_beyond_a_mebibyte_is_refused(bus, key):
    """A value larger than memcached's item limit raises BusRefused: definite."""
    with pytest.raises(BusRefused):
        bus.set(key, b"x" * (2 * 1024 * 1024), 60)


def test_a_key_that_cannot_be_one_is_refused(bus):
    """A key with a space raises BusRefused, not a protocol error on a shared connection."""
    with pytest.raises(BusRefused):
        bus.set("two words", b"", 60)


@pytest.mark.slow
def test_a_value_is_gone_after_its_ttl(bus, key):
    """A value written with a ttl of 2 s is gone within 3.5 s."""
    bus.set(key, b"1", 2)
    assert bus.get(key) == b"1"
    poll = threading.Event()
    for _ in range(35):
        if bus.get(key) is None:
            return
        poll.wait(0.1)
    pytest.fail("still there")


def test_ping_returns(bus):
    """Ping returns while the bus answers."""
    bus.ping()


def test_a_refused_connection_is_definite():
    """Where nobody listens, every call raises BusDown: nothing left."""
    nobody = MemcachedBus("127.0.0.1", free_port(), timeout=0.5)
    with pytest.raises(BusDown):
        nobody.add("k", b"v", 60)
    with pytest.raises(BusDown):
        nobody.get("k")


@pytest.mark.slow
def test_a_silent_server_leaves_a_write_in_doubt():
    """A server that takes the command and never answers raises BusInDoubt within the deadline."""
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = MemcachedBus("127.0.0.1", listener.getsockname()[1], timeout=0.3)
        with pytest.raises(BusInDoubt):
            silent.add("k", b"v", 60)
        silent.close()


def test_reads_go_on_over_a_restart(memcached):
    """Pooled connections that died with the old server cost a read nothing."""
    real = MemcachedBus("127.0.0.1", memcached.port)
    real.set("before", b"1", 60)
    memcached.kill()
    with pytest.raises((BusDown, BusInDoubt)):
        real.get("before")
    memcached.start()
    assert real.get("before") is None
    real.close()
