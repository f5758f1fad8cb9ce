"""The inbox: what others ask of this trooper, applied once by id and acknowledged.

The acknowledgement is written before a self-destruction is carried out, since nothing can be written
after; an order that was acknowledged is never applied again.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from clawbucket.core.records import Ack, Order
from clawbucket.journal import Journal
from clawbucket.ports import Clock

log = structlog.get_logger(__name__)


class Obeying:
    """Apply the orders of this task's inbox."""

    name = "orders"
    every = 0.5

    def __init__(
        self, clock: Clock, inbox: Journal[Order], acks: Journal[Ack], on_self_destruct: Callable[[], None]
    ) -> None:
        self._clock, self._inbox, self._acks = clock, inbox, acks
        self._on_self_destruct = on_self_destruct
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
        self._acks.append(lambda seq: Ack(order.id, seq, order.kind, at, result="applied"))
        self._done[order.id] = None
        log.warning("order applied", order=order.kind, id=order.id)
        self._on_self_destruct()
