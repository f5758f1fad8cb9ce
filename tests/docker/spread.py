"""The deployed rack on several nodes: how to reach a task on any of them, and what all of them logged."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.docker.deployed import Deployed, Seat
from tests.docker.nodes import Node, Nodes
from tests.docker.reign import Reign
from tests.history import History, read_logs

PORT, AGGREGATOR_PORT = 8080, 8090
_READ_WITHIN = 1.0
"""Seconds by which one replica may know less than another: a board is 0.25 s old, and two cores are busy."""
_RACK = """
from pathlib import Path
from rack.client import RackClient
rack = RackClient("http://127.0.0.1:8070", Path("/run/secrets/clawbucket_rack_token").read_text().strip())
"""
_TOLD = """
import json
print(json.dumps({n.hostname: [n.role, n.availability, n.state] for n in rack.snapshot().nodes}))
"""
_ASK_YOURSELF = """
import json, pathlib, urllib.request
token = pathlib.Path("/run/secrets/clawbucket_token").read_text().strip()
headers = {{"Authorization": "Bearer " + token, "Content-Type": "application/json"}}
body = json.dumps({body!r}).encode()
asked = urllib.request.Request("http://127.0.0.1:8080{path}", body, headers)
with urllib.request.urlopen(asked, timeout=10) as answer:
    print(answer.status)
"""


class Spread(Deployed):
    """docker-stack.yml on a swarm of its own, reached at the first node's address."""

    def __init__(self, nodes: Nodes, variables: Mapping[str, str]) -> None:
        first = nodes.address(nodes.nodes[0])
        super().__init__(nodes.manager, variables, address=first, ports=(PORT, AGGREGATOR_PORT))
        self.nodes = nodes
        self.lost_at: dict[str, float] = {}
        """When a task's node was killed, by task id, in unix seconds."""
        self._by_id = {node.id: node for node in nodes.nodes}

    def node_of(self, node_id: str) -> Node:
        """The node of that id, which need not answer."""
        return self._by_id[node_id]

    def bases(self, *nodes: Node) -> Iterator[tuple[str, str]]:
        """Each node's two addresses, the dashboard's and the scoreboard's; all nodes if none are given."""
        for node in nodes or self.nodes.nodes:
            address = self.nodes.address(node)
            yield f"http://{address}:{PORT}", f"http://{address}:{AGGREGATOR_PORT}"

    def running(self, service: str) -> list[Seat]:
        """The running tasks of a service (full name), by slot."""
        return [seat for seat in self.seats(service) if seat.running]

    def on(self, node: Node) -> list[Seat]:
        """The running replicas on a node."""
        seats = (seat for service in self.services for seat in self.running(service))
        return [seat for seat in seats if self.node_of(seat.node_id) is node]

    def manager_seat(self, service: str) -> Seat:
        """Where the service's confirmed manager runs. LookupError: there is none."""
        wanted = self.manager(service)["id"]
        return next((seat for seat in self.running(service) if seat.id == wanted), None) or _none(service)

    def swarms(self) -> list[dict[str, Any]]:
        """As on one node. LookupError also while the answer says that the rack manager's word is old."""
        answer = self.send("GET", "/api/swarms", timeout=5.0)
        body = answer.get_json() if answer.status_code == 200 else {}
        if "swarms" not in body or body.keys() & {"stale_seconds", "snapshot_age_seconds", "engine_error"}:
            raise LookupError(answer.text[:500])
        return list(body["swarms"])

    def short(self) -> dict[str, str]:
        """As on one node. Docker counts what last ran on a node that is down; here it is not counted."""
        return {name: counts for name, counts in super().short().items() if not self._enough(name, counts)}

    def _enough(self, service: str, counts: str) -> bool:
        wanted = counts.partition("/")[2]
        return wanted not in {"", "0"} and len(self.running(service)) == int(wanted)

    def since(self, seat: Seat) -> float:
        """Since when a task is in its state, by the clock of its node (unix seconds)."""
        told = self.engine.docker(
            "inspect", "--type", "task", "--format", "{{json .Status.Timestamp}}", seat.id
        )
        return _unix(json.loads(told))

    # Orders ----------------------------------------------------------------------------------------

    def place(self, service: str, change: str) -> None:
        """``docker service update`` with one change of the placement, such as ``--constraint-add=...``."""
        self.engine.docker("service", "update", "--detach", "--no-resolve-image", change, self.full(service))

    def rack(self, call: str) -> str:
        """A call of the rack manager's API by its own client, from beside it; what it printed."""
        code, said = self.run_in(self.container("rack"), _RACK + call)
        assert code == 0, said
        return said

    def told_nodes(self) -> dict[str, list[str]]:
        """Role, availability and state of each node, by host name, by the rack manager's snapshot."""
        return dict(json.loads(self.rack(_TOLD).splitlines()[-1]))

    def post_by(self, seat: Seat, path: str, body: Mapping[str, Any]) -> int:
        """The status of a change that is asked of one certain replica."""
        script = _ASK_YOURSELF.format(path=path, body=dict(body))
        done = self.node_of(seat.node_id).engine.try_docker("exec", seat.container, "python3", "-c", script)
        assert done.returncode == 0, done.stdout + done.stderr
        return int(done.stdout)

    def lose(self, node: Node) -> float:
        """End a node as a power cut would; when, in unix seconds."""
        lost = self.on(node)
        self.nodes.lose(node)
        at = time.time()
        self.lost_at |= {seat.id: at for seat in lost}
        return at

    # What was logged -------------------------------------------------------------------------------

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Every line with that event that a replica on any node that answers has logged, ended ones too."""
        return [
            json.loads(line)
            for _, _, said in self._logs()
            for line in said.splitlines()
            if line.startswith("{") and line.endswith("}") and f'"{event}"' in line
        ]

    def history(self) -> History:
        """What all replicas on all nodes logged since the deploy. One machine: one clock orders it."""
        ended = dict(self.lost_at)
        with tempfile.TemporaryDirectory() as directory:
            paths = []
            for task_id, finished, said in self._logs():
                if finished is not None:
                    ended[task_id] = min(finished, ended.get(task_id, float("inf")))
                paths.append(Path(directory) / task_id)
                paths[-1].write_text(said, encoding="utf-8")
            return read_logs(paths, ended)

    def _logs(self) -> Iterator[tuple[str, float | None, str]]:
        """Task id, when its container ended (unix seconds), and its log, for every replica there was."""
        form = '{{index .Config.Labels "com.docker.swarm.task.id"}} {{.State.Running}} {{.State.FinishedAt}}'
        for node in self.nodes.nodes:
            engine = node.engine
            if engine.try_docker("version").returncode != 0:
                continue
            for service in self.services:
                chosen = f"label=com.docker.swarm.service.name={service}"
                for name in engine.docker("ps", "--all", "--quiet", "--filter", chosen).split():
                    told = engine.try_docker("inspect", "--format", form, name)
                    said = engine.try_docker("logs", name)
                    if told.returncode == 0 == said.returncode:  # Swarm tidies up meanwhile
                        task_id, runs, finished = told.stdout.split()
                        yield task_id, None if runs == "true" else _unix(finished), said.stdout + said.stderr


@dataclass
class Sight(Reign):
    """Who was shown as what, at each look that was not marked as old.

    What one replica knows a moment later than another is no fault.
    """

    shown: list[tuple[float, dict[str, tuple[str, str]]]] = field(default_factory=list)
    """State and freshness by task id, at unix seconds."""
    unconfirmed: dict[str, float] = field(default_factory=dict)
    """The longest time without a confirmed manager, in seconds, by service."""
    _seen: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    _confirmed: dict[str, float] = field(default_factory=dict)

    def see(self, swarms: list[dict[str, Any]]) -> None:
        """One look."""
        super().see(swarms)
        now = time.time()
        replicas = [r for swarm in swarms for r in swarm["replicas"]]
        self.shown.append((now, {r["id"]: (r["state"], r["freshness"]) for r in replicas}))
        for swarm in swarms:
            service = swarm["service"]
            self._seen.setdefault(service, []).append((now, swarm["manager_epoch"]))
            since, longest = self._confirmed.setdefault(service, now), self.unconfirmed.get(service, 0.0)
            if swarm["manager_confirmed"]:
                self._confirmed[service] = now
            self.unconfirmed[service] = longest if swarm["manager_confirmed"] else max(longest, now - since)

    def check(self, longest: float) -> None:
        """Never two; nobody confirmed for at most ``longest`` seconds; epochs that only rise."""
        assert set(self.most.values()) == {1}, self.most
        assert max(self.unconfirmed.values()) <= longest, self.unconfirmed
        for service, seen in self._seen.items():
            for at, epoch in seen:
                known = max((e for earlier, e in seen if earlier < at - _READ_WITHIN), default=0)
                assert epoch >= known, f"{service} was shown in epoch {epoch} after {known}"

    def last_as(self, task_id: str, *, alive: bool) -> float | None:
        """When it was last shown, or last shown as running and alive (unix seconds)."""
        times = [
            at for at, shown in self.shown
            if task_id in shown and (not alive or shown[task_id] == ("running", "alive"))
        ]  # fmt: skip
        return max(times, default=None)


def _unix(timestamp: str) -> float:
    """Go's time, whose fraction has up to nine digits."""
    return datetime.fromisoformat(f"{timestamp[:19]}{timestamp[19:].rstrip('Z')[:7]}+00:00").timestamp()


def _none(service: str) -> Seat:
    raise LookupError(f"{service} has no manager that Swarm says runs")
