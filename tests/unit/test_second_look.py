"""The second look at what failed: few tests, once, alone, and nothing hidden."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from clawbucket.cli import provision, second_look, steps, test_command
from clawbucket.cli.main import claw

ONE = "tests/cluster/test_a.py::test_x"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Say what pytest kept as failed, in a clone of its own."""
    monkeypatch.setattr(second_look, "forget", lambda: None)
    monkeypatch.setattr(second_look.worth_it, "__kwdefaults__", {"root": tmp_path})
    path = tmp_path / second_look.FAILED

    def keep(*failed):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(dict.fromkeys(failed, True)))
        return tmp_path

    return keep


@pytest.mark.parametrize(
    ("failed", "statuses", "cut_short", "again"),
    [
        ([ONE], [0, 1], False, [ONE]),
        (["b.py::y", "a.py::x"], [1, 1], False, ["a.py::x", "b.py::y"]),
        ([f"a.py::{n}" for n in range(second_look.MOST + 1)], [0, 1], False, []),
        ([ONE], [0, 1], True, []),  # whatever was not run yet would never be
        ([ONE], [2, 1], False, []),  # somebody stopped it
        ([ONE], [0, 3], False, []),  # pytest itself broke
        ([ONE], [0, 0], False, []),
        (["tests/cluster/test_a.py"], [0, 1], False, []),  # it cannot even be imported
        ([], [0, 1], False, []),
    ],
)
def test_only_a_few_tests_that_failed_are_looked_at_again(kept, failed, statuses, cut_short, again):
    """Many failures, an interrupted run or a broken one are what they are."""
    root = kept(*failed)
    assert second_look.worth_it(statuses, cut_short=cut_short, root=root) == again


@pytest.mark.parametrize("text", ["", "[", "[1]", "null"])
def test_what_pytest_left_may_be_anything(tmp_path, text):
    """A torn or foreign file is as none."""
    path = tmp_path / second_look.FAILED
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert second_look.worth_it([0, 1], cut_short=False, root=tmp_path) == []


def test_an_earlier_run_is_forgotten(tmp_path):
    """What failed yesterday is nobody's second look."""
    path = tmp_path / second_look.FAILED
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    second_look.forget(tmp_path)
    second_look.forget(tmp_path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "looks", "second", "status"),
    [((), 1, 0, 0), ((), 1, 1, 1), (("-k", "x"), 0, 0, 1)],
)
def test_the_verdict_is_the_second_looks(kept, monkeypatch, arguments, looks, second, status):
    """What passes then is named as a race; what fails twice fails; with arguments there is none."""
    kept(ONE)
    for name in ("memcached", "chromium", "shellcheck", "docker"):
        monkeypatch.setattr(provision, name, lambda _: "")
    looked = []

    def run(step):
        if step.name == "pytest, a second look":
            looked.append(step.command)
            return second
        return 1 if step.name == "pytest, one by one" else 0

    monkeypatch.setattr(steps, "run", run)
    monkeypatch.setattr(test_command, "run", run)
    told = CliRunner().invoke(claw, ["test", *arguments])
    assert told.exit_code == status
    assert [ONE in command for command in looked] == [True] * looks
    assert ("a race of ours" in told.output) is (looks == 1 and second == 0)
