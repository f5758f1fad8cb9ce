"""``claw test``: everything that proves the swarm's promises, as continuous integration runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from clawbucket.cli import provision
from clawbucket.cli.children import ROOT
from clawbucket.cli.steps import Step, lint_steps, module, run, run_all

ORDER = ("unit", "contract", "", "cluster", "browser", "docker")
"""Rooms of tests/ from quick to slow; "" stands for the files beside them and for rooms not named here."""
SESSION_BUDGET = 2_400
"""Seconds for pytest as a whole: with the linters everything is over in 45 minutes."""


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
""",
)
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED, metavar="[PYTEST ARGUMENTS]")
def test(pytest_arguments: tuple[str, ...]) -> None:
    """Run the linters and all tests: unit, contract, cluster (real processes), browser.

    Installs memcached and chromium if they are missing and this is root. With arguments the linters are
    left out and pytest gets the arguments. The last line is pytest's summary; the exit status is that of
    what failed first.
    """
    provision.memcached(_say)
    if needs_browser(pytest_arguments):
        provision.chromium(_say)
    if not pytest_arguments:
        status = run_all(lint_steps())
        if status != 0:
            raise SystemExit(status)
    arguments = (
        pytest_arguments if names_paths(pytest_arguments) else (*pytest_arguments, *rooms(ROOT / "tests"))
    )
    pytest = Step("pytest", module("pytest", f"--session-timeout={SESSION_BUDGET}", *arguments))
    raise SystemExit(run(pytest))


def names_paths(arguments: Sequence[str]) -> bool:
    """Whether pytest is told what to run by path (``tests/unit``, ``tests/x.py::test_y``)."""
    return any((ROOT / argument.split("::")[0]).exists() for argument in arguments if argument[:1] != "-")


def needs_browser(arguments: Sequence[str]) -> bool:
    """Whether the tests in tests/browser may be among what is to run."""
    return not names_paths(arguments) or any(
        (ROOT / "tests" / "browser").is_relative_to((ROOT / a.split("::")[0]).resolve()) or "browser" in a
        for a in arguments
        if a[:1] != "-"
    )


def rooms(tests: Path) -> list[str]:
    """The rooms and loose files of tests/, quick ones first."""

    def place(path: Path) -> tuple[int, str]:
        return ORDER.index(path.name if path.name in ORDER else ""), path.name

    found = [p for p in tests.iterdir() if p.match("test_*.py") or any(p.glob("test_*.py"))]
    return [str(path.relative_to(tests.parent)) for path in sorted(found, key=place)]
