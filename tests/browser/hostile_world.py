"""A board on which every text is hostile: ``python -m tests.browser.hostile_world PORT``.

What the bus may say is bounded and checked before it gets this far (clawbucket/codecs.py); this is what the
page must bear if that ever fails.
"""

from __future__ import annotations

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import argparse
from dataclasses import replace

from gevent.pywsgi import WSGIServer

from app.factory import create_app
from bench.board_generator import SERVICES, MadeBoard, made_up
from clawbucket import logs
from clawbucket.board import MAX_AGE
from clawbucket.core.board import Board, Trooper
from clawbucket.core.model import short_alias
from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.records import ChatMessage, Haiku

MARKUP = "<img src=x onerror=alert(1)>\"'&{{7*7}}<script>alert(2)</script>"
LONG = "Wx" * 5_000
"""10,000 characters without a place to break at."""
TURNED = (
    "\N{RIGHT-TO-LEFT OVERRIDE}rm -rf\N{RIGHT-TO-LEFT ISOLATE} \N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET}"
)
EMOJI = "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}\N{VARIATION SELECTOR-16}" * 100
STACKED = "Z" + "\N{COMBINING ACUTE ACCENT}\N{COMBINING GRAVE ACCENT}" * 100
PROTO = "__proto__"
EVIL = (MARKUP, LONG, TURNED, EMOJI, STACKED, PROTO)
IDS = (PROTO, "constructor", "toString", "hasOwnProperty", "valueOf", "prototype")
"""Task ids that name what every JavaScript object has."""


class HostileBoard(MadeBoard):
    """The made-up board, with every text replaced."""

    def board(self, max_age: float = MAX_AGE) -> Board:
        """This tick's."""
        made = super().board(max_age)
        squads, number = [], 0
        for squad in made.squads:
            replicas = []
            for trooper in squad.replicas:
                replicas.append(spoiled(trooper, number))
                number += 1
            squads.append(replace(squad, replicas=tuple(replicas), alias=short_alias(squad.service)))
        said = tuple(
            ChatMessage(f"m{n}", n, text, text, text, made.at, ("person", "picoclaw", text)[n % 3])
            for n, text in enumerate(EVIL)
        )
        peers = tuple(
            PeerSummary(text[:200], f"javascript:alert({n})", n % 2 == 0, text, 1, 2, text, n, "", text)
            for n, text in enumerate(EVIL)
        )
        return replace(
            made, rack=MARKUP, squads=tuple(squads), haiku=Haiku(LONG, TURNED, made.at), chat=said,
            peers=peers, engine_error=MARKUP,
        )  # fmt: skip


def spoiled(trooper: Trooper, number: int) -> Trooper:
    """A trooper of whom nothing is what it should be."""
    text = EVIL[number % len(EVIL)]
    return replace(
        trooper, id=IDS[number % len(IDS)], name=text, three_words=text, words_source=text, node=text,
        state=text, task_name=text, from_rack=text, color='red"><script>alert(3)</script>',
        frozen=number == 3,
    )  # fmt: skip


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.hostile_world", description=__doc__)
    parser.add_argument("port", type=int)
    chosen = parser.parse_args()
    logs.configure("hostile")
    services = made_up(len(IDS), share=0.5)
    services = replace(
        services, settings=replace(services.settings, label=MARKUP[:40], swarm_services=SERVICES)
    )
    services = replace(services, board=HostileBoard(services, len(IDS), share=0.5))
    WSGIServer(("127.0.0.1", chosen.port), create_app(services), log=None).serve_forever()


if __name__ == "__main__":
    main()
