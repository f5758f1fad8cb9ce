"""How the commands reach a rack that runs."""

from __future__ import annotations

from clawbucket.cli.refusal import Refusal
from clawbucket.cli.rundir import Run, RunDir
from rack.client import RackClient


def rack_client(directory: RunDir, run: Run) -> RackClient:
    """A client of the run's rack manager. Refusal when its token cannot be read."""
    try:
        token = directory.token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Refusal(
            f"{directory.token_file} cannot be read ({error.strerror}); be the user who typed ./claw up"
        ) from None
    return RackClient(run.rack_url, token, timeout=3.0)
