"""How long a trooper takes between the two racks that ``./claw racks --docker`` runs on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from bench.figures import Figure, percentile
from bench.rack import ROOT
from bench.rack_http import RackHttp
from bench.revolt import handed_over, is_calm
from clawbucket.cli.refusal import Refusal

_PORTS = {"RACK_1_PORT": "18080", "RACK_2_PORT": "28080"}
"""The variables of deploy-racks.sh that say where the dashboards are, and their defaults."""


def measure(handoffs: int = 10, racks: tuple[RackHttp, RackHttp] | None = None) -> list[Figure]:
    """Hand troopers over one after another, from each side in turn. Refusal where no racks run."""
    both = racks or _deployed()
    if not all(map(is_calm, both)):
        raise Refusal(
            f"{' and '.join(rack.url for rack in both)} are not two racks that run in full; "
            "see ./claw racks status --docker"
        )
    seconds, refused = [], 0
    for number in range(handoffs):
        taken, answered = handed_over(both[number % 2], both, number // 2)
        seconds.append(taken)
        refused += not answered
    return [
        Figure("trooper changes Docker racks, p50", percentile(seconds, 0.50), "s", raw=seconds),
        Figure("trooper changes Docker racks, slowest", max(seconds), "s", raw=seconds),
        Figure(f"of {handoffs} handoffs not answered 202", refused, "", raw=[refused]),
    ]


def _deployed() -> tuple[RackHttp, RackHttp]:
    """The racks of deploy-racks.sh, which keeps their token. Refusal: it has not made any here."""
    home = Path(os.environ.get("CLAWBUCKET_HOME") or ROOT / ".claw")
    place = home / f"{os.environ.get('RACKS_PREFIX', '')}racks-docker" / "token"
    try:
        token = place.read_text().strip()
    except OSError:
        raise Refusal("no racks run on Docker here; start two with ./claw racks --docker") from None
    one, two = (f"http://127.0.0.1:{os.environ.get(name) or port}" for name, port in _PORTS.items())
    return RackHttp(one, token), RackHttp(two, token)
