"""``claw racks --docker``: the racks of deploy-racks.sh, typed as those without Docker are."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Any

from clawbucket.cli.children import ROOT
from clawbucket.cli.plan import absolute, chosen
from clawbucket.settings import environment

SCRIPT = ROOT / "deploy-racks.sh"


def run(what: str, options: Mapping[str, Any]) -> int:
    """Have the script do it in this terminal; its exit status."""
    words = [what, *(["--volumes"] if options["volumes"] else [])]
    told = chosen(
        {
            "replicas": options["replicas"],
            "token_file": absolute(options["token_file"]),
            "log_format": options["log_format"],
        }
    )
    try:
        status = subprocess.run([str(SCRIPT), *words], env=environment(told), check=False).returncode
    except KeyboardInterrupt:  # the script heard it as well, and has said what there was to say
        return 130
    return 128 - status if status < 0 else status
