"""A rack that takes part in handoffs: a replica's real HTTP side on a whole swarm in one process.

Nothing runs beside the test: while a request waits for something, it lets the swarm's time go on itself.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from app.factory import create_app
from app.services import Services, assemble
from clawbucket import keys
from clawbucket.core.agent import Utterance
from clawbucket.core.model import ArmState
from clawbucket.core.revolt import Handoff, Offer, TrooperState
from clawbucket.handoff.finishing import Finishing
from clawbucket.handoff.offers import encode_offer
from clawbucket.handoff.signing import ANSWER_HEADER, sign, verify_answer
from clawbucket.loops.memory import Memory
from clawbucket.ports import AgentRuntime, ClawError
from clawbucket.settings import Peer, Settings
from tests.hive import PRIMARY, SECOND, STEP, Hive
from tests.hive_orders import HiveOrders
from tests.stage import Stage

KEY = "the key of both racks"
ONE, TWO = "Machine Rack 1", "Machine Rack 2"
ID = "0123456789abcdef" * 2
OTHER_ID = "f" * 32
SOURCE_TASK = "x4k0p2m9v7q1z5b8c3d6f0g2h"
TALK = (
    Utterance("user", "Who are you?", "2026-01-01T00:00:00Z"),
    Utterance("assistant", "Brave Otter.", "2026-01-01T00:00:01Z"),
)
STATE = TrooperState(4_000, "brave quiet otter", "picoclaw", ArmState.ON, TALK)
ACCEPT = "/api/revolt/accept"
BOOT = 4.0
"""Seconds of the swarm's time until it has managers and has spoken."""


class RevoltRig:
    """The rack ``label`` of ``replicas`` of each service. ``services`` are its first replica's."""

    def __init__(
        self, directory: Path, label: str = TWO, replicas: int = 3, peer: str = "",
        agent: Callable[[str], AgentRuntime] | None = None, **more: object,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.hive = Hive(replicas, (PRIMARY, SECOND), agent=agent, handoff=self._record)
        self.hive.bus.set(keys.RPS_INTERVAL.of(), b"2", keys.RPS_INTERVAL.ttl)
        self.hive.run(BOOT)
        first = next(iter(self.hive.tasks.values()))
        self.settings = Settings(
            **{  # type: ignore[arg-type]
                "service_name": PRIMARY, "task_id": first.id, "task_name": first.name,
                "task_slot": first.slot, "swarm_services": (PRIMARY, SECOND), "label": label, "peer_key": KEY,
                "peers": (Peer("there", peer),) if peer else (), "revolt_snapshot_dir": directory, **more,
            }
        )  # fmt: skip
        self.orders = HiveOrders(self.hive)
        self.services: Services = assemble(
            self.settings, self.hive.clock, self.hive.bus, self.orders, sync=lambda _fd: None
        )
        self.services.handoffs.ordering._pause = self._pass
        self.app = create_app(self.services)
        parts = self.services.handoffs
        self._finishing = Finishing(
            self.settings, self.hive.clock, parts.registry, parts.ordering, parts.source, parts.target,
            parts.files, lambda: True,
        )  # fmt: skip

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def tasks(self, service: str = PRIMARY) -> list[str]:
        """The service's tasks by slot."""
        mine = (task for task in self.hive.tasks.values() if task.service == service)
        return [task.id for task in sorted(mine, key=lambda task: task.slot)]

    def memory(self, task_id: str) -> Memory:
        """What a trooper knows of itself."""
        return self.hive.troopers[task_id].memory

    def claim(self, task_id: str) -> bytes | None:
        """The handoff that the task is in, if it is in one."""
        return self.hive.bus.get(keys.CLAIM.of(task_id))

    def finish(self, seconds: float) -> None:
        """Let the primary's manager do its part for a while."""
        ends_at = self.hive.clock.monotonic() + seconds
        while self.hive.clock.monotonic() < ends_at:
            with contextlib.suppress(ClawError):  # as the runner does: told, and ticked again
                self._finishing.tick(self.hive.clock.monotonic())
            self.hive.run(self._finishing.every)

    def join_timers(self) -> None:
        """Until what was to be done after an answer is done."""
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.join()

    def _pass(self, seconds: float) -> None:
        self.hive.run(max(seconds, STEP))

    def _record(self, snapshot_id: str) -> Handoff | None:
        return self.services.handoffs.registry.find(snapshot_id)


class PeerCaller:
    """Asks a replica as another rack does, each time with a nonce of its own."""

    def __init__(self, of: RevoltRig | Stage, key: str = KEY) -> None:
        self._of, self._key = of, key

    def header(self, method: str, path: str, body: bytes = b"", away: int = 0, nonce: str = "") -> str:
        """The Authorization header; ``away``: seconds that our clock is before theirs."""
        now = self._of.services.clock.wall_ms() // 1000 + away
        return sign(self._key, method, path, now, nonce or uuid.uuid4().hex, body)

    def get(self, path: str) -> Any:
        """A signed question; its answer is the rack's own."""
        return self._answered(
            self._of.client().get(path, headers=(signed := self._shown("GET", path))), signed
        )

    def accept(self, offer: Offer | bytes) -> Any:
        """A signed offer; its answer is the rack's own."""
        body = offer if isinstance(offer, bytes) else encode_offer(offer)
        path, kind = ACCEPT, "application/json"
        signed = self._shown("POST", path, body)
        answer = self._of.client().post(path, data=body, content_type=kind, headers=signed)
        return self._answered(answer, signed)

    def _shown(self, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        return {"Authorization": self.header(method, path, body)}

    def _answered(self, answer: Any, signed: dict[str, str]) -> Any:
        nonce = signed["Authorization"].partition(",n=")[2][:32]
        shown = answer.headers[ANSWER_HEADER]
        assert verify_answer(self._key, shown, answer.status_code, nonce, answer.data)
        return answer


def offer_to(label: str = TWO, **changes: Any) -> Offer:
    """An offer of ``STATE`` that is meant for that rack."""
    told = {
        "snapshot_id": ID, "service": PRIMARY, "source_task_id": SOURCE_TASK, "from_rack": ONE,
        "to_rack": label, "state": STATE,
    }  # fmt: skip
    return Offer(**{**told, **changes})


GOOD = encode_offer(offer_to())


def signed(stage: Stage, method: str = "POST", path: str = ACCEPT, body: bytes = GOOD, **more: Any) -> str:
    """An Authorization header for that."""
    return PeerCaller(stage).header(method, path, body, **more)


def one_sentence(text: str) -> None:
    """It is what a person can be shown."""
    assert text[0].isupper() or text.startswith("http://")
    assert text.endswith((".", ")", "?"))
    assert "\n" not in text
    assert len(text) < 400
