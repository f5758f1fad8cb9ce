"""How a task becomes a process: forked from the nursery where there is one, else a program of its own."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from clawbucket.core.model import Snapshot, Task
from rack.engines import agent_homes, processes, replica_logs
from rack.engines.environment import environment_of
from rack.engines.nursery import Nursery, reap_strangers


class Starter:
    """Starts the replicas of one rack. Not thread-safe: the engine holds a lock around it.

    ``nursery`` is the program to fork from, empty for none; ``directory`` the rack's state directory.
    """

    def __init__(
        self, command: Sequence[str], nursery: Sequence[str], environment: Mapping[str, str], directory: Path,
        lifeline_fd: int | None,
    ) -> None:  # fmt: skip
        self._command, self._nursery_command = tuple(command), tuple(nursery)
        self._environment = dict(environment)
        self._directory = directory
        self._lifeline_fd = lifeline_fd
        self._nursery: Nursery | None = None
        self.logs = directory / "logs"

    @property
    def program(self) -> str:
        """What is run, for a message."""
        return self._command[0]

    def prepare(self) -> None:
        """Make the place for logs, and have the nursery import while everything else starts."""
        self.logs.mkdir(parents=True, exist_ok=True)
        if self._nursery_command:
            log_file = self._directory / "nursery.log"
            self._nursery = Nursery(self._nursery_command, self._environment, log_file)

    def spawn(self, task: Task, snapshot: Snapshot, listener: socket.socket) -> int:
        """The pid of a new process for the task, in a session of its own. OSError when it cannot be."""
        environment = environment_of(
            task,
            base=self._environment,
            hostname=next(node.hostname for node in snapshot.nodes if node.id == task.node_id),
            services=[service.name for service in snapshot.services],
            state_dir=self._directory,
            lifeline=self._lifeline_fd is not None,
        )
        log_file = replica_logs.path_of(self.logs, task.name)
        if self._nursery is not None:
            pid = self._nursery.spawn(environment, log_file, listener, self._lifeline_fd)
            if pid is not None:
                return pid
        return processes.spawn(self._command, environment, log_file, listener, self._lifeline_fd)

    def tidy(self, known_pids: set[int], known_tasks: set[str]) -> None:
        """Clear away adopted orphans' corpses and what the long dead left behind; cut long logs. OSError."""
        if self._nursery is not None:
            reap_strangers(known_pids)
        replica_logs.trim(self.logs)
        replica_logs.prune(self.logs, known_tasks)
        agent_homes.prune(self._directory, {name.rpartition(".")[2] for name in known_tasks})

    def close(self) -> None:
        """Let the nursery go. What was started goes on."""
        if self._nursery is not None:
            self._nursery.close()
