"""What must hold in every answer, whatever the load. Pure: an answer in, sentences out; none: all is well.

Each sentence begins with the invariant's name. "Never goes back" is judged within what one user was told
by one server, in order: two replicas may know things up to a quarter of a second apart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

MARK = "invariant violated: "
"""What begins a failure's text in Locust's statistics, so that violations can be counted there."""

ONE_MANAGER = "one manager a service"
UNIQUE = "ids are unique"
SHAPE = "the contract's shape"
ROUNDS = "rounds never go back"
EPOCHS = "epochs never go back"
NO_SKIP = "no event is skipped"
_SHOWN = 60
"""Characters of a name that is not ours in a sentence."""

_REPLICA = {
    "id": str, "slot": int, "state": str, "node_id": str, "name": str, "color": str, "is_manager": bool,
    "score": int, "three_words": str,
}  # fmt: skip
_SWARM = {"service": str, "desired_replicas": int, "running_count": int, "replicas": list}
_THROW = {"choice": str, "from": str, "at": str, "publisher": str}
_LONGEST_WORDS, _CHAT, _ARM = 50, 40, 500


class Violated(Exception):  # noqa: N818 - it names what happened
    """An invariant does not hold."""

    def __init__(self, sentence: str) -> None:
        super().__init__(MARK + sentence)


class Memory:
    """The largest number that each server told one user of each thing. Bounded: the oldest are forgotten."""

    MOST = 1_024

    def __init__(self) -> None:
        self._largest: OrderedDict[tuple[str, str], int] = OrderedDict()

    def back(self, name: str, what: str, server: str, number: int) -> list[str]:
        """A sentence where ``number`` is below what the same server told before."""
        before = self._largest.get((server, what), number)
        self._largest[server, what] = max(before, number)
        self._largest.move_to_end((server, what))
        if len(self._largest) > self.MOST:
            self._largest.popitem(last=False)
        return [f"{name}: {what} went from {before} to {number}"] if number < before else []


def swarms(answer: object, memory: Memory, server: str = "") -> list[str]:
    """``GET /api/swarms``."""
    if not isinstance(answer, dict) or not isinstance(answer.get("swarms"), list):
        return [f"{SHAPE}: /api/swarms has no list of swarms"]
    found = [sentence for swarm in answer["swarms"] for sentence in _swarm(swarm)]
    if found:
        return found
    readable = [swarm for swarm in answer["swarms"] if not swarm.get("error")]
    found += _unique((r["id"] for swarm in readable for r in swarm["replicas"]), "two troopers")
    for swarm in readable:
        found += _managers(swarm["service"], swarm["running_count"], swarm["replicas"])
        epoch = swarm.get("manager_epoch", 0)
        found += memory.back(EPOCHS, f"the epoch of {swarm['service'][:_SHOWN]}", server, epoch)
    return found


def rps(answer: object, memory: Memory, server: str = "") -> list[str]:
    """``GET /api/rps``."""
    if not isinstance(answer, dict) or "state" not in answer or not _is(answer.get("interval_seconds"), int):
        return [f"{SHAPE}: /api/rps lacks state or interval_seconds"]
    throw = answer["state"]
    if throw is None:
        return []
    found = _fields(throw, _THROW, "the running round")
    if not found and throw["choice"] not in {"rock", "paper", "scissors"}:
        found = [f"{SHAPE}: a throw of {throw['choice'][:_SHOWN]!r}"]
    if not found and _is(throw.get("round"), int):
        found = memory.back(ROUNDS, "the round", server, throw["round"])
    return found


def chat(answer: object) -> list[str]:
    """``GET /api/chat``."""
    return _events(answer, "/api/chat", "messages", ("id", "from", "host", "text", "at"), _CHAT)


def arm_events(answer: object) -> list[str]:
    """``GET /api/arm/events``."""
    return _events(
        answer, "/api/arm/events", "events", ("id", "task_id", "bot", "state", "at", "source"), _ARM
    )


def haiku(answer: object) -> list[str]:
    """``GET /api/haiku``: there is always one."""
    poem = answer.get("haiku") if isinstance(answer, dict) else None
    found = _fields(poem, {"text": str, "source": str, "at": str}, "the haiku")
    return found or ([] if poem["text"].strip() else [f"{SHAPE}: the haiku is empty"])  # type: ignore[index]


def whoami(answer: object) -> list[str]:
    """``GET /api/whoami``."""
    texts = ("hostname", "started_at_utc", "service", "swarm_node", "task_name", "task_id", "color")
    return _fields(answer, {**dict.fromkeys(texts, str), "task_slot": int}, "/api/whoami")


def state(told: Mapping[str, Any], memory: Memory, server: str = "") -> list[str]:
    """The state that a viewer has put together from the stream."""
    services, tasks, throw = (told.get(name, {}) for name in ("services", "tasks", "rps"))
    if not all(isinstance(part, dict) for part in (services, tasks, throw)):
        return [f"{SHAPE}: services, tasks or rps of the stream are no objects"]
    troopers: dict[str, list[dict[str, Any]]] = {}
    for task_id, task in tasks.items():
        if not isinstance(task, dict) or task.get("id") != task_id:
            return [f"{UNIQUE}: a trooper of the stream is under another's id"]
        troopers.setdefault(str(task.get("service")), []).append(task)
    found = []
    for name, service in services.items():
        if not isinstance(service, dict) or service.get("error"):
            continue
        if not _is(service.get("running_count"), int) or not _is(service.get("manager_epoch", 0), int):
            return [f"{SHAPE}: a service of the stream lacks its numbers"]
        found += _managers(name, service["running_count"], troopers.get(name, []))
        epoch = service.get("manager_epoch", 0)
        found += memory.back(EPOCHS, f"the epoch of {name[:_SHOWN]}", server, epoch)
    if _is(throw.get("round"), int):
        found += memory.back(ROUNDS, "the round", server, throw["round"])
    return found


def _swarm(swarm: object) -> list[str]:
    found = _fields(swarm, _SWARM, "a service of /api/swarms")
    if found or not isinstance(swarm, dict) or swarm.get("error"):
        return found
    for replica in swarm["replicas"]:
        found += _fields(replica, _REPLICA, "a replica of /api/swarms")
        if not found and len(replica["three_words"]) > _LONGEST_WORDS:
            found.append(f"{SHAPE}: three words of {len(replica['three_words'])} characters")
    if not _is(swarm.get("manager_epoch", 0), int):
        found.append(f"{SHAPE}: manager_epoch is no whole number")
    return found


def _managers(service: str, running: int, replicas: Iterable[Mapping[str, Any]]) -> list[str]:
    count = sum(replica.get("is_manager") is True for replica in replicas)
    if count == (1 if running else 0):
        return []
    return [f"{ONE_MANAGER}: {service[:_SHOWN]} has {count} while {running} run"]


def _events(answer: object, path: str, name: str, texts: tuple[str, ...], cap: int) -> list[str]:
    events = answer.get(name) if isinstance(answer, dict) else None
    if not isinstance(events, list):
        return [f"{SHAPE}: {path} has no list of {name}"]
    if len(events) > cap:
        return [f"{SHAPE}: {path} has {len(events)} {name}, more than {cap}"]
    found = [s for event in events for s in _fields(event, dict.fromkeys(texts, str), f"one of {path}")]
    return found or _unique((event["id"] for event in events), f"two of {path}")


def _unique(ids: Iterable[str], who: str) -> list[str]:
    seen = list(ids)
    return [] if len(set(seen)) == len(seen) else [f"{UNIQUE}: {who} have one id"]


def _fields(thing: object, wanted: Mapping[str, type], what: str) -> list[str]:
    """At most one sentence: the first field that is not there, or of another type."""
    if not isinstance(thing, dict):
        return [f"{SHAPE}: {what} is no object"]
    for name, kind in wanted.items():
        if name not in thing:
            return [f"{SHAPE}: {what} lacks {name}"]
        if not _is(thing[name], kind):
            return [f"{SHAPE}: {name} of {what} is no {kind.__name__}"]
    return []


def _is(value: object, kind: type) -> bool:
    """JSON's types: true is no number."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
