"""The other racks at a glance: asked by one trooper of the rack, however many people watch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from clawbucket import codecs, keys
from clawbucket.core.neighbours import PeerSummary
from clawbucket.ports import Bus, Peers
from clawbucket.settings import Settings


class WatchingPeers:
    """Publish how each peer is, while ``leads`` says that this trooper manages the primary service."""

    name = "peers"
    every = 2.0

    def __init__(self, settings: Settings, bus: Bus, peers: Peers, leads: Callable[[], bool]) -> None:
        self._settings, self._bus, self._peers, self._leads = settings, bus, peers, leads
        self._reached: dict[str, PeerSummary] = {}

    def tick(self, now: float) -> None:  # noqa: ARG002 - a behaviour is given the time
        """Look at each in turn, a second and a half at most."""
        there = self._settings.all_peers[: keys.PEERS.cap]
        if there and self._settings.service_name == self._settings.primary and self._leads():
            seen = [self._remembered(self._peers.look(peer.name, peer.url)) for peer in there]
            self._bus.set(keys.PEERS.of(), codecs.PEERS.encode(seen), keys.PEERS.ttl)

    def _remembered(self, seen: PeerSummary) -> PeerSummary:
        """With the label and the troopers that it had when it was last reached, and when that was."""
        if seen.reachable:
            self._reached[seen.url] = seen
            return seen
        last = self._reached.get(seen.url)
        if last is None:
            return seen
        return replace(seen, label=last.label, troopers=last.troopers, more=last.more, last_seen=last.at)
