"""Swarms of several nodes on one machine: each node is a Docker engine in a container of its own."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.docker.host import READY, Engine

_PRIVILEGES = (
    # "privileged" would do on most hosts. This works where the host itself lacks a capability, too.
    "--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE", "--security-opt", "seccomp=unconfined",
    "--security-opt", "apparmor=unconfined", "--device-cgroup-rule", "a *:* rwm",
    "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw",
)  # fmt: skip
_DOOR = "/run/door"
"""Where a node's engine puts the socket that this process uses."""
_COMMAND = (
    # What a node that was killed leaves there: process ids that mean somebody else by now.
    "rm -rf /var/run/docker.pid /var/run/docker; "
    "mount -o remount,rw /proc/sys; umount /proc/sys 2>/dev/null; "
    f"exec dockerd -H unix:///var/run/docker.sock -H unix://{_DOOR}/docker.sock"
)
_pause = threading.Event()
"""Never set; waited for between two looks."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: ``container`` on the outer engine, ``engine`` inside of it, ``name`` in the swarm."""

    name: str
    container: str
    engine: Engine

    @property
    def id(self) -> str:
        """The swarm's id of it."""
        return self.engine.docker("info", "--format", "{{.Swarm.NodeID}}")


@dataclass(frozen=True, slots=True)
class Nodes:
    """A swarm; its first node is the only manager."""

    outer: Engine
    nodes: tuple[Node, ...]

    @property
    def manager(self) -> Engine:
        """The engine of the manager."""
        return self.nodes[0].engine

    def node(self, node_id: str) -> Node:
        """The node of that id."""
        return next(node for node in self.nodes if node.id == node_id)

    def lose(self, node: Node) -> None:
        """End a node as a power cut would: its engine, and every container on it."""
        self.outer.docker("kill", node.container)

    def bring_back(self, node: Node) -> None:
        """Start a lost node again, and wait until its engine answers."""
        self.outer.docker("start", node.container)
        _wait_for(self.outer, node)

    def address(self, node: Node) -> str:
        """Where this machine reaches what the node publishes; after it came back, it may be elsewhere."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self.outer.docker("inspect", "--format", form, node.container)

    def logs(self) -> list[tuple[str, str]]:
        """What Swarm says of the nodes, and the end of every container's log on every one that answers."""
        found = [("nodes", self.manager.try_docker("node", "ls").stdout)]
        for node in self.nodes:
            if node.engine.try_docker("version").returncode == 0:
                found += [(f"{node.name}: {title}", said) for title, said in node.engine.logs()]
            else:
                found.append((node.name, "its engine does not answer"))
        return found

    def load(self, *images: str) -> None:
        """Give every node images of the outer engine."""
        with tempfile.TemporaryDirectory() as directory:
            tar = Path(directory) / "image.tar"
            self.outer.docker("save", "--output", tar, *images)
            with ThreadPoolExecutor(len(self.nodes)) as pool:
                list(pool.map(lambda node: node.engine.docker("load", "--quiet", "--input", tar), self.nodes))


@contextlib.contextmanager
def nodes(outer: Engine, image: str, count: int) -> Iterator[Nodes]:
    """``count`` nodes on a network of their own, as one swarm: a manager and workers."""
    prefix = f"{outer.prefix}-{count}"
    with tempfile.TemporaryDirectory(prefix="clawtest-") as doors:
        outer.docker("network", "create", f"{prefix}-wire")
        made = tuple(_start(outer, image, prefix, number, Path(doors)) for number in range(1, count + 1))
        try:
            for node in made:
                _wait_for(outer, node)
            first = made[0].engine
            # A lost node is called down after some three heartbeats; Swarm's own are 5 s.
            first.docker("swarm", "init", "--advertise-addr", "eth0", "--dispatcher-heartbeat", "1s")
            token = first.docker("swarm", "join-token", "--quiet", "worker")
            for node in made[1:]:
                node.engine.docker("swarm", "join", "--token", token, f"{made[0].container}:2377")
            yield Nodes(outer, made)
        finally:
            outer.clean([prefix])


def _start(outer: Engine, image: str, prefix: str, number: int, doors: Path) -> Node:
    name, container = f"node-{number}", f"{prefix}-node-{number}"
    door = doors / name
    door.mkdir()
    outer.docker(
        "run", "--detach", "--name", container, "--hostname", name, "--network", f"{prefix}-wire",
        *_PRIVILEGES, "--volume", f"{container}:/var/lib/docker", "--volume", f"{door}:{_DOOR}",
        image, "sh", "-c", _COMMAND,
    )  # fmt: skip
    return Node(name, container, Engine(f"unix://{door}/docker.sock"))


def _wait_for(outer: Engine, node: Node) -> None:
    deadline = time.monotonic() + READY
    while node.engine.try_docker("version").returncode != 0:
        if time.monotonic() > deadline:
            said = outer.try_docker("logs", "--tail", "5", node.container).stderr
            raise AssertionError(f"the engine of {node.name} does not answer: {said[-2_000:]}")
        _pause.wait(0.2)
