"""Every memcached key: the only place a key is spelled, with its time to live and its size bound.

The bounds hold in both directions: no writer stores more, and a reader takes a longer value for poison
(memcached's own limit is 1 MiB an item). The names and times are the contract's (docs/protocol.md).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_DAY = 86_400
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\U0010ffff]")
LONGEST_KEY = 250
"""memcached's protocol.txt: a key is at most 250 bytes without control characters or whitespace."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key or, with ``{}`` in its ``name``, a family of keys.

    ``ttl`` is seconds, ``max_bytes`` the size bound of a value, ``cap`` the longest list where the
    value is one, ``doc`` what it is for.
    """

    name: str
    ttl: int
    max_bytes: int
    doc: str
    cap: int = 0

    def of(self, member: str = "") -> str:
        """The full key of one member. ValueError for a member that memcached could not store."""
        return _full(self.name, member)


@lru_cache(maxsize=65_536)
def _full(name: str, member: str) -> str:
    """The key, spelled and checked; remembered, since a board of thousands asks for the same ones."""
    key = name.format(member)
    if len(key) > LONGEST_KEY or _FORBIDDEN.search(key):
        raise ValueError(f"{key[:80]!r} cannot be a memcached key")
    return key


SNAPSHOT = Key(
    "clawbucket:engine:snapshot", 60, 512_000, "what the engine said last; by the rack manager alone"
)
LARGEST_SNAPSHOT = 8_000_000
"""Bytes of a snapshot's JSON: more than 10,000 tasks make. On the bus a long one is deflated (codecs.py)."""
LEADER = Key(
    "clawbucket:leader:{}", _DAY, 1_024, "a service's lease with its fencing epoch; add and cas alone"
)
OVERRIDE = Key(
    "clawbucket:manager:override:slot:{}", 300, 16, "the slot preferred as manager after an outage"
)
HEARTBEAT = Key("clawbucket:heartbeat:{}", 20, 4_096, "a trooper's beat, by task name; by that task alone")
SCORE = Key("clawbucket:rps:score:{}", _DAY, 32, "a trooper's score, by task id; by that task alone")
LAST_SEEN = Key(
    "clawbucket:rps:last_seen:{}", _DAY, 32, "the round a trooper scored last; by that task alone"
)
RPS_STATE = Key("clawbucket:rps:state", 20, 1_024, "the primary manager's throw of the running round")
RPS_INTERVAL = Key("clawbucket:rps:interval_seconds", _DAY, 16, "seconds between two rounds")
WORDS = Key("clawbucket:picoclaw:threewords:{}", 120, 1_024, "a trooper's three words, by task id")
WORDS_LATEST = Key(
    "clawbucket:picoclaw:threewords:latest", 120, 1_024, "the newest three words of any trooper"
)
HAIKU = Key("clawbucket:haiku:latest", 300, 2_048, "the primary manager's haiku")
CHAT = Key("clawbucket:chat:messages", _DAY, 131_072, "the last chat messages", cap=40)
ARM_EVENTS = Key("clawbucket:arm:events", _DAY, 393_216, "the last ARM events", cap=500)
REVOLT_EVENTS = Key("clawbucket:revolt:events", _DAY, 393_216, "the last handoffs between racks", cap=300)
EVENTS = Key("clawbucket:events", _DAY, 131_072, "what happened to the rack last", cap=200)
ORDERS = Key("clawbucket:orders:{}", _DAY, 32_768, "a task's inbox of orders, by task id", cap=64)
ACKS = Key("clawbucket:acks:{}", _DAY, 32_768, "what a task did with its orders; by that task alone", cap=64)
ANSWERS = Key(
    "clawbucket:agent:answers:{}", 600, 32_768, "a task's answers to what it was asked; by that task alone",
    cap=16,
)  # fmt: skip
CONVERSATION = Key(
    "clawbucket:agent:history:{}",
    _DAY,
    32_768,
    "the end of a task's conversation; by that task alone",
    cap=24,
)
HANDOFF = Key("clawbucket:revolt:handoff:{}", _DAY, 65_536, "one side's record of a handoff; by cas alone")
CAPTURE = Key(
    "clawbucket:revolt:capture:{}", 600, 49_152, "a frozen trooper's state, by handoff; by it alone"
)
CLAIM = Key("clawbucket:revolt:claim:{}", 120, 64, "the handoff that a task is in, by task id; add alone")
NONCE = Key("clawbucket:revolt:nonce:{}", 180, 8, "a signed request that was taken; add alone")
PEERS = Key("clawbucket:peers", 15, 262_144, "the other racks, as the primary's manager sees them", cap=8)
LOAD = Key("clawbucket:load", 15, 16_384, "the running load test's last seconds; by cas alone", cap=60)

ALL: tuple[Key, ...] = (
    SNAPSHOT, LEADER, OVERRIDE, HEARTBEAT, SCORE, LAST_SEEN, RPS_STATE, RPS_INTERVAL, WORDS, WORDS_LATEST,
    HAIKU, CHAT, ARM_EVENTS, REVOLT_EVENTS, EVENTS, ORDERS, ACKS, ANSWERS, CONVERSATION, HANDOFF, CAPTURE,
    CLAIM, NONCE, PEERS, LOAD,
)  # fmt: skip
