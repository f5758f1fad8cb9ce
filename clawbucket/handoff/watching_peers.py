"""The other racks at a glance: asked by one trooper of the rack, however many people watch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from clawbucket import codecs, keys
from clawbucket.core.revolt import PeerSummary
from clawbucket.ports import Bus, Peers
from clawbucket.settings import Settings


class WatchingPeers:
    """Publish how each peer is, while ``leads`` says that this trooper manages the primary service."""

    name = "peers"
    every = 2.0

    def __init__(self, settings: Settings, bus: Bus, peers: Peers, leads: Callable[[], bool]) -> None:
        self._settings, self._bus, self._peers, self._leads = settings, bus, peers, leads
        self._labels: dict[str, str] = {}

    def tick(self, now: float) -> None:  # noqa: ARG002 - a behaviour is given the time
        """Look at each in turn, a second and a half at most."""
        there = self._settings.all_peers[: keys.PEERS.cap]
        if there and self._settings.service_name == self._settings.primary and self._leads():
            seen = [self._labelled(self._peers.look(peer.name, peer.url)) for peer in there]
            self._bus.set(keys.PEERS.of(), codecs.PEERS.encode(seen), keys.PEERS.ttl)

    def _labelled(self, seen: PeerSummary) -> PeerSummary:
        """With the label that it had when it was last reached: people know it by that."""
        if seen.reachable:
            self._labels[seen.url] = seen.label
        return replace(seen, label=seen.label or self._labels.get(seen.url, ""))
