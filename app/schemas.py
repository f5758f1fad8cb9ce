"""What people may ask for: one pydantic model a request body, with every field, limit and meaning.

The models check by themselves (``extra`` fields are let be, so that a form may carry more), and
/openapi.json is made of them. What is answered is described in app/answers.py.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from clawbucket.asking import LONGEST_ASK
from clawbucket.core.records import LONGEST_CHAT
from clawbucket.core.rps import LONGEST_INTERVAL, SHORTEST_INTERVAL

LARGEST_BODY = 64 * 1024
"""Bytes of a request's body that are taken (issue: limits and bad input)."""
MOST_REPLICAS = 20
"""Replicas of one service (CONTRACT section 1)."""
LONGEST_BOT = 80

ServiceName = Annotated[
    str,
    StringConstraints(max_length=63),
    Field(
        description="A service's full name or its short alias.",
        examples=["clawbucket_clawbucket-b", "clawbucket-b"],
    ),
]
TASK_ID = re.compile(r"[a-z0-9]{1,64}")
TaskId = Annotated[
    str,
    StringConstraints(pattern=f"^{TASK_ID.pattern}$"),
    Field(
        description="A task's id: lower-case letters and digits, 25 of them in a Swarm.",
        examples=["x4k0p2m9v7q1z5b8c3d6f0g2h"],
    ),
]


class Asked(BaseModel):
    """What all requests have in common: nothing is converted, and nothing changes afterwards."""

    model_config = ConfigDict(strict=True, frozen=True)


class Scale(Asked):
    """How many replicas a service is to have."""

    replicas: int = Field(ge=1, le=MOST_REPLICAS, description="The count wanted.", examples=[3])
    service: ServiceName | None = Field(
        default=None, description="Full name or short alias; none, or nothing in it, is the primary service."
    )


class Say(Asked):
    """A message for the chat."""

    text: str = Field(
        pattern=r"\S",
        description=f"What to say: not only space. The first {LONGEST_CHAT} characters are kept.",
        examples=["hello swarm"],
    )


class SetArm(Asked):
    """Arm or disarm a trooper."""

    task_id: TaskId
    state: Literal["on", "off"] = Field(description="Armed or not.")
    bot: str | None = Field(
        default=None,
        max_length=LONGEST_BOT,
        description="What the trooper is called in the scoreboard; none is its callsign.",
        examples=["Brave Otter"],
    )


class SetInterval(Asked):
    """How often a round is thrown."""

    interval_seconds: int = Field(
        description=f"Seconds; the nearest from {SHORTEST_INTERVAL} to {LONGEST_INTERVAL} is taken.",
        examples=[10],
    )


class LoadReport(Asked):
    """How a load test is doing, this second."""

    run: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,64}$", description="The test's name: letters, digits, dot, _ and -.",
        examples=["20261127T101500Z"],
    )  # fmt: skip
    users: int = Field(ge=0, le=1_000_000, description="Users that it simulates now.")
    rate: float = Field(ge=0, le=1_000_000, allow_inf_nan=False, description="Requests a second.")
    p95_ms: float = Field(
        ge=0, le=3_600_000, allow_inf_nan=False,
        description="The milliseconds that 95 of 100 answers of the last seconds did not exceed.",
    )  # fmt: skip
    failures: int = Field(ge=0, le=1_000_000_000, description="Requests that failed since it began.")


class OneTask(Asked):
    """A task of a service."""

    service: ServiceName
    task_id: TaskId


class Revolt(OneTask):
    """A trooper that is to change racks."""

    peer: str | None = Field(
        default=None, max_length=32,
        description="The name of the rack to go to, where there are several; none is the first.",
    )  # fmt: skip


class Ask(Asked):
    """Something said to one trooper."""

    task_id: TaskId
    text: str = Field(
        pattern=r"\S",
        description=f"What to say: not only space. The first {LONGEST_ASK} characters are told.",
        examples=["How is morale?"],
    )


class Login(Asked):
    """What logs a browser in."""

    token: str = Field(min_length=1, max_length=512, description="The value of CLAWBUCKET_TOKEN.")
