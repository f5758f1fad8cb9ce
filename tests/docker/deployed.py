"""The rack as docker-stack.yml deploys it on a real engine: how to reach it, and how to break it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import urllib3

from bench.rack import free_port, wait_until
from tests.docker.host import Engine
from tests.docker.images import ROOT

CONVERGED = 120.0
"""Seconds from the deploy until all runs, on two cores that have other work."""
MENDED = 60.0
"""Seconds from a death until all is as before: Swarm's second of delay, a start and a first health check."""
SECRETS = ("token", "rack_token", "peer_key")
TASK = "com.docker.swarm.task.id"
"""The label by which a container tells its task."""
_LOOK = 0.2
_HANDOVER = 5.0
"""Seconds that a handover may take at most; it takes a tenth of one."""
_SERVICES = ("clawbucket", "clawbucket-b")
OTHERS = ("clawbucket-aggregator", "gateway", "memcached", "ollama", "rack")


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, with the names that tests/contract/api_form.py asks for."""

    status_code: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def mimetype(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace")

    def get_json(self) -> Any:
        return json.loads(self.data)


@dataclass(frozen=True, slots=True)
class Seat:
    """A task as Swarm itself tells it, by docker's own command."""

    id: str
    slot: int
    node_id: str
    state: str
    desired: str
    image: str
    container: str

    @property
    def running(self) -> bool:
        """It runs and is to run."""
        return self.state == self.desired == "running"


class Deployed:
    """A stack that runs under a name of its own, with secrets that are known here.

    Its ports are free ones of this machine, unless it runs on nodes that have an ``address`` of their own.
    """

    def __init__(
        self, engine: Engine, variables: Mapping[str, str], name: str | None = None, *,
        address: str = "127.0.0.1", ports: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        self.engine = engine
        self.name = name or f"{engine.prefix}-rack"
        self.port, self.aggregator_port = ports or (free_port(), free_port())
        self.url = f"http://{address}:{self.port}"
        self.aggregator_url = f"http://{address}:{self.aggregator_port}"
        self.secrets = {kind: secrets.token_urlsafe(24) for kind in SECRETS}
        self.variables = {
            **variables,
            "CLAWBUCKET_PORT": str(self.port),
            "CLAWBUCKET_AGGREGATOR_PORT": str(self.aggregator_port),
            "OLLAMA_PORT": str(free_port()),
            "CLAWBUCKET_SECRETS": self.name,
        }
        self.seconds = 0.0
        self._http = urllib3.PoolManager(timeout=urllib3.Timeout(35.0), retries=False, maxsize=16)

    # Names -----------------------------------------------------------------------------------------

    @property
    def primary(self) -> str:
        """The full name of the primary service."""
        return self.full(_SERVICES[0])

    @property
    def second(self) -> str:
        """The full name of the other."""
        return self.full(_SERVICES[1])

    @property
    def services(self) -> tuple[str, ...]:
        """Both, the primary first."""
        return self.primary, self.second

    def full(self, service: str) -> str:
        """The full name of the stack file's service."""
        return f"{self.name}_{service}"

    # Life ------------------------------------------------------------------------------------------

    def deploy(self) -> None:
        """``docker stack deploy``, and return when all of it runs."""
        for kind, value in self.secrets.items():
            self.engine.docker("secret", "create", f"{self.name}_{kind}", "-", given=value)
        started = time.monotonic()
        self.engine.docker(
            "stack", "deploy", "--resolve-image", "never", "--compose-file", ROOT / "docker-stack.yml",
            self.name, timeout=CONVERGED, **self.variables,
        )  # fmt: skip
        self.wait_whole(CONVERGED)
        self.seconds = time.monotonic() - started

    def remove(self) -> None:
        """Take the stack and its secrets away."""
        self._http.clear()
        self.engine.clean([self.name])

    def short(self) -> dict[str, str]:
        """Which services have fewer tasks than they should, as ``running/wanted``."""
        rows = self.engine.docker("stack", "services", self.name, "--format", "{{.Name}} {{.Replicas}}")
        counts = dict(row.split(" ")[:2] for row in rows.splitlines())
        missing = {self.full(s) for s in (*_SERVICES, *OTHERS)} - counts.keys()
        unequal = {name: c for name, c in counts.items() if len(set(c.split("/"))) > 1 or c == "0/0"}
        return {**dict.fromkeys(missing, "none"), **unequal}

    def wait_whole(self, timeout: float = MENDED) -> None:
        """Return when every service runs in full, what it answers says so, and each has its manager."""
        wait_until("every service runs in full", lambda: not self.short(), timeout, _LOOK)
        wait_until("every replica is seen, with a manager a service", self._seen, timeout, _LOOK)
        wait_until("the gateway is ready", lambda: self.answers(self.url), timeout, _LOOK)
        wait_until("the scoreboard is ready", lambda: self.answers(self.aggregator_url), timeout, _LOOK)

    def _seen(self) -> bool:
        for swarm in self.swarms():
            seats = [seat for seat in self.seats(swarm["service"]) if seat.running]
            wanted = {seat.id for seat in seats}
            shown = [r for r in swarm["replicas"] if r["state"] == "running" and r["freshness"] == "alive"]
            managers = [r["slot"] for r in shown if r["is_manager"] and r["manager_confirmed"]]
            preferred = self.preferred(seats, swarm["override_slot"]).slot
            if {r["id"] for r in shown} != wanted or len(swarm["replicas"]) != len(wanted):
                return False
            if len(wanted) != swarm["desired_replicas"] or managers != [preferred]:
                return False
        return True

    def preferred(self, seats: list[Seat], override: int | None = None) -> Seat:
        """Who of the running should manage (CONTRACT section 1). LookupError: nobody runs."""
        if not seats:
            raise LookupError("nobody runs")
        return min(seats, key=lambda s: (s.slot != override, s.node_id != self.leader_node, s.slot))

    @cached_property
    def leader_node(self) -> str:
        """The id of the node that leads the swarm: the tests' swarms have one manager."""
        return self.engine.docker("info", "--format", "{{.Swarm.NodeID}}")

    # By HTTP ---------------------------------------------------------------------------------------

    def send(
        self, method: str, path: str, body: object = None, *, token: bool = True, base: str | None = None,
        timeout: float = 35.0, **headers: str,
    ) -> Answer:  # fmt: skip
        """One request to a published port; a mutation shows the operator's token."""
        if token and method != "GET":
            headers["Authorization"] = f"Bearer {self.secrets['token']}"
        more: dict[str, Any] = {} if body is None else {"json": body}
        url = (base or self.url) + path
        answer = self._http.request(method, url, headers=headers, timeout=timeout, **more)
        return Answer(answer.status, dict(answer.headers), answer.data)

    def get(self, path: str) -> Answer:
        """Read something."""
        return self.send("GET", path)

    def post(self, path: str, body: object, *, token: bool = True) -> Answer:
        """Change something."""
        return self.send("POST", path, body, token=token)

    def answers(self, base: str) -> bool:
        """Whether who listens there says that it is ready."""
        return self.send("GET", "/readyz", base=base, timeout=3.0).status_code == 200

    def swarms(self) -> list[dict[str, Any]]:
        """Every service as ``/api/swarms`` tells it. LookupError: it cannot be asked just now."""
        answer = self.send("GET", "/api/swarms", timeout=5.0)
        body = answer.get_json() if answer.status_code == 200 else {}
        if "swarms" not in body or body.get("stale_seconds") is not None:
            raise LookupError(answer.text[:500])
        return list(body["swarms"])

    def swarm(self, service: str) -> dict[str, Any]:
        """One service of it."""
        return next(swarm for swarm in self.swarms() if swarm["service"] == service)

    def replicas(self, service: str | None = None) -> list[dict[str, Any]]:
        """The replicas of one service or of all."""
        return [r for s in self.swarms() if service in {None, s["service"]} for r in s["replicas"]]

    def manager(self, service: str) -> dict[str, Any]:
        """The service's confirmed manager; during a handover there is none for a moment. LookupError."""

        def confirmed() -> dict[str, Any] | None:
            return next(
                (r for r in self.replicas(service) if r["is_manager"] and r["manager_confirmed"]), None
            )

        try:
            return wait_until(f"{service} has a confirmed manager", confirmed, _HANDOVER, 0.1)
        except AssertionError as error:
            raise LookupError(str(error)) from error

    # By docker -------------------------------------------------------------------------------------

    def seats(self, service: str) -> list[Seat]:
        """All tasks of a service (full name) that Swarm knows, by slot. LookupError: one just went."""
        ids = self.engine.docker("service", "ps", "--quiet", "--no-trunc", service).split()
        if not ids:
            return []
        done = self.engine.try_docker("inspect", "--type", "task", *ids)
        if done.returncode != 0:
            raise LookupError(done.stderr)
        seats = [
            Seat(
                raw["ID"], raw.get("Slot", 0), raw.get("NodeID", ""), raw["Status"]["State"],
                raw["DesiredState"], raw["Spec"]["ContainerSpec"]["Image"],
                (raw["Status"].get("ContainerStatus") or {}).get("ContainerID", ""),
            )
            for raw in json.loads(done.stdout)
        ]  # fmt: skip
        return sorted(seats, key=lambda seat: seat.slot)

    def ids(self) -> set[str]:
        """The running replicas' task ids, as Swarm tells them."""
        return {seat.id for service in self.services for seat in self.seats(service) if seat.running}

    def container(self, service: str) -> str:
        """The container of the stack file's service that has one task. LookupError: none runs."""
        for seat in self.seats(self.full(service)):
            if seat.running:
                return seat.container
        raise LookupError(f"{service} does not run")

    def containers(self) -> dict[str, list[str]]:
        """Every running container of the stack, by the stack file's service."""
        rows = self.engine.docker(
            "ps", "--no-trunc", "--filter", f"label=com.docker.stack.namespace={self.name}", "--format",
            '{{.Label "com.docker.swarm.service.name"}} {{.ID}}',
        )  # fmt: skip
        found: dict[str, list[str]] = {}
        for row in rows.splitlines():
            name, container = row.split(" ")
            found.setdefault(name.removeprefix(f"{self.name}_"), []).append(container)
        return found

    def kill(self, task_id: str) -> float:
        """SIGKILL to a task's container; when, in unix seconds."""
        container = self.engine.docker("ps", "--quiet", "--no-trunc", "--filter", f"label={TASK}={task_id}")
        at = time.time()
        self.engine.docker("kill", "--signal", "KILL", container)
        return at

    def run_in(self, container: str, script: str) -> tuple[int, str]:
        """Exit status and output of a Python script in a container that has Python."""
        done = self.engine.try_docker("exec", container, "python3", "-c", script)
        return done.returncode, done.stdout + done.stderr

    def led_after(self, service: str, at: float) -> float | None:
        """When a task of the service logged that it leads, the first one after ``at`` (both unix seconds)."""
        times = [
            datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
            for seat in self.seats(service)
            if seat.running
            for line in self._log(seat.container, at)
            if '"leadership confirmed"' in line
        ]
        return min((when for when in times if when > at), default=None)

    def _log(self, container: str, since: float) -> list[str]:
        done = self.engine.try_docker("logs", "--since", f"{since:.3f}", container)
        return (done.stdout + done.stderr).splitlines()


@contextmanager
def deployed(engine: Engine, variables: Mapping[str, str]) -> Iterator[Deployed]:
    """A stack for the length of a block."""
    stack = Deployed(engine, variables)
    try:
        stack.deploy()
        yield stack
    finally:
        stack.remove()
