"""Verified stand-ins that tests share: time that moves only when a test says so, a rack that obeys."""

from __future__ import annotations

from collections.abc import Iterable

from clawbucket.clock import iso_of
from clawbucket.core.agent import AgentReply, Utterance
from clawbucket.ports import AgentFailed, ClawError, NodeUnknown, ServiceUnknown, TaskElsewhere, TaskUnknown


class FakeClock:
    """A Clock whose two times move together, by ``advance`` alone."""

    def __init__(self, monotonic: float = 1_000.0, wall_ms: int = 1_790_000_000_000) -> None:
        self._monotonic = monotonic
        self._wall_ms = wall_ms

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` go by."""
        self._monotonic += seconds
        self._wall_ms += round(seconds * 1000)

    def show(self, wall_ms: int) -> None:
        """Set the time of day alone, as somebody sets a clock."""
        self._wall_ms = wall_ms

    def monotonic(self) -> float:
        """Seconds since the fake start."""
        return self._monotonic

    def wall_ms(self) -> int:
        """Unix milliseconds."""
        return self._wall_ms

    def iso(self) -> str:
        """Now, for people."""
        return iso_of(self._wall_ms)


class FakeAgent:
    """An AgentRuntime that says what it is told to: ``says`` by session, "plain" for the model alone.

    What is an exception is raised; a list is used up from its front, its last staying. ``asked`` is what
    it was asked, as (session, text).
    """

    backend, model = "embedded", "fake"

    def __init__(self, **says: object) -> None:
        self.says = says
        self.asked: list[tuple[str, str]] = []
        self.remembered: list[tuple[str, Utterance]] = []
        self.closed = False

    def ask(self, session: str, text: str, seconds: float) -> AgentReply:  # noqa: ARG002 - the port's form
        """What it was told to say in that session."""
        self.asked.append((session, text))
        said = self._say(session.rpartition(":")[2])
        return AgentReply(said, session, self.model, self.backend, 0.5, "ok", 10, 3)

    def plain(self, prompt: str, seconds: float) -> AgentReply:  # noqa: ARG002
        """What it was told to say without context."""
        self.asked.append(("plain", prompt))
        return AgentReply(self._say("plain"), "", self.model, "ollama", 0.5, "ok")

    def history(self, session: str) -> tuple[Utterance, ...]:
        """What was said in that session."""
        said = [text for where, text in self.asked if where == session]
        return tuple(
            Utterance(role, text if role == "user" else f"answer to {number}", "2026-01-01T00:00:00Z")
            for number, text in enumerate(said)
            for role in ("user", "assistant")
        )

    def remember(self, session: str, conversation: Iterable[Utterance]) -> None:
        """Keep it."""
        self.remembered += [(session, said) for said in conversation]

    def close(self) -> None:
        """Remember that."""
        self.closed = True

    def _say(self, what: str) -> str:
        said = self.says.get(what, AgentFailed("Ollama does not answer", "unreachable"))
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(said, Exception):
            raise said
        return str(said)


class FakeRack:
    """Orders on a list of tasks, as the rack manager would take them; ``calls`` tells which came.

    ``fails`` is raised by the next order, and by each after it until it is None again.
    """

    def __init__(
        self, services: dict[str, int], tasks: Iterable[str] = (), nodes: Iterable[str] = ()
    ) -> None:
        self.desired = dict(services)
        self.tasks = set(tasks)
        self.elsewhere: set[str] = set()
        self.nodes = set(nodes)
        self.calls: list[tuple[str, ...]] = []
        self.marks: set[str] = set()
        self.fails: ClawError | None = None

    def scale(self, service: str, replicas: int) -> None:
        """Remember the count."""
        self._take("scale", service, str(replicas))
        if service not in self.desired:
            raise ServiceUnknown(f"no service {service} runs here")
        self.desired[service] = replicas

    def resize(self, service: str, by: int, mark: str, leaving: str = "") -> int:
        """Change the count once for each mark, and forget who leaves."""
        self._take("resize", service, str(by), mark, leaving)
        if service not in self.desired:
            raise ServiceUnknown(f"no service {service} runs here")
        if mark not in self.marks:
            self.marks.add(mark)
            self.desired[service] += by
            self.tasks.discard(leaving)
        return self.desired[service]

    def kill(self, task_id: str) -> None:
        """Forget the task."""
        self._take("kill", task_id)
        if task_id in self.elsewhere:
            raise TaskElsewhere(f"task {task_id} runs on another node")
        if task_id not in self.tasks:
            raise TaskUnknown(f"no task {task_id} runs here")
        self.tasks.discard(task_id)

    def restart(self, service: str) -> None:
        """Do nothing but check."""
        self._take("restart", service)
        if service not in self.desired:
            raise ServiceUnknown(f"no service {service} runs here")

    def set_availability(self, node_id: str, availability: str) -> None:
        """Do nothing but check."""
        self._take("set_availability", node_id, availability)
        if node_id not in self.nodes:
            raise NodeUnknown(f"no node {node_id} is in the swarm")

    def _take(self, *call: str) -> None:
        self.calls.append(call)
        if self.fails is not None:
            raise self.fails
