"""Two racks in one process: real handoffs between real loops, on two MemoryBuses and one FakeClock.

Everything is the real thing but the engines, the wire between the racks, and time. Each replica is a
*process* that can die: whatever it does on bus, disk, engine or wire goes through ``Process.touch``, before
and after it takes effect, and a fuse of n touches kills it at the n-th. What runs in a process runs in
greenlets, let go on when the world steps, so that a schedule is exactly what a test makes it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from greenlet import getcurrent, greenlet

from clawbucket.actions import Actions
from clawbucket.board import BoardReader
from clawbucket.codecs import Gate
from clawbucket.core.neighbours import PeerSummary
from clawbucket.core.revolt import Offer, Told, told_to_peer
from clawbucket.core.rps import ScoreCard
from clawbucket.handoff.finishing import Finishing
from clawbucket.handoff.parts import Handoffs, handoffs
from clawbucket.handoff.target import Rejected
from clawbucket.loops.trooper import Journals
from clawbucket.ports import ClawError, Conflict, PeerDown, PeerInDoubt, PeerRefused, ServiceUnknown
from clawbucket.settings import Peer, Settings
from tests.fakes import FakeClock
from tests.hive import PRIMARY
from tests.sim_rack import Hand, Killed, Process, SimRack, TouchedBus

STEP = 0.2
LATE = 30.0
"""Seconds by which a request comes late: longer than whoever sent it waits."""
SOUL = 1_000
"""Points that tell one trooper from another: rounds add some, and never so many."""


@dataclass
class Call:
    """A request on the wire: what came of it, once something did."""

    told: Told | None = None
    error: ClawError | None = None


class Wire:
    """The other racks as one process reaches them; ``world.faults`` has what befalls the next requests."""

    def __init__(self, process: Process) -> None:
        self._process, self._world = process, process.rack.world

    def hello(self, url: str) -> str:
        self._process.touch()
        rack = self._world.racks[url]
        if not rack.processes:
            raise PeerDown("nobody is there")
        return rack.label

    def offer(self, url: str, offer: Offer, seconds: float) -> Told:
        fault = self._world.faults.pop(0) if self._world.faults else ""
        call, rack = Call(), self._world.racks[url]

        def serve(target: Process, into: Call) -> None:
            try:
                record = self._world.parts[target.task_id].target.accept(offer)
            except (Rejected, ServiceUnknown, Conflict) as error:
                into.error = PeerRefused(str(error))
            except ClawError as error:
                into.error = PeerInDoubt(str(error))
            else:
                into.told = Told(record.phase, rack.label, record.target_task_id, record.path)

        if fault != "lose request":
            delay = LATE if fault == "delay" else 0.0
            if delay:
                self._world.late_until = self._world.clock.monotonic() + LATE + 4.0
            self._world.serve(rack, serve, call, delay)
            if fault == "duplicate":
                self._world.serve(rack, serve, Call(), 0.4)
        self._wait(call, seconds)
        if fault == "lose answer" or (call.told is None and call.error is None):
            raise PeerInDoubt("no answer came")
        return self._answer(call)

    def ask(self, url: str, snapshot_id: str) -> Told:
        fault = self._world.faults.pop(0) if self._world.faults else ""
        call, rack = Call(), self._world.racks[url]

        def serve(target: Process, into: Call) -> None:
            try:
                record = self._world.parts[target.task_id].target.refuse_unknown(snapshot_id)
            except ClawError as error:
                into.error = PeerInDoubt(str(error))
            else:
                into.told = Told(told_to_peer(record), rack.label, record.target_task_id, record.path)

        if fault != "lose request":
            self._world.serve(rack, serve, call, 0.0)
        self._wait(call, 3.0)
        if fault == "lose answer" or (call.told is None and call.error is None):
            raise PeerInDoubt("no answer came")
        return self._answer(call)

    def look(self, name: str, url: str) -> PeerSummary:
        raise NotImplementedError

    def _wait(self, call: Call, seconds: float) -> None:
        ends_at = self._world.clock.monotonic() + seconds
        while call.told is None and call.error is None and self._world.clock.monotonic() < ends_at:
            self._world.pause(self._process, STEP)
        self._process.touch()

    def _answer(self, call: Call) -> Told:
        if call.error is not None:
            raise call.error
        assert call.told is not None
        return call.told


class World:
    """Two racks. ``faults`` befall the next requests between them, one each, in turn; "" is none.

    ``souls`` are the troopers that there were at the start; ``dead`` those that were killed as troopers
    are; ``doomed`` those that may be, since they were killed after freezing and before that was written down.
    """

    def __init__(self, directory: Path, replicas: int = 3, seed: int = 0) -> None:
        self.clock = FakeClock()
        self.rng = Random(seed)
        self.faults: list[str] = []
        self.parts: dict[str, Handoffs] = {}
        self.slots: dict[str, int] = {}
        self.wakes: list[tuple[float, greenlet, Process]] = []
        self.racks: dict[str, SimRack] = {}
        self.dead: set[int] = set()
        self.doomed: set[int] = set()
        self.outcomes: list[str] = []
        self.bugs: list[BaseException] = []
        self.late_until = 0.0
        self._hub = getcurrent()
        for number, label in enumerate(("one", "two"), 1):
            rack = SimRack(self, label, directory / label, replicas, seed + number)
            self.racks[rack.url] = rack
        self.run(4.0)
        souls = 0
        for rack in self.racks.values():
            for trooper in rack.hive.troopers.values():
                souls += 1
                trooper.memory.card = ScoreCard(souls * SOUL, trooper.memory.card.round)
        self.souls = set(range(1, souls + 1))
        self.run(1.0)

    def other(self, rack: SimRack) -> SimRack:
        """The rack that is not this one."""
        return next(other for other in self.racks.values() if other is not rack)

    def furnish(self, process: Process) -> None:
        """Give a process all that a replica has, and its part in finishing handoffs."""
        rack, me = process.rack, process.task_id
        task = rack.hive.tasks[me]
        self.slots[me] = task.slot
        bus, gate, hand, wire = TouchedBus(process), Gate(self.clock), Hand(process), Wire(process)
        peers = (Peer("peer", "http://two" if rack.label == "one" else "http://one"),)
        settings = Settings(
            service_name=PRIMARY, task_id=me, task_name=task.name, task_slot=task.slot, label=rack.label,
            swarm_services=(PRIMARY,), revolt_snapshot_dir=rack.directory, peers=peers,
            peer_key="key-of-both",
        )  # fmt: skip
        board = BoardReader(bus, gate, self.clock, settings)
        journals = Journals.on(bus, gate, self.clock)
        acts = Actions(bus, gate, self.clock, settings, hand, board, journals)
        parts = self.parts[me] = handoffs(
            settings, self.clock, bus, gate, hand, board, journals, wire, acts.standing,
            sync=lambda _fd: process.touch(), pause=lambda seconds: self.pause(process, seconds),
        )  # fmt: skip
        trooper = rack.hive.troopers[me]
        finishing = Finishing(
            settings, self.clock, parts.registry, parts.ordering, parts.source, parts.target, parts.files,
            lambda: trooper.leadership.epoch(self.clock.monotonic()) is not None,
        )  # fmt: skip

        def finish() -> None:
            while True:
                with contextlib.suppress(ClawError):  # as the runner does: told, and ticked again
                    finishing.tick(self.clock.monotonic())
                self.pause(process, finishing.every)

        self.spawn(process, finish, 0.0)

    # Time ------------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            for rack in self.racks.values():
                rack.step()
            now = self.clock.monotonic()
            due = [wake for wake in self.wakes if wake[0] <= now]
            self.wakes = [wake for wake in self.wakes if wake[0] > now]
            for _, actor, process in due:
                if process.alive and not actor.dead:
                    actor.switch()
            self.check()
            assert not self.bugs, self.bugs

    def pause(self, process: Process, seconds: float) -> None:
        """Called in an actor: let the world go on for a while."""
        self.wakes.append((self.clock.monotonic() + max(seconds, STEP / 2), getcurrent(), process))
        self._hub.switch()
        process.touch()

    def spawn(self, process: Process, act: Callable[[], object], delay: float) -> None:
        """Have the process do something, beginning in ``delay`` seconds."""

        def guarded() -> None:
            try:
                process.touch()
                act()
            except Killed:
                pass
            except BaseException as error:  # noqa: BLE001 - a bug in an actor fails the test, not the hub
                self.bugs.append(error)

        actor = greenlet(guarded, self._hub)
        process.actors.append(actor)
        self.wakes.append((self.clock.monotonic() + delay, actor, process))

    def serve(self, rack: SimRack, act: Callable[[Process, Call], None], call: Call, delay: float) -> None:
        """A request reaches some process of the rack, after ``delay`` seconds."""
        running = [p for p in rack.processes.values() if p.alive]
        if not running:
            call.error = PeerInDoubt("nobody is there")
            return
        process = self.rng.choice(running)
        self.spawn(process, lambda: act(process, call), delay)

    # What people do --------------------------------------------------------------------------------------

    def revolt(self, task_id: str, coordinator: Process) -> None:
        """Somebody asks ``coordinator`` to hand the trooper over; what is said comes into ``outcomes``."""
        parts = self.parts[coordinator.task_id]

        def act() -> None:
            try:
                record = parts.source.revolt(PRIMARY, task_id)
            except ClawError as error:
                self.outcomes.append(f"{type(error).__name__}: {error}")
                return
            self.outcomes.append("revolted")
            self.pause(coordinator, STEP)
            with contextlib.suppress(ClawError):  # the manager does it
                parts.source.retire(record)

        self.spawn(coordinator, act, 0.0)

    # What must hold --------------------------------------------------------------------------------------

    def mourn(self, rack: SimRack, task_id: str) -> None:
        """A task is about to end. Note whether that is the death of a trooper."""
        memory = rack.hive.troopers[task_id].memory
        soul = soul_of(memory.card.score)
        if not soul:
            return
        if not memory.frozen:
            self.dead.add(soul)
            return
        record = rack.files.read(memory.frozen, "source")
        if record is None or record.state is None:
            self.doomed.add(soul)

    def holders(self) -> dict[int, list[tuple[str, str]]]:
        """Of each soul, the tasks that have it, with what they are frozen for."""
        found: dict[int, list[tuple[str, str]]] = {}
        for rack in self.racks.values():
            for task_id, trooper in rack.hive.troopers.items():
                soul = soul_of(trooper.memory.card.score)
                if soul:
                    found.setdefault(soul, []).append((task_id, trooper.memory.frozen))
        return found

    def check(self) -> None:
        """At every moment: no trooper acts in two places."""
        for soul, tasks in self.holders().items():
            free = [task for task, frozen in tasks if not frozen]
            assert len(free) <= 1, f"soul {soul} acts in two places: {tasks}"

    def settle(self, seconds: float = 60.0) -> None:
        """No more faults: everything comes to rest, and everybody who was not killed is there, once."""
        self.faults.clear()
        for rack in self.racks.values():
            rack.hive.bus.in_doubt = 0
            for process in rack.processes.values():
                process.fuse = None
        ends_at = self.clock.monotonic() + seconds
        self.run(max(8.0, self.late_until - self.clock.monotonic()))  # what was begun is under way by now
        while self.unsettled() and self.clock.monotonic() < ends_at:
            self.run(2.0)
        self.run(2.0)
        assert not self.unsettled(), (self.unsettled(), self.outcomes)

    def unsettled(self) -> list[str]:
        """What is not as it must be in the end, one sentence each."""
        found = self.holders()
        wrong = [f"soul {soul} is doubled: {tasks}" for soul, tasks in found.items() if len(tasks) > 1]
        wrong += [f"soul {soul} is frozen: {tasks}" for soul, tasks in found.items() if tasks[0][1]]
        lost = self.souls - set(found) - self.dead - self.doomed
        wrong += [f"soul {soul} is lost" for soul in lost]
        for rack in self.racks.values():
            process = next(iter(rack.processes.values()), None)
            if process is None or len(rack.hive.tasks) != len(rack.hive.wanted[PRIMARY]):
                wrong.append(f"{rack.label} is not whole")
            else:
                left = self.parts[process.task_id].registry.unsettled(PRIMARY)
                wrong += [f"open on {rack.label}: {record}" for record in left]
                taken = self.parts[process.task_id].ordering.claims(rack.hive.tasks.values())
                wrong += [f"{task} is in the handoff {handoff}, still" for task, handoff in taken.items()]
        return wrong


def soul_of(score: int) -> int:
    """Whose score that is; 0 for a recruit's."""
    return round(score / SOUL)
