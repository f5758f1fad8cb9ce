"""How often Docker is asked, in simulated time."""

from __future__ import annotations

import itertools

from rack.engines.docker_pace import MOST, QUICK, REST, RETRY, Pace


class Watch:
    """Whoever looks when a look is due, as the engine does, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.pace = Pace()
        self.requests: list[float] = []
        self.settled = True

    def look(self, requests: int = 1, *, changed: bool = False) -> None:
        self.pace.begins()
        for _ in range(requests):
            self.now = max(self.now, self.pace.may(1))
            self.pace.asks(self.now)
            self.requests.append(self.now)
        self.pace.looked(self.now, changed=changed, settled=self.settled)

    def until(self, end: float, *, stirred_every: float | None = None, requests: int = 1) -> None:
        stirs = itertools.count(self.now, stirred_every) if stirred_every else iter(())
        stir = next(stirs, None)
        while True:
            due = max(self.now, self.pace.due())
            if stir is not None and stir <= due:
                self.now = max(self.now, stir)
                self.pace.stir(self.now)
                stir = next(stirs)
            elif due < end:
                self.now = due
                self.look(requests)
            if min(due, stir if stir is not None else due) >= end:
                return

    def most_in_a_second(self) -> int:
        times = self.requests
        return max(sum(1 for t in times if start <= t < start + 1.0) for start in times)


def test_at_rest_docker_is_asked_less_than_every_two_seconds():
    """An hour of nothing, where one look a minute (a new event stream's) asks for all three lists.

    At most 0.5 requests a second in any twenty.
    """
    watch = Watch()
    watch.look(3)
    watch.requests.clear()
    for minute in range(1, 61):
        watch.until(1_000.0 + 60.0 * minute)
        watch.now = watch.pace.due()
        watch.look(3)
    times = watch.requests
    assert max(sum(1 for t in times if start <= t < start + 20.0) for start in times) <= 10
    assert len(times) / 3_600.0 <= 0.42


def test_under_load_docker_is_asked_four_times_a_second_at_most():
    """A hundred events a second, each of which makes all three lists worth a look: 4 in any second."""
    watch = Watch()
    watch.until(watch.now + 30.0, stirred_every=0.01, requests=3)
    assert watch.most_in_a_second() <= MOST
    assert len(watch.requests) >= 30 * MOST * 0.9


def test_a_storm_of_events_is_one_look_a_quarter_second():
    """What happens between two looks is seen by the second."""
    watch = Watch()
    watch.until(watch.now + 10.0, stirred_every=0.01)
    assert watch.most_in_a_second() <= MOST
    assert 35 <= len(watch.requests) <= 41


def test_news_are_looked_at_at_once_and_for_a_while():
    """What an event announces comes about a little later, unannounced."""
    watch = Watch()
    watch.look()
    watch.until(watch.now + 60.0)
    watch.requests.clear()
    watch.now += 1.0
    watch.pace.stir(watch.now)
    heard = watch.now
    watch.until(heard + 2.0)
    assert watch.requests[0] == heard
    assert len(watch.requests) == 8
    watch.requests.clear()
    watch.until(heard + 30.0)
    assert len(watch.requests) <= 30 / REST + 1


def test_what_does_not_settle_is_looked_at_less_and_less():
    """Quickly at first, as rarely as at rest where nothing comes of it for a minute."""
    watch = Watch()
    watch.settled = False
    watch.look(changed=True)
    begun = watch.now
    watch.until(begun + 5.0)
    assert len(watch.requests) >= 5.0 / QUICK - 2
    watch.until(begun + 120.0)
    watch.requests.clear()
    watch.until(begun + 180.0)
    assert len(watch.requests) <= 60 / REST + 1


def test_a_daemon_that_does_not_answer_is_asked_once_a_second():
    """However much is heard meanwhile."""
    watch = Watch()
    watch.look()
    watch.pace.failed(watch.now)
    watch.pace.stir(watch.now + 0.1)
    assert watch.pace.due() == watch.now + RETRY
