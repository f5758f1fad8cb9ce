"""``python -m picoclaw``, the same as ``picoclaw-py``."""

from __future__ import annotations

import sys

from picoclaw.cli import main

if __name__ == "__main__":
    sys.exit(main())
