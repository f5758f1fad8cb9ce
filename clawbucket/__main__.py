"""``python -m clawbucket``, which is what ``./claw`` runs."""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Run the command that was typed; it is told when it was begun."""
    begun = time.monotonic()
    try:
        from clawbucket.cli.main import claw  # noqa: PLC0415 - the moment before is what "after 2.9 s" counts from
    except ModuleNotFoundError as error:
        sys.exit(f"claw: {error.name} is not in this Python; remove .venv and type ./claw again")
    claw.main(prog_name="claw", obj=begun)


if __name__ == "__main__":
    main()
