"""Retries: only what may pass, with jitter, and never past the deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random

import pytest

from picoclaw.deadline import Deadline
from picoclaw.errors import BackendUnreachable, ModelNotFound, PicoClawError, TurnTimeout
from picoclaw.retries import attempt


class Waits(Deadline):
    """A deadline whose clock stands still but for the waits, which take no time."""

    def __init__(self, seconds: float, cancel: threading.Event | None = None) -> None:
        self.now = 0.0
        self.waited: list[float] = []
        super().__init__(seconds, cancel, lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


class Server:
    """Fails that many times, then answers."""

    def __init__(self, failures: int, error: Callable[[], PicoClawError]) -> None:
        self.left, self.error, self.calls = failures, error, 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error()
        return "answer"


def busy() -> PicoClawError:
    """A refusal that may pass."""
    return BackendUnreachable("busy")


class Highest(Random):
    """Always draws the longest wait."""

    def uniform(self, a: float, b: float) -> float:
        return max(a, b)


def test_two_failures_that_may_pass_are_outlived():
    """With two retries the third attempt's answer counts."""
    server = Server(2, busy)
    assert attempt(server, Waits(60), retries=2, backoff=2.0, rng=Random(1)) == "answer"
    assert server.calls == 3


def test_the_waits_double_from_the_backoff():
    """At most 2 s before the first retry and 4 s before the second (upstream's policy)."""
    deadline = Waits(60)
    attempt(Server(2, busy), deadline, retries=2, backoff=2.0, rng=Highest())
    assert deadline.waited == [2.0, 4.0]


def test_each_wait_is_drawn_from_its_whole_span():
    """Full jitter: callers refused together do not come back together."""
    spread = []
    for seed in range(200):
        deadline = Waits(60)
        attempt(Server(1, busy), deadline, retries=2, backoff=2.0, rng=Random(seed))
        spread += deadline.waited
    assert min(spread) < 0.1
    assert max(spread) > 1.9


def test_the_last_error_is_raised_when_retries_are_used_up():
    """Two retries are three attempts, no more."""
    server = Server(9, busy)
    with pytest.raises(BackendUnreachable):
        attempt(server, Waits(60), retries=2, backoff=2.0, rng=Random(1))
    assert server.calls == 3


@pytest.mark.parametrize(
    "error",
    [
        ModelNotFound("no such model"),
        BackendUnreachable("refused", retryable=False),
        TurnTimeout("the time is up"),
    ],
)
def test_what_does_not_pass_is_not_tried_again(error: PicoClawError):
    """One attempt, no wait; a deadline that passed is never retried though a later turn may do better."""
    server, deadline = Server(9, lambda: error), Waits(60)
    with pytest.raises(type(error)):
        attempt(server, deadline, retries=2, backoff=2.0, rng=Random(1))
    assert (server.calls, deadline.waited) == (1, [])


def test_a_wait_that_would_not_leave_time_is_not_begun():
    """The caller gets the error at once instead of at its deadline."""
    server, deadline = Server(9, busy), Waits(5.0)
    with pytest.raises(BackendUnreachable):
        attempt(server, deadline, retries=5, backoff=2.0, rng=Highest())
    assert (server.calls, deadline.waited) == (2, [2.0])


def test_a_cancellation_during_a_wait_ends_it():
    """The turn ends as cancelled, without another attempt."""
    cancel = threading.Event()

    def refuse_and_cancel() -> PicoClawError:
        cancel.set()
        return busy()

    server = Server(9, refuse_and_cancel)
    with pytest.raises(TurnTimeout, match="cancelled"):
        attempt(server, Waits(60, cancel), retries=2, backoff=2.0, rng=Random(1))
    assert server.calls == 1
