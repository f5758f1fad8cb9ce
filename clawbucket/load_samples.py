"""The running load test's figures on the bus: its last seconds, gone by themselves soon after it ends.

A load generator tells any replica each second how it is doing. That is a picture of the moment and no
journal: nobody remembers it for the bus, and a sample that is lost is not missed.
"""

from __future__ import annotations

from clawbucket import codecs, keys
from clawbucket.codecs import Gate
from clawbucket.core.records import LoadSample
from clawbucket.ports import Bus, BusRefused

_ATTEMPTS = 4
"""Tries against other generators that write in the same moment."""


def append(bus: Bus, gate: Gate, sample: LoadSample) -> None:
    """Put the sample at the list's end; the oldest beyond the key's cap go.

    BusDown, BusInDoubt, BusRefused.
    """
    codec, key = codecs.LOAD, keys.LOAD.of()
    for _ in range(_ATTEMPTS):
        found = bus.gets(key)
        samples = (gate.read(codec, key, found[0]) or []) if found else []
        encoded = codec.encode([*samples, sample][-keys.LOAD.cap :])
        if found is None:
            stored = bus.add(key, encoded, keys.LOAD.ttl)
        else:
            stored = bus.cas(key, encoded, found[1], keys.LOAD.ttl)
        if stored:
            return
    raise BusRefused(f"{key}: {_ATTEMPTS} others wrote first, one after another; try again")
