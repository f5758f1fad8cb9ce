"""The inbox: what others ask of this trooper, applied once by id and acknowledged.

The acknowledgement of most is written before they are carried out, since after a self-destruction nothing can
be written; an order that was acknowledged is never applied again. Those whose outcome somebody waits for can
be carried out twice without harm, and are acknowledged after, with what came of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from clawbucket.core.records import Ack, Order
from clawbucket.journal import Journal
from clawbucket.ports import Clock

log = structlog.get_logger(__name__)


class Obeying:
    """Apply the orders of this task's inbox; ``hands`` has one for each kind.

    ``told`` has those whose outcome is the acknowledgement's ``result``: what they return.
    """

    name = "orders"
    every = 0.5

    def __init__(
        self, clock: Clock, inbox: Journal[Order], acks: Journal[Ack],
        hands: Mapping[str, Callable[[Order], None]], told: Mapping[str, Callable[[Order], str]],
    ) -> None:  # fmt: skip
        self._clock, self._inbox, self._acks, self._hands, self._told = clock, inbox, acks, hands, told
        self._done: dict[str, None] = {}
        self._asked_acks = False

    def tick(self, now: float) -> None:  # noqa: ARG002 - a behaviour is given the time
        """Apply what is new in the inbox, oldest first."""
        orders = self._inbox.read()
        if orders and not self._asked_acks:
            self._done.update((ack.id, None) for ack in self._acks.read())
            self._asked_acks = True
        for order in orders:
            if order.id not in self._done:
                self._apply(order)
        here = {order.id for order in orders}
        self._done = {done: None for done in self._done if done in here}

    def _apply(self, order: Order) -> None:
        at = self._clock.iso()
        outcome = self._told.get(order.kind)
        result = outcome(order) if outcome is not None else "applied"
        self._acks.append(lambda seq: Ack(order.id, seq, order.kind, at, result))
        self._done[order.id] = None
        log.info("order applied", order=order.kind, id=order.id, result=result)
        if outcome is None:
            self._hands[order.kind](order)
