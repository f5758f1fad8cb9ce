"""Other images for the stack, under load: a good one loses no request, a broken one is taken back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from bench.rack import wait_until
from tests.docker.deployed import MENDED, Deployed
from tests.docker.reign import loaded, watched

pytestmark = pytest.mark.slow

UPDATED = 240.0
"""Seconds for three tasks one after another: each starts, is found healthy, and its forerunner ends."""
A_MOMENT = 2.0
"""Seconds for which no manager may be shown."""


def update(stack: Deployed, service: str, *options: str) -> None:
    """``docker service update``, without waiting."""
    stack.engine.docker("service", "update", "--detach", "--no-resolve-image", *options, service)


def state(stack: Deployed, service: str) -> str:
    """How far Swarm is with it, in its own words; empty before it began."""
    told: dict[str, Any] | None = json.loads(
        stack.engine.docker("service", "inspect", "--format", "{{json .UpdateStatus}}", service)
    )
    return str((told or {}).get("State", ""))


def image(stack: Deployed, service: str) -> str:
    """The image that a service is to run."""
    template = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
    return stack.engine.docker("service", "inspect", "--format", template, service)


def variant(stack: Deployed, tag: str, *lines: str) -> str:
    """An image like the one that runs, but for some lines of a Dockerfile."""
    name = f"{stack.engine.prefix}/clawbucket:{tag}"
    dockerfile = "\n".join((f"FROM {stack.variables['CLAWBUCKET_IMAGE']}", *lines, ""))
    stack.engine.docker("build", "--quiet", "--tag", name, "-", given=dockerfile, DOCKER_BUILDKIT="0")
    return name


def finished(stack: Deployed, states: set[str]) -> None:
    """Return when the update of both services has ended in one of these states."""
    started: dict[str, float] = {}

    def both() -> bool:
        for service in stack.services:
            if state(stack, service) in states:
                started.setdefault(service, time.monotonic())
        return len(started) == len(stack.services)

    wait_until(f"both updates are {' or '.join(states)}", both, UPDATED, 0.5)


def test_an_update_under_load_loses_no_request(stack):
    """A new image for one service, --force for the other: each GET and POST of 8 clients is answered."""
    wait_until("all runs", lambda: not stack.short(), MENDED, 0.2)
    before = stack.ids()
    new = variant(stack, "next", "LABEL clawbucket.release=next")
    with watched(stack) as reign, loaded(stack) as load:
        at = time.monotonic()
        update(stack, stack.primary, "--image", new)
        update(stack, stack.second, "--force")
        finished(stack, {"completed"})
        seconds = time.monotonic() - at
        stack.wait_whole()
    print(f"both services updated after {seconds:.0f} s: {load}")
    print(f"{reign.looks} looks; nobody managed for {reign.longest_without}")
    assert load.failures == []
    assert load.answers["GET", 200] > 100
    assert load.answers["POST", 201] > 100
    assert not stack.ids() & before
    assert {seat.image for seat in stack.seats(stack.primary) if seat.running} == {new}
    reign.check(longest=A_MOMENT)
    assert set(reign.fewest.values()) == {3}, "start-first"
    scores = {r["id"]: r["score"] for r in stack.replicas()}
    assert all(abs(score) <= len(reign.rounds) for score in scores.values()), "each began at 0"


def test_a_broken_image_is_taken_back(stack):
    """One that ends at once, one that is never healthy: Swarm rolls both back, and nobody notices.

    In the slot where it failed Swarm itself may exchange the good task for another good one, stop-first
    (swarmkit's updater keeps any task that is as it should be, also one that only just starts).
    """
    stack.wait_whole()
    before, images = stack.ids(), [image(stack, service) for service in stack.services]
    ends = variant(stack, "ends", 'ENTRYPOINT ["false"]')
    ill = variant(
        stack, "ill", "HEALTHCHECK --interval=1s --timeout=2s --start-period=1s --retries=1 CMD exit 1"
    )
    with watched(stack) as reign, loaded(stack) as load:
        at = time.monotonic()
        update(stack, stack.primary, "--image", ends)
        update(stack, stack.second, "--image", ill)
        finished(stack, {"rollback_completed"})
        seconds = time.monotonic() - at
    print(f"both services rolled back after {seconds:.0f} s: {load}")
    assert [image(stack, service) for service in stack.services] == images
    assert load.failures == []
    reign.check(longest=A_MOMENT)
    assert min(reign.fewest.values()) >= 2
    stack.wait_whole()
    assert len(stack.ids() - before) <= len(stack.services)
