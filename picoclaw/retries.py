"""Another attempt at a model call, when that may help and there is time.

Upstream's policy: after connection failures, 408, 429, 5xx and timeouts, waiting 2 s and then 4 s. Here
the wait is drawn from the whole of that span ("full jitter"), so that replicas that were refused by one
busy Ollama together do not come back together.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeVar

from picoclaw.deadline import Deadline
from picoclaw.errors import PicoClawError, TurnTimeout

T = TypeVar("T")


def attempt(call: Callable[[], T], deadline: Deadline, *, retries: int, backoff: float, rng: Random) -> T:
    """What ``call`` gives, within ``retries`` + 1 attempts.

    Before retry n (from 1) up to ``backoff`` * 2^(n-1) seconds are waited. Errors that are not
    ``retryable``, the last attempt's, and one whose wait would not leave time, are raised at once;
    TurnTimeout is never tried again. A cancellation during the wait is a TurnTimeout.
    """
    for done in range(retries):
        try:
            return call()
        except PicoClawError as error:
            wait = rng.uniform(0.0, backoff * 2**done)
            if not error.retryable or isinstance(error, TurnTimeout):
                raise
            if not deadline.cancelled and wait >= deadline.remaining():
                raise
        deadline.sleep(wait)
        deadline.check("waiting to ask the model again")
    return call()
