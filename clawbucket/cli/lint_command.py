"""``claw lint``: the checks that read the source."""

from __future__ import annotations

import click

from clawbucket.cli.steps import lint_steps, run_all


@click.command(short_help="Run ruff, mypy, tsc and shellcheck.", epilog="""
\b
Examples:
  ./claw lint
  .venv/bin/ruff format .     puts right what "ruff format" complains of
""")  # fmt: skip
def lint() -> None:
    """Run ruff, mypy --strict, tsc --checkJs --strict and, where it is installed, shellcheck.

    Stops at the first that fails, with its exit status. npm fetches tsc once.
    """
    raise SystemExit(run_all(lint_steps()))
