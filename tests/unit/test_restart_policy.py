from __future__ import annotations

from rack.engines.restart_policy import RestartPolicy


def test_first_restart_comes_at_once() -> None:
    """A slot that failed once is filled again without waiting."""
    policy = RestartPolicy()
    assert policy.delay(policy.failures(0, ran=0.0)) == 0.0


def test_delay_doubles_up_to_its_bound() -> None:
    """From the second failure in a row on, 0.5 s doubles up to 30 s and stays there."""
    policy = RestartPolicy()
    delays = [policy.delay(failures) for failures in range(1, 11)]
    assert delays == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_long_night_of_failures_overflows_nothing() -> None:
    """However many failures, the delay is the longest one."""
    assert RestartPolicy().delay(1_000_000) == 30.0


def test_a_task_that_ran_long_enough_ends_the_row() -> None:
    """After a stable run the next death counts as the first again; a shorter run counts on."""
    policy = RestartPolicy(stable=5.0)
    assert policy.failures(7, ran=5.0) == 1
    assert policy.failures(7, ran=4.9) == 8
