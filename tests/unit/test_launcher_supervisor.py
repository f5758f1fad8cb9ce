from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from clawbucket.cli.children import Program
from clawbucket.cli.supervisor import GIVEN_UP, KILLED, LAST_TOLD, Ending, Supervisor
from tests.fakes import FakeClock


class FakeProcess:
    """A process that ends when the test says so, or on SIGTERM where it is obedient."""

    def __init__(self, pid, obedient=True):
        self.pid = pid
        self.status = None
        self.heard = []
        self._obedient = obedient

    def ended(self):
        return self.status

    def signal(self, number):
        self.heard.append(number)
        if number == signal.SIGTERM and self._obedient:
            self.status = 0

    def kill(self):
        self.heard.append(signal.SIGKILL)
        if self.status is None:
            self.status = -signal.SIGKILL


class Immortal(FakeProcess):
    """Hangs in the kernel."""

    def signal(self, number):
        self.heard.append(number)

    def kill(self):
        self.heard.append(signal.SIGKILL)


class Stage:
    """A supervisor over fake processes, what it started, and what it told."""

    def __init__(self, *names, last=(), ending=None):
        self.clock = FakeClock()
        self.started_processes = []
        self.told = []
        self.make: Callable[[int], FakeProcess] = FakeProcess
        self.refuse = None
        programs = [Program(n, (n,), {}, Path("/x"), f"port of {n}", last=n in last) for n in names]
        self.supervisor = Supervisor(programs, self._start, self.clock.monotonic, self, ending or Ending())

    def _start(self, program):
        if self.refuse:
            raise self.refuse
        process = self.make(1000 + len(self.started_processes))
        self.started_processes.append((program.name, process))
        return process

    def process(self, name):
        return next(p for n, p in reversed(self.started_processes) if n == name)

    def names(self):
        return [name for name, _ in self.started_processes]

    def died(self, program, how, delay):
        self.told.append((program.name, how, delay))

    def started(self, program, pid, again):
        self.told.append((program.name, "again" if again else "first", pid))


def test_everything_starts_at_the_first_tick_in_its_order():
    """One tick starts all; nothing waits for another."""
    stage = Stage("memcached", "rack", "gateway")
    stage.supervisor.tick()
    assert stage.names() == ["memcached", "rack", "gateway"]


def test_what_dies_is_started_again_in_the_same_tick():
    """The first death costs no wait, and both are told."""
    stage = Stage("gateway")
    stage.supervisor.tick()
    stage.clock.advance(1.0)
    stage.process("gateway").status = -signal.SIGKILL
    stage.supervisor.tick()
    assert stage.told[1:] == [("gateway", "was killed by SIGKILL", 0.0), ("gateway", "again", 1001)]


def test_what_goes_on_dying_waits_ever_longer_up_to_five_seconds():
    """0, then 0.1 s doubling to 5 s."""
    stage = Stage("rack")
    delays = []
    for _ in range(10):
        wait = stage.supervisor.tick()
        stage.process("rack").status = 1
        stage.supervisor.tick()
        delays.append(stage.told[-1][2] if stage.told[-1][1] == "ended with status 1" else 0.0)
        stage.clock.advance(delays[-1])
        assert 0.0 <= wait <= 1.0
    assert delays[:5] == [0.0, 0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 5.0


def test_a_tick_tells_how_long_nothing_is_due():
    """The caller may wait exactly until the next start."""
    stage = Stage("rack")
    stage.supervisor.tick()
    for _ in range(2):
        stage.process("rack").status = 1
        wait = stage.supervisor.tick()
    assert wait == pytest.approx(0.1)
    assert stage.names() == ["rack"] * 2
    stage.clock.advance(0.1)
    assert stage.supervisor.tick() == pytest.approx(1.0)
    assert stage.names() == ["rack"] * 3


def test_a_long_life_ends_the_row_of_failures():
    """After ten seconds of running a death counts as the first again."""
    stage = Stage("rack")
    for _ in range(3):
        stage.supervisor.tick()
        stage.process("rack").status = 1
        stage.supervisor.tick()
        stage.clock.advance(1.0)
    stage.supervisor.tick()
    stage.clock.advance(10.0)
    stage.process("rack").status = 1
    stage.supervisor.tick()
    assert ("rack", "ended with status 1", 0.0) in stage.told[-2:]


def test_a_program_that_cannot_be_started_is_tried_again():
    """An OSError counts as a death, and the others start all the same."""
    stage = Stage("gateway", "rack")
    stage.refuse = OSError(11, "Resource temporarily unavailable")
    stage.supervisor.tick()
    assert [told[1] for told in stage.told] == ["could not be started (Resource temporarily unavailable)"] * 2
    stage.refuse = None
    stage.supervisor.tick()
    assert stage.names() == ["gateway", "rack"]


def test_memcached_is_told_to_end_after_all_others_have():
    """The others release their leases on it first."""
    stage = Stage("memcached", "rack", "gateway", last=("memcached",))
    stage.supervisor.tick()
    stage.supervisor.stop()
    stage.supervisor.tick()
    assert stage.process("rack").heard == [signal.SIGTERM]
    assert stage.process("memcached").heard == []
    assert not stage.supervisor.over
    stage.supervisor.tick()
    assert stage.process("memcached").heard == [signal.SIGTERM]
    stage.supervisor.tick()
    assert stage.supervisor.over


def test_nothing_is_started_again_while_everything_ends():
    """A death during the end is what was asked for: neither told nor mended."""
    stage = Stage("rack", "gateway")
    stage.supervisor.tick()
    stage.supervisor.stop()
    for _ in range(3):
        stage.supervisor.tick()
    assert stage.names() == ["rack", "gateway"]
    assert len(stage.told) == 2


def test_a_restart_that_was_due_is_dropped_when_everything_ends():
    """What waits for its next try never gets one."""
    stage = Stage("rack")
    for _ in range(2):
        stage.supervisor.tick()
        stage.process("rack").status = 1
    stage.supervisor.tick()
    stage.supervisor.stop()
    stage.clock.advance(1.0)
    stage.supervisor.tick()
    assert stage.supervisor.over
    assert stage.names() == ["rack", "rack"]


def test_what_ignores_sigterm_is_killed_after_two_and_a_half_seconds():
    """A stubborn program holds the last ones up for two seconds and the end for two and a half."""
    stage = Stage("memcached", "rack", last=("memcached",))
    stage.make = lambda pid: FakeProcess(pid, obedient=False)
    stage.supervisor.tick()
    stage.supervisor.stop()
    assert stage.supervisor.tick() == pytest.approx(1.0)
    stage.clock.advance(LAST_TOLD - 0.01)
    stage.supervisor.tick()
    assert stage.process("memcached").heard == []
    stage.clock.advance(0.01)
    stage.supervisor.tick()
    assert stage.process("memcached").heard == [signal.SIGTERM]
    stage.clock.advance(KILLED - LAST_TOLD)
    stage.supervisor.tick()
    stage.supervisor.tick()
    assert stage.process("rack").heard == [signal.SIGTERM, signal.SIGKILL]
    assert stage.supervisor.over


def test_what_ends_others_itself_is_given_longer():
    """A launcher of launchers waits until they have ended their racks."""
    stage = Stage("rack-1", ending=Ending(killed=KILLED + 2, given_up=GIVEN_UP + 2))
    stage.make = lambda pid: FakeProcess(pid, obedient=False)
    stage.supervisor.tick()
    stage.supervisor.stop()
    stage.supervisor.tick()
    stage.clock.advance(KILLED + 1.9)
    stage.supervisor.tick()
    assert stage.process("rack-1").heard == [signal.SIGTERM]
    stage.clock.advance(0.1)
    stage.supervisor.tick()
    assert stage.process("rack-1").heard == [signal.SIGTERM, signal.SIGKILL]


def test_kill_ends_everything_at_once():
    """As the second Ctrl-C does."""
    stage = Stage("memcached", "rack", last=("memcached",))
    stage.make = lambda pid: FakeProcess(pid, obedient=False)
    stage.supervisor.tick()
    stage.supervisor.stop()
    stage.supervisor.tick()
    stage.supervisor.kill()
    stage.supervisor.tick()
    assert stage.supervisor.over


def test_a_process_that_survives_sigkill_does_not_hold_the_launcher_up():
    """It is left to the kernel."""
    stage = Stage("rack")
    stage.make = Immortal
    stage.supervisor.tick()
    stage.supervisor.stop()
    stage.supervisor.tick()
    stage.clock.advance(GIVEN_UP)
    stage.supervisor.tick()
    assert stage.supervisor.over
