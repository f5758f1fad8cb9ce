from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clawbucket.core.model import Task, TaskState
from gateway.routing import LONGEST_SUSPICION, Replica, RetryBudget, Routes

RUNNING = TaskState.RUNNING


def task(
    name: str, state: TaskState = RUNNING, desired: TaskState = RUNNING, address: str | None = ""
) -> Task:
    """A task of one service, running unless said otherwise; no address where it is None."""
    at = f"{name}:80" if address == "" else address
    return Task(name, "web", 1, "node-1", state, desired, f"web.1.{name}", at)


def routes(*names: str) -> Routes:
    """Replicas of these ids."""
    made = Routes()
    made.update(task(name) for name in names)
    return made


def by_id(of: Routes, name: str) -> Replica:
    """The replica of that id."""
    return next(r for r in of.replicas if r.task_id == name)


def chosen(of: Routes, now: float = 0.0, avoid: tuple[Replica, ...] = ()) -> str | None:
    """The id of the replica that is chosen."""
    replica = of.choose(now, avoid)
    return None if replica is None else replica.task_id


def test_only_running_tasks_with_an_address_are_routed_to():
    """A task that is starting, ending or without an address is given nothing."""
    made = Routes()
    made.update(
        [
            task("a"),
            task("b", state=TaskState.STARTING),
            task("c", desired=TaskState.SHUTDOWN),
            task("d", address=None),
        ]
    )
    assert [r.task_id for r in made.replicas] == ["a"]


def test_nobody_is_chosen_from_nothing():
    """Without replicas there is no choice, and no error."""
    assert chosen(Routes()) is None


def test_the_least_loaded_is_chosen():
    """The replica with the fewest requests under way comes first, wherever the turn is."""
    made = routes("a", "b", "c")
    by_id(made, "a").in_flight = 2
    by_id(made, "c").in_flight = 1
    assert [chosen(made) for _ in range(4)] == ["b"] * 4


def test_equals_take_turns():
    """Replicas with the same load are chosen equally often."""
    made = routes("a", "b", "c")
    picks = [chosen(made) for _ in range(30)]
    assert {name: picks.count(name) for name in "abc"} == {"a": 10, "b": 10, "c": 10}


def test_one_that_was_tried_is_not_chosen_again():
    """What a request was given to before is avoided, even where nobody else is left."""
    made = routes("a", "b")
    a, b = by_id(made, "a"), by_id(made, "b")
    assert chosen(made, avoid=(a,)) == "b"
    assert chosen(made, avoid=(a, b)) is None


def test_a_suspect_is_chosen_only_when_no_other_is_left():
    """A suspect gets requests after every other replica, however loaded those are."""
    made = routes("a", "b")
    made.strike(by_id(made, "a"), 0.0)
    by_id(made, "b").in_flight = 50
    assert chosen(made, 0.5) == "b"
    assert chosen(made, 0.5, avoid=(by_id(made, "b"),)) == "a"


def test_suspicion_ends_by_itself_and_grows_with_each_failure():
    """One second, then two, four, and never more than five."""
    made = routes("a")
    a, now, lengths = by_id(made, "a"), 0.0, []
    for _ in range(5):
        made.strike(a, now)
        lengths.append(a.suspect_until - now)
        now = a.suspect_until
    assert lengths == [1.0, 2.0, 4.0, LONGEST_SUSPICION, LONGEST_SUSPICION]
    assert made.counts(now) == {"ready": 1, "suspect": 0, "draining": 0}


def test_many_failures_at_one_moment_count_once():
    """A death that ends a hundred requests is one strike."""
    made = routes("a")
    for _ in range(100):
        made.strike(by_id(made, "a"), 0.0)
    assert by_id(made, "a").suspect_until == 1.0


def test_an_answer_clears_a_suspect():
    """A replica that answered is like any other, and starts again at one second."""
    made = routes("a")
    a = by_id(made, "a")
    made.strike(a, 0.0)
    assert made.unwell() == [a]
    made.clear(a)
    assert made.unwell() == []
    made.strike(a, 10.0)
    assert a.suspect_until == 11.0


def test_a_draining_replica_is_never_chosen():
    """Not even where it is the only one; it is probed until it goes."""
    made = routes("a", "b")
    for name in ("a", "b"):
        by_id(made, name).draining = True
    assert chosen(made) is None
    assert [r.task_id for r in made.unwell()] == ["a", "b"]
    assert made.counts(0.0) == {"ready": 0, "suspect": 0, "draining": 2}


def test_a_replica_that_stays_keeps_its_marks():
    """A new list does not forget what is under way, who is suspect and who drains."""
    made = routes("a", "b")
    by_id(made, "a").in_flight = 3
    by_id(made, "b").draining = True
    made.update([task("a"), task("b"), task("c")])
    assert (by_id(made, "a").in_flight, by_id(made, "b").draining, len(made)) == (3, True, 3)


def test_a_task_at_a_new_address_is_a_new_replica():
    """Marks belong to the process at an address, not to a name."""
    made = routes("a")
    made.strike(by_id(made, "a"), 0.0)
    made.update([task("a", address="elsewhere:80")])
    assert by_id(made, "a").strikes == 0


@given(st.lists(st.sampled_from(["choose", "end", "strike", "clear", "drain", "leave", "come"]), max_size=60))
def test_the_choice_is_always_the_best_there_is(acts: list[str]):
    """Whatever happened: never a draining one, never a suspect before another, never the busier of two."""
    made = routes("a", "b", "c")
    for step, act in enumerate(acts):
        now = step * 0.3
        first = made.replicas[0] if len(made) else None
        if act == "choose":
            candidates = [r for r in made.replicas if not r.draining]
            best = min(((r.suspect_until > now, r.in_flight) for r in candidates), default=None)
            got = made.choose(now)
            assert (got is None) == (best is None)
            if got is not None:
                assert (got.suspect_until > now, got.in_flight) == best
                got.in_flight += 1
        elif act == "come":
            made.update([task(name) for name in "abc"])
        elif first is None:
            continue
        elif act == "end":
            first.in_flight = max(0, first.in_flight - 1)
        elif act == "strike":
            made.strike(first, now)
        elif act == "clear":
            made.clear(first)
        elif act == "drain":
            first.draining = not first.draining
        else:
            made.update([task(r.task_id) for r in made.replicas[1:]])


def test_the_retry_budget_ends_and_comes_back():
    """A hundred are saved up; then one comes with ten requests, and ten come with a second."""
    budget = RetryBudget(0.0)
    assert [budget.spend(0.0) for _ in range(101)] == [True] * 100 + [False]
    for _ in range(11):
        budget.earn()
    assert [budget.spend(0.0) for _ in range(2)] == [True, False]
    assert [budget.spend(1.0) for _ in range(11)].count(True) == 10


def test_the_retry_budget_is_bounded():
    """A quiet day saves up no storm."""
    budget = RetryBudget(0.0)
    assert [budget.spend(86_400.0) for _ in range(101)].count(True) == 100
