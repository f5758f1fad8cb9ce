"""The troopers of the other racks, as this one's manager last saw them: what their tiles show. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.fanout import State
from clawbucket.core.callsign import color_of, name_of
from clawbucket.core.neighbours import PeerSummary, PeerTrooper


def troopers_of(peers: Sequence[PeerSummary]) -> Mapping[str, Sequence[State]]:
    """Each rack's troopers by its name, in the words of this rack's own (app/wire.py)."""
    return {peer.name: [_told(trooper) for trooper in peer.troopers] for peer in peers}


def circumstances(peers: Sequence[PeerSummary]) -> Mapping[str, State]:
    """By a rack's name what its section says beside the stream's record.

    ``more``: troopers that are not shown; ``last_seen``: the time of day at which a rack out of reach was as
    it is shown, "" where it never was seen or is reachable.
    """
    return {
        peer.name: {"more": peer.more, "last_seen": f"{peer.last_seen[11:19]} UTC" if peer.last_seen else ""}
        for peer in peers
    }


def _told(trooper: PeerTrooper) -> State:
    return {
        "id": trooper.id,
        "name": name_of(trooper.id),
        "color": color_of(trooper.id),
        "service": trooper.service,
        "alias": trooper.service,
        "slot": trooper.slot,
        "node": "",
        "state": trooper.state or "unknown",
        "freshness": trooper.freshness or "unknown",
        "arm": trooper.arm,
        "score": trooper.score,
        "three_words": trooper.words,
        "is_manager": trooper.is_manager,
        "frozen": trooper.frozen,
    }
