"""Requests whose answers are judged: the status, the contract's error codes, and the invariants.

A failure's text is from a bounded set, since Locust keeps a record of each kind: an error is its status and
code, and once many different violations were seen, only the invariant's name is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container
from typing import Any

from locust import FastHttpUser

from load.invariants import Violated

Judge = Callable[[Any, str], list[str]]
"""An answer's JSON and the server that gave it; sentences of what does not hold."""
_DEADLINE = 35.0
"""Seconds for an answer: the gateway gives up after 30 (docs/protocol.md, Times)."""
_MOST_SENTENCES = 200
_told: set[str] = set()


def violated(sentence: str) -> Violated:
    """The failure to report; without its particulars when there were many kinds already."""
    if sentence not in _told and len(_told) >= _MOST_SENTENCES:
        return Violated(sentence.partition(":")[0])
    _told.add(sentence)
    return Violated(sentence)


class Person(FastHttpUser):
    """What all users have in common: a client with deadlines, and the ETags of what was read.

    ``tags`` are those of the class's tasks, to tell who stays away when tags are chosen.
    """

    abstract = True
    network_timeout = _DEADLINE
    connection_timeout = 10.0
    max_redirects = 0
    tags: frozenset[str] = frozenset()

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._etags: dict[str, str] = {}

    def read(self, path: str, name: str = "", judge: Judge | None = None) -> str | None:
        """GET with the ETag that was given last; the body, or None where it is the same (304) or failed.

        A 304 is counted under a name of its own: it costs the rack next to nothing.
        """
        etag = self._etags.get(path)
        headers = {"If-None-Match": etag} if etag else {}
        with self.client.get(path, name=name or path, headers=headers, catch_response=True) as response:
            if response.status_code == 304:
                response.request_meta["name"] = f"{name or path} (304)"
                if etag is None:
                    response.failure(violated("a 304 answers an ETag: one came without"))
                else:
                    response.success()
                return None
            if response.status_code != 200:
                _fail(response)
                return None
            told = response.headers.get("ETag")
            if told and len(self._etags) < 64:
                self._etags[path] = told
            text: str = response.text or ""
            if judge is not None:
                _judge(response, text, judge)
            return text

    def act(self, path: str, body: dict[str, object], fine: Container[int] = (200, 201, 202)) -> Any:
        """POST; the answer's JSON, None where it failed. ``fine`` are the statuses that are no failure."""
        with self.client.post(path, json=body, name=path, catch_response=True) as response:
            if response.status_code not in fine:
                _fail(response)
                return None
            response.success()
            try:
                return json.loads(response.text or "")
            except ValueError:
                response.failure(violated(f"the contract's shape: {path} answered no JSON"))
                return None

    def measure(self, name: str, milliseconds: float, method: str = "SSE") -> None:
        """Note a measure that is no request: it has its line in the statistics and is not in their total."""
        self.environment.stats.get(name, method).log(round(milliseconds), 0)

    def count(self, name: str, milliseconds: float, failure: Exception | None = None) -> None:
        """Note something that counts as a request of ``SSE``, failed or not."""
        self.environment.events.request.fire(
            request_type="SSE", name=name, response_time=milliseconds, response_length=0, exception=failure,
            context={},
        )  # fmt: skip


def _judge(response: Any, text: str, judge: Judge) -> None:
    try:
        answer = json.loads(text)
    except ValueError:
        response.failure(violated("the contract's shape: an answer is no JSON"))
        return
    problems = judge(answer, response.headers.get("X-Served-By") or "")
    if problems:
        response.failure(violated(problems[0]))


def _fail(response: Any) -> None:
    """Say status and code; what never came as an answer is left to Locust, which knows why."""
    if not response.status_code:
        return
    try:
        code = str(json.loads(response.text or "")["code"])[:40]
    except (ValueError, LookupError, TypeError):
        code = "without a code"
    response.failure(f"{response.status_code} {code}")
