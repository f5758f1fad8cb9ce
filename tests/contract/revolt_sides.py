"""Both sides of POST /api/revolt: the rack that a trooper leaves, and who answers for the other one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clawbucket import keys
from clawbucket.handoff.offers import decode_offer
from tests.contract.peer_stand_in import Act, Handler, Server
from tests.contract.revolt_rig import ONE, TWO, RevoltRig
from tests.hive import PRIMARY

NOWHERE = "http://127.0.0.1:9"
"""The discard port, at which nobody listens."""


def leaving(tmp_path: Path) -> Callable[..., RevoltRig]:
    """Make the rack that a trooper is to leave."""

    def make(peer: str = NOWHERE, **more: Any) -> RevoltRig:
        return RevoltRig(tmp_path / "source", ONE, peer=peer, **more)

    return make


def revolt(rig: RevoltRig, task_id: str = "", service: str = PRIMARY, **more: Any) -> Any:
    """POST /api/revolt; the last of the service, where nobody else is named."""
    body = {"service": service, "task_id": task_id or rig.tasks()[-1], **more}
    return rig.client().post("/api/revolt", json=body)


def kind_of(handler: Handler) -> str:
    """What was asked: ``hello``, ``accept`` or, of one handoff, ``question``."""
    last = handler.path.rpartition("/")[2]
    return last if last in {"hello", "accept"} else "question"


def peer(**acts: Act) -> Act:
    """A rack with the same key that is called TWO, and does ``acts`` where it is asked that.

    Unless told otherwise it never heard of any handoff.
    """

    def act(handler: Handler) -> None:
        kind = kind_of(handler)
        if kind in acts:
            acts[kind](handler)
        elif kind == "hello":
            handler.say_signed(200, {"rack": TWO, "services": [PRIMARY]})
        else:
            says_of("REJECTED")(handler)

    return act


def says_of(phase: str) -> Act:
    """Tell that the handoff came to that."""

    def act(handler: Handler) -> None:
        told_phase = {
            "snapshot_id": handler.path.rpartition("/")[2], "phase": phase, "rack": TWO,
            "snapshot_path": "/x", "target_task_id": "t1" if phase == "RESTORED" else "",
        }  # fmt: skip
        handler.say_signed(200, told_phase)

    return act


def takes_it(handler: Handler) -> None:
    """Take the trooper in."""
    offer = decode_offer(handler.body)
    accepted = {
        "snapshot_id": offer.snapshot_id, "target_task_id": "t1", "snapshot_path": "/there/x.json",
        "rack": TWO,
    }  # fmt: skip
    handler.say_signed(201, accepted)


def kinds(server: Server) -> list[str]:
    """What the server was asked, in order."""
    return [re.sub(r"[0-9a-f]{32}", "<id>", path.rpartition("/")[2]) for _, path, _, _ in server.heard]


def unharmed(rig: RevoltRig, task_id: str) -> None:
    """The trooper is held by nothing, and goes on: it plays the rounds that come."""
    memory = rig.memory(task_id)
    before = memory.card.round
    assert memory.frozen == ""
    assert rig.claim(task_id) is None
    rig.hive.run(5)
    assert memory.card.round > before
    assert memory.frozen == ""
    replicas = rig.client().get("/api/swarm").get_json()["replicas"]
    assert [r["frozen"] or r["defected"] for r in replicas if r["id"] == task_id] == [False]
    rig.finish(1.0)
    assert rig.services.handoffs.registry.unsettled(PRIMARY) == []


def untouched(rig: RevoltRig, task_id: str) -> None:
    """Nobody so much as spoke to the trooper, and nothing was written down."""
    assert rig.hive.bus.get(keys.ORDERS.of(task_id)) is None
    assert not any(key.startswith((keys.HANDOFF.of(""), keys.CAPTURE.of(""))) for key in rig.hive.bus._items)
    assert not list(rig.directory.glob("*.json"))
    unharmed(rig, task_id)
