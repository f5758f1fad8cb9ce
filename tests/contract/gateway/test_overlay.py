"""Replicas on other nodes: addresses that nobody answers for, and connections that are never taken up."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.contract.gateway.stage import Replica, Stage, hello
from tests.contract.gateway.wires import error_of


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address that answers nothing, as a node's without power: its queue is full, so SYNs are dropped."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield f"{address[0]}:{address[1]}"


@pytest.mark.slow
def test_a_node_that_is_lost_costs_a_second_once(stage: Stage, nowhere: str):
    """Nothing was sent to it: an order too goes to another replica, and the next ones go there at once."""
    alive, lost = Replica(hello, 1), Replica(hello, 2, refuses=True)
    stage.replicas += [alive]
    stage.publish(alive.task(), replace(lost.task(), address=nowhere))
    for _ in range(6):
        message = stage.post(body=b"once")
        assert (message.status, message.get("X-Served-By")) == (200, alive.name)
    assert len(alive.seen) == 6
    assert stage.metric('clawbucket_gateway_retries_total{reason="unreached"}') >= 1
    assert stage.metric('clawbucket_gateway_replicas{state="suspect"}') == 1


@pytest.mark.slow
def test_when_only_lost_nodes_are_left_nothing_was_done(stage: Stage, nowhere: str):
    """Definite, within a second or so."""
    lost = Replica(hello, 1, refuses=True)
    stage.publish(replace(lost.task(), address=nowhere))
    message = stage.post()
    assert (message.status, error_of(message)) == (503, "no_replica")


def test_a_task_with_another_address_is_another_replica(stage: Stage):
    """An address that was given to a new task leads to that one, under its name."""
    (old,) = stage.run(hello)
    assert stage.get().get("X-Served-By") == old.name
    successor = replace(old.task(), id="successor", name=f"{old.name}-successor")
    stage.publish(successor)
    assert stage.get().get("X-Served-By") == successor.name
