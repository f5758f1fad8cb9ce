"""The other racks of the browser's world, and a past of handoffs with them."""

from __future__ import annotations

import time
from dataclasses import replace

from clawbucket import codecs
from clawbucket.core.neighbours import PeerSummary, PeerTrooper
from clawbucket.core.revolt import Offer, Phase, RevoltEvent, Told
from clawbucket.ports import PeerDown, PeerRefused
from clawbucket.settings import Peer
from tests.hive import PRIMARY, SECOND, Hive

HERE, THERE = "Machine Rack 1", "Machine Rack 2"
EVIL = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
"""What a hostile rack calls itself, and gives as its reason."""
TAKES = 1.5
"""Seconds in which the other rack takes a trooper over: long enough to see it frozen."""
ARRIVED = "t01001".ljust(25, "0")
"""The task that a trooper goes on in over there."""
UNWANTED = "a03003".ljust(25, "0")
"""Whom the other racks never take: the primary's third."""
FROZEN = "f" * 32
"""The handoff that a trooper is held for from the start."""
LEADER, OTHER = "b01001".ljust(25, "0"), "b02002".ljust(25, "0")
"""Two of the other rack's troopers."""
THEIRS = (
    PeerTrooper(LEADER, "clawbucket", 1, "running", "alive", "on", 30, "iron fog ready", is_manager=True),
    PeerTrooper(OTHER, "clawbucket-b", 1, "starting", "suspect", "off", 12, "<b>soft</b> rain", frozen=True),
)
PEERS = (
    PeerSummary(
        "beta", "http://127.0.0.1:28080", True, THERE, 3, 3, "Sly Fox", 42, "", troopers=THEIRS, more=1
    ),
    PeerSummary(
        "gamma", "http://127.0.0.1:38080", False, "", 0, 0, "", 0, "",
        problem="nothing answers at http://127.0.0.1:38080 (connection refused)",
    ),
    PeerSummary("evil", "javascript:alert(1)", False, EVIL, 1, 2, EVIL, -7, "", problem=EVIL),
)  # fmt: skip


class Neighbours:
    """The way to them (ports.Peers): the first takes in whom it is offered, but one."""

    def __init__(self, count: int) -> None:
        self.known = PEERS[:count]
        self.looks = 0

    @property
    def settings(self) -> tuple[Peer, ...]:
        """They as the settings name them."""
        return tuple(Peer(peer.name, peer.url) for peer in self.known)

    def hello(self, url: str) -> str:
        """Its label, where it can be reached."""
        there = self._at(url)
        if not there.reachable:
            raise PeerDown(there.problem)
        return there.label

    def offer(self, url: str, offer: Offer, seconds: float) -> Told:  # noqa: ARG002 - the port's form
        """Take the trooper in, in a while."""
        if offer.source_task_id == UNWANTED:
            raise PeerRefused(f"nobody wants that one on {THERE}: <b>no</b>")
        time.sleep(TAKES)
        return Told(Phase.RESTORED, self._at(url).label, ARRIVED, "/tmp/there.json")  # noqa: S108 - not opened

    def ask(self, url: str, snapshot_id: str) -> Told:  # noqa: ARG002 - the port's form
        """It never heard of it."""
        return Told(Phase.REJECTED)

    def look(self, name: str, url: str) -> PeerSummary:  # noqa: ARG002 - the port's form
        """How it is: each time with another score."""
        self.looks += 1
        peer = self._at(url)
        first = tuple(replace(trooper, score=self.looks) for trooper in peer.troopers[:1])
        return replace(peer, score=self.looks, troopers=first + peer.troopers[1:])

    def _at(self, url: str) -> PeerSummary:
        return next(peer for peer in self.known if peer.url == url)

    def seed(self, hive: Hive) -> None:
        """Give the rack a past: troopers that came, one that is held, one that went, and one that stayed.

        Where a hostile rack is near it has had a hand in it, too.
        """
        mine = [t.id for t in hive.tasks.values() if t.service == SECOND]
        held, came, gone = (hive.troopers[task_id].memory for task_id in mine)
        came.from_rack = EVIL[:40] if len(self.known) > 2 else THERE
        came.handoff = "c" * 32
        held.frozen = gone.frozen = FROZEN
        elsewhere = "x01001".ljust(25, "0")
        past = [
            ("a", elsewhere, THERE, HERE, "ACCEPTED", ""),
            ("a", elsewhere, THERE, HERE, "REJECTED", "no new task took the trooper over in time"),
            ("b", elsewhere, THERE, HERE, "ACCEPTED", ""),
            ("b", elsewhere, THERE, HERE, "RESTORED", ""),
            ("d", mine[2], HERE, THERE, "PREPARED", ""),
            ("d", mine[2], HERE, THERE, "IN_DOUBT", "the connection broke after the offer had left"),
            ("d", mine[2], HERE, THERE, "COMMITTED", ""),
            ("f", mine[0], HERE, EVIL if len(self.known) > 2 else THERE, "PREPARED", ""),
        ]
        if len(self.known) > 2:
            past.append(("f", mine[0], HERE, EVIL, "IN_DOUBT", EVIL))
        start = hive.clock.wall_ms()
        hive.bus.set(
            codecs.REVOLT_EVENTS.key.of(),
            codecs.REVOLT_EVENTS.encode(
                [
                    RevoltEvent(
                        id=f"{letter * 32}-{phase.lower()}", seq=start + number, at=hive.clock.iso(),
                        source_task_id=source, target_task_id=mine[1] if letter == "b" else "",
                        service=SECOND if letter in "df" else PRIMARY, source_rack=left, target_rack=went,
                        snapshot_id=letter * 32, phase=Phase(phase), reason=why,
                    )
                    for number, (letter, source, left, went, phase, why) in enumerate(past)
                ]
            ),
            codecs.REVOLT_EVENTS.key.ttl,
        )  # fmt: skip
