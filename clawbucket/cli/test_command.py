"""``claw test``: everything that proves the swarm's promises, as continuous integration runs it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import click

from clawbucket.cli import provision, second_look
from clawbucket.cli.children import ROOT
from clawbucket.cli.models_command import answering
from clawbucket.cli.steps import Step, lint_steps, module, run, run_all
from clawbucket.settings import environment

ORDER = ("unit", "contract", "", "cluster", "browser", "docker")
"""Rooms of tests/ from quick to slow; "" stands for the files beside them and for rooms not named here."""
SIDE_BY_SIDE = ("unit", "contract", "")
"""Those whose tests may run beside others: what the rest measures and kills wants the machine for itself."""
MOST_WORKERS = 4
"""Processes for those, one a core. What judges times is marked ``alone`` and comes after, by itself."""
SESSION_BUDGET = 4_500
"""Seconds for pytest as a whole. On two quiet cores it takes half of that; a busy machine may take longer,
and what hangs ends before continuous integration's 90 minutes are over."""
SLOWEST = ("--durations=12", "--durations-min=10")
"""Each session ends with its slowest, set-up and all: what makes it long is to be seen, not guessed."""
NOTHING_COLLECTED = 5
"""How pytest ends where no test fits what it was told."""


def _say(sentence: str) -> None:
    click.echo(f"claw: {sentence}", err=True)


@click.command(
    short_help="Run the linters and all tests.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    epilog="""
\b
Examples:
  ./claw test                            everything
  ./claw test tests/unit                 one room, without the linters
  ./claw test -k leader -x               what pytest is told goes to pytest
  ./claw test --ollama -m ollama         only what a real Ollama is asked
  ./claw test --no-docker                everything but the tests of Docker Swarm
""",
)
@click.option(
    "--ollama",
    is_flag=True,
    help="Also run the tests that ask a real Ollama: the one at OLLAMA_HOST, with OLLAMA_MODEL.",
)
@click.option("--no-docker", is_flag=True, help="Leave the tests of Docker Swarm (tests/docker) out.")
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST ARGUMENTS]")
def test(ollama: bool, no_docker: bool, pytest_arguments: tuple[str, ...]) -> None:
    """Run the linters and all tests: unit, contract, cluster (real processes), browser, Docker Swarm.

    Installs memcached, chromium, Docker and shellcheck if they are missing and this is root. With
    arguments the linters are left out and pytest gets the arguments. Unit and contract tests run side by
    side where there are cores for it, but for those that judge times (marked alone), which come after them;
    the rest follows one by one, since it measures and kills. Without
    arguments, up to three tests that failed are run once more, alone: what passes then is named as a race,
    what fails twice fails the run. The exit status is that of what failed first. Everywhere but with --ollama
    a fake Ollama is asked, and pytest's summary counts the tests that need the real one as deselected.
    """
    if ollama:
        _say(f"the tests marked ollama ask {answering(environment({}).get('OLLAMA_HOST', ''))}")
    provision.memcached(_say)
    if needs_browser(pytest_arguments):
        provision.chromium(_say)
    if no_docker:
        _say("--no-docker: the tests of Docker Swarm (tests/docker) are left out")
    elif needs_docker(pytest_arguments):
        provision.docker(_say)
    if not pytest_arguments:
        provision.shellcheck(_say)
        status = run_all(lint_steps())
        if status != 0:
            raise SystemExit(status)
    options = [*(["--ollama"] if ollama else []), *(["--ignore=tests/docker"] if no_docker else [])]
    if names_paths(pytest_arguments):
        raise SystemExit(_pytest("pytest", [*options, *pytest_arguments], SESSION_BUDGET))
    wanted = [room for room in rooms(ROOT / "tests") if not (no_docker and room == "tests/docker")]
    second_look.forget()
    statuses, cut_short = _all([*options, *pytest_arguments], wanted)
    failed = [] if pytest_arguments else second_look.worth_it(statuses, cut_short=cut_short)
    raise SystemExit(_look_again(failed) if failed else _status(statuses))


def _all(arguments: Sequence[str], wanted: Sequence[str]) -> tuple[list[int], bool]:
    """Pytest for what may run side by side, then for the rest: how each ended, and whether time ran out."""
    began = time.monotonic()
    quick = [room for room in wanted if _place(Path(room)) in SIDE_BY_SIDE]
    rest = [room for room in wanted if room not in quick]
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    if workers > 1:
        beside = ["-n", str(workers), "--dist", "loadfile", "--alone=leave"]
        sessions = [
            ("pytest, side by side", [*beside, *arguments, *quick]),
            ("pytest, times judged alone", ["--alone=only", *arguments, *quick]),
            ("pytest, one by one", [*arguments, *rest]),
        ]
    else:
        sessions = [("pytest, one by one", [*arguments, *quick, *rest])]
    statuses = []
    for name, told in sessions:
        left = max(1, SESSION_BUDGET - round(time.monotonic() - began))
        statuses.append(_pytest(name, told, left))
    return statuses, time.monotonic() - began >= SESSION_BUDGET


def _status(statuses: Sequence[int]) -> int:
    """That of what failed first; a session in which nothing fitted counts only where that is both."""
    said = [status for status in statuses if status != NOTHING_COLLECTED] or [NOTHING_COLLECTED]
    return next((status for status in said if status != 0), 0)


def _look_again(failed: Sequence[str]) -> int:
    """The status of those tests when they are run once more, alone."""
    _say(f"{len(failed)} failed; once more, alone, to tell a race from a fault")
    status = _pytest("pytest, a second look", failed, second_look.SECONDS)
    if status == 0:
        _say("passed the second time, so each is a race of ours to find (CONTRIBUTING.md, Flaky tests):")
        for each in failed:
            _say(f"  {each}")
    return status


def _pytest(name: str, arguments: Sequence[str], seconds: int) -> int:
    return run(Step(name, module("pytest", f"--session-timeout={seconds}", *SLOWEST, *arguments)))


def names_paths(arguments: Sequence[str]) -> bool:
    """Whether pytest is told what to run by path (``tests/unit``, ``tests/x.py::test_y``)."""
    return any((ROOT / argument.split("::")[0]).exists() for argument in arguments if argument[:1] != "-")


def needs_browser(arguments: Sequence[str]) -> bool:
    """Whether the tests in tests/browser may be among what is to run."""
    return _may_run("browser", arguments)


def needs_docker(arguments: Sequence[str]) -> bool:
    """Whether the tests in tests/docker may be among what is to run."""
    return _may_run("docker", arguments)


def _may_run(room: str, arguments: Sequence[str]) -> bool:
    return not names_paths(arguments) or any(
        (ROOT / "tests" / room).is_relative_to((ROOT / a.split("::")[0]).resolve()) or room in a
        for a in arguments
        if a[:1] != "-"
    )


def rooms(tests: Path) -> list[str]:
    """The rooms and loose files of tests/, quick ones first."""
    found = [p for p in tests.iterdir() if p.match("test_*.py") or any(p.glob("test_*.py"))]
    found.sort(key=lambda path: (ORDER.index(_place(path)), path.name))
    return [str(path.relative_to(tests.parent)) for path in found]


def _place(path: Path) -> str:
    """The name of a room in ORDER, which is "" for loose files and rooms that have none there."""
    return path.name if path.name in ORDER else ""
