"""What is answered: one pydantic model an object, with every field and its meaning.

Nothing is built with these (app/wire.py makes plain dicts, since answers are made by the thousand); they
describe. /openapi.json is made of them, and tests/contract/test_api_contract.py holds every answer
to them, with no field too many and none too few.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Choice = Literal["rock", "paper", "scissors"]
At = Field(description="ISO-8601 UTC.", examples=["2026-11-20T09:30:00.123Z"])
Source = Field(description="Where it comes from.")
AGENT_PROBLEM = "Why troopers speak from the phrase book. There only while a model should think for them."
STALE = "Seconds since the bus last answered. There only while it does not: this is what was last known."


class Answer(BaseModel):
    """What all answers have in common: they hold what is said here and nothing else."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Error(Answer):
    """Why it was not done."""

    error: str = Field(description="One clear sentence for a person.")
    code: str = Field(pattern=r"^[a-z0-9_]+$", description="Stable, for programs.")


class Whoami(Answer):
    """Which replica answers."""

    hostname: str = Field(description="Its machine's or container's host name.")
    started_at_utc: str = At
    service: str = Field(description="Its service's full name.")
    swarm_node: str = Field(description="The node that it runs on.")
    task_name: str = Field(description="Its task: service.slot.id.")
    task_slot: int = Field(description="Its slot.")
    task_id: str = Field(description="Its task's id.")
    color: str = Field(pattern=r"^#[0-9a-f]{6}$", description="Its colour, made of its task's id.")
    name: str = Field(description="Its callsign, made of its task's id.", examples=["Brave Otter"])
    label: str = Field(description="Its rack's label.")


class Replica(Answer):
    """One trooper."""

    id: str = Field(description="Its task's id.")
    slot: int = Field(description="Its slot in the service.")
    state: str = Field(description="Its task's actual state, as Swarm says it in lower case.")
    node_id: str = Field(description="The id of the node that it runs on.")
    name: str = Field(description="Its callsign, made of its task's id.", examples=["Brave Otter"])
    color: str = Field(pattern=r"^#[0-9a-f]{6}$", description="Its colour, made of its task's id.")
    is_manager: bool = Field(description="True of exactly one running replica of a service.")
    score: int = Field(description="Its rock/paper/scissors score.")
    three_words: str = Field(max_length=50, description="What it says in three words.")
    words_source: str = Field(description="Where those words come from.")
    manager_confirmed: bool = Field(
        description="It also holds the service's lease, and that lease is seen moving."
    )
    desired_state: str = Field(description="The state that its task is meant to be in.")
    node: str = Field(description="The node's host name.")
    task_name: str = Field(description="service.slot.id.")
    freshness: Literal["alive", "suspect", "missing"] = Field(description="What its heartbeats tell.")
    arm: Literal["on", "off"] = Field(description="Armed or not.")
    round: int = Field(description="The last round that it scored or threw; 0: none.")
    move: Choice | None = Field(description="What it threw in that round.")
    outcome: Literal["win", "loss", "draw"] | None = Field(description="How that went.")
    started_at: str = At
    agent: Literal["off", "unknown", "ok", "unreachable", "model_missing", "misconfigured", "failing"] = (
        Field(description="How its agent is.")
    )
    thinking: bool = Field(description="Its agent is thinking at this moment.")
    frozen: bool = Field(description="It is held for a handoff: nothing that is its own changes.")
    from_rack: str | None = Field(
        max_length=40, description="The label of the rack that it came from; null where it was born here."
    )
    defected: bool = Field(description="It goes on on another rack; here it is about to end.")


class Service(Answer):
    """One service."""

    service: str = Field(description="Its full name.")
    desired_replicas: int = Field(description="How many are wanted.")
    running_count: int = Field(description="How many run.")
    replicas: list[Replica] = Field(description="Those that hold a slot, by slot.")
    alias: str = Field(description="Its short name.")
    manager_task_id: str | None = Field(description="Its manager; null while none runs.")
    manager_epoch: int = Field(description="The epoch of its lease; it only rises. 0: never led.")
    manager_confirmed: bool = Field(description="The lease's holder runs, and its lease is seen moving.")
    override_slot: int | None = Field(description="The slot preferred as manager after an outage.")
    heir_task_id: str | None = Field(description="Who manages next by the rule of preference, if anybody.")
    error: str | None = Field(default=None, description="Why it could not be read. There only then.")


class PrimaryService(Service):
    """The primary service, and how current this is."""

    stale_seconds: float | None = Field(default=None, description=STALE)
    snapshot_age_seconds: int | None = Field(
        default=None, description="Seconds since the rack manager spoke. There only when it is silent."
    )
    engine_error: str | None = Field(default=None, description="Why the engine could not be asked.")
    agent_problem: str | None = Field(default=None, description=AGENT_PROBLEM)
    agent_mend: str | None = Field(default=None, description="What to type about it. There only then.")


class Services(Answer):
    """Every service."""

    swarms: list[Service] = Field(description="One a service, the primary first.")
    rack: str = Field(description="The rack's name.")
    primary: str = Field(description="The primary service's full name.")
    stale_seconds: float | None = Field(default=None, description=STALE)
    snapshot_age_seconds: int | None = Field(
        default=None, description="Seconds since the rack manager spoke. There only when it is silent."
    )
    engine_error: str | None = Field(default=None, description="Why the engine could not be asked.")
    agent_problem: str | None = Field(default=None, description=AGENT_PROBLEM)
    agent_mend: str | None = Field(default=None, description="What to type about it. There only then.")


class Ok(Answer):
    """It was done."""

    ok: Literal[True]


class Scaling(Ok):
    """The count was given to the rack, which now carries it out."""

    service: str = Field(description="The service's full name.")
    desired_replicas: int = Field(description="The count wanted from now on.")
    status: Literal["scaling"]


class Outage(Ok):
    """The manager was killed."""

    service: str = Field(description="The service's full name.")
    removed_task_id: str = Field(description="The manager that was.")
    next_manager_slot: int = Field(description="The slot that is preferred as manager now.")
    override_ttl_seconds: int = Field(description="How long that preference stands.")
    status: Literal["outage-triggered"]


class Destructed(Ok):
    """The task was killed, or was sent the order to end itself."""

    service: str = Field(description="The service's full name.")
    removed_task_id: str = Field(description="The task that was.")
    status: Literal["self-destruct-triggered"]


class Message(Answer):
    """One line of the chat."""

    id: str
    from_: str = Field(alias="from", description="The callsign of the replica that took it.")
    host: str = Field(description="That replica's host name.")
    text: str = Field(max_length=280)
    at: str = At
    source: str = Field(
        description="``person``, or where a trooper's answer honestly comes from: ``picoclaw``, ``fallback``."
    )


class Chat(Answer):
    """The chat."""

    messages: list[Message] = Field(max_length=40, description="Oldest first.")
    source: Literal["memcached"] = Source
    stale_seconds: float | None = Field(default=None, description=STALE)


class Said(Ok):
    """The message is in the chat."""

    message: Message
    addressed: list[str] = Field(
        default=[], description="The callsigns that it was passed on to. There only when it began with ``@``."
    )
    note: str | None = Field(
        default=None, description="Why it was passed on to nobody. There only when it was to be."
    )


class ArmEvent(Answer):
    """Somebody armed or disarmed a trooper."""

    id: str
    task_id: str
    bot: str = Field(description="What the trooper was called.")
    state: Literal["on", "off"]
    at: str = At
    source: str = Field(description="What the event came from.")


class ArmEvents(Answer):
    """The ARM events."""

    events: list[ArmEvent] = Field(max_length=500, description="Oldest first.")
    source: Literal["memcached"] = Source
    stale_seconds: float | None = Field(default=None, description=STALE)


class Armed(Ok):
    """The event is in the list."""

    event: ArmEvent


class RevoltEvent(Answer):
    """One side of a handoff came to another phase."""

    id: str = Field(description="The handoff's id and the phase.")
    at: str = At
    source_task_id: str = Field(description="The task that hands its trooper over.")
    target_task_id: str = Field(description="The task that takes it over; empty while there is none yet.")
    service: str = Field(description="This rack's full name of its service.")
    source_rack: str = Field(description="The label of the rack that it leaves.")
    target_rack: str = Field(description="The label of the rack that it goes to.")
    snapshot_id: str = Field(description="The handoff's id.")
    phase: Literal["PREPARED", "ACCEPTED", "RESTORED", "COMMITTED", "ABORTED", "REJECTED", "IN_DOUBT"] = (
        Field(description="Where this rack's side of it came to.")
    )
    reason: str = Field(description="Why it was refused, undone or in doubt; else empty.")


class RevoltEvents(Answer):
    """The phases of handoffs."""

    events: list[RevoltEvent] = Field(max_length=300, description="Oldest first.")
    source: Literal["memcached"] = Source
    stale_seconds: float | None = Field(default=None, description=STALE)


class Event(Answer):
    """One thing that happened."""

    id: str
    at: str = At
    kind: Literal[
        "election", "released", "lost", "outage", "self_destruct", "started", "ended", "scale", "interval",
        "arm", "revolt", "chat",
    ]  # fmt: skip
    text: str = Field(description="One sentence; of ``chat``, what was said.")
    service: str | None = Field(description="The service's full name, where one has a part in it.")
    task_id: str | None = Field(description="The task that it is about.")
    name: str | None = Field(description="That trooper's callsign; of ``chat``, who said it.")
    epoch: int | None = Field(description="Of ``election``, ``released`` and ``lost``, the leader's epoch.")
    from_: int | None = Field(alias="from", description="Of ``scale`` and ``interval``, the number before.")
    to: int | None = Field(description="Of ``scale`` and ``interval``, the number from then on.")


class Events(Answer):
    """What happened."""

    events: list[Event] = Field(max_length=200, description="Oldest first.")
    source: Literal["memcached"] = Source
    stale_seconds: float | None = Field(default=None, description=STALE)


class LoadSample(Answer):
    """One second of a load test."""

    run: str = Field(description="The test's name.")
    users: int = Field(description="Users that it simulated then.")
    rate: float = Field(description="Requests a second.")
    p95_ms: float = Field(
        description="The milliseconds that 95 of 100 answers did not exceed, over the last seconds."
    )
    failures: int = Field(description="Requests that failed since the test began.")
    at: str = At


class LoadSamples(Answer):
    """The running load test; empty 15 s after it said something last."""

    samples: list[LoadSample] = Field(max_length=60, description="Oldest first.")
    source: Literal["memcached"] = Source
    stale_seconds: float | None = Field(default=None, description=STALE)


class LoadTaken(Ok):
    """The sample is on the bus."""

    sample: LoadSample


class Throw(Answer):
    """The running round."""

    choice: Choice
    from_: str = Field(alias="from", description="The callsign of the manager that threw.")
    at: str = At
    publisher: Literal["leader-manager"]
    round: int = Field(description="Rounds count up.")
    epoch: int = Field(description="The manager's epoch.")


class Rps(Answer):
    """Rock/paper/scissors."""

    state: Throw | None = Field(description="The running round; null while nobody throws.")
    interval_seconds: int = Field(ge=2, le=120)
    ttl_seconds: int = Field(description="Seconds for which a throw stands without being repeated.")
    stale_seconds: float | None = Field(default=None, description=STALE)


class Interval(Ok):
    """The interval from now on."""

    interval_seconds: int = Field(ge=2, le=120)


class Poem(Answer):
    """A haiku."""

    text: str = Field(min_length=1, description="Three lines.")
    source: str = Field(description="Where it honestly comes from.", examples=["fallback"])
    at: str = At


class Haiku(Answer):
    """The haiku; there is always one."""

    haiku: Poem
    interval_seconds: int = Field(description="Seconds between two.")
    stale_seconds: float | None = Field(default=None, description=STALE)


class AgentAnswer(Ok):
    """What a trooper answered."""

    task_id: str = Field(description="The trooper's task.")
    name: str = Field(description="Its callsign.")
    reply: str = Field(description="What it said.")
    session: str = Field(description="The conversation that this belongs to.")
    model: str = Field(description="The model that it thought with.")
    backend: Literal["binary", "embedded"] = Field(description="What carried the turn out.")
    outcome: Literal["ok", "empty", "tool_limit", "truncated"] = Field(description="How the turn ended.")
    duration_seconds: float = Field(description="How long it thought.")
    at: str = At


class Line(Answer):
    """One line of a conversation."""

    role: Literal["user", "assistant"] = Field(description="A person, or the trooper.")
    text: str
    at: str = At


class AgentHistory(Answer):
    """The end of the conversation with a trooper."""

    task_id: str = Field(description="The trooper's task.")
    name: str = Field(description="Its callsign.")
    messages: list[Line] = Field(max_length=24, description="Oldest first.")
    source: Literal["memcached"] = Source


class Verdict(Answer):
    """How the replica is."""

    ok: bool
    checks: dict[str, str] = Field(description="``ok``, or what is wrong, by what was asked.")
