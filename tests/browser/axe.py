"""What axe-core finds wrong with a page, for those who do not see it, hear it, or use a mouse.

Deque's axe-core is vendored beside the tests (vendor/VENDOR.md) and comes into the page by the browser's
debugging protocol, which the page's own policy does not bind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SOURCE = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""WCAG 2.0 to 2.2, levels A and AA, and what axe counts as good practice beside them."""
RUN = """tags => axe.run(document, { runOnly: tags, resultTypes: ["violations"] })
  .then(found => found.violations)"""
MOST_NODES = 5
"""Elements of one violation that are named."""


def violations(page: Page) -> list[str]:
    """A sentence for each rule that the page breaks, with the elements that break it."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(SOURCE)
    found: list[dict[str, Any]] = page.evaluate(RUN, TAGS)
    return [told(one) for one in found]


def told(violation: dict[str, Any]) -> str:
    """One rule and where it is broken."""
    nodes = violation["nodes"]
    where = "; ".join(f"{' '.join(map(str, n['target']))} ({_why(n)})" for n in nodes[:MOST_NODES])
    return f"{violation['id']}, {violation['impact']}, {len(nodes)} times: {where}"


def _why(node: dict[str, Any]) -> str:
    checks = [check["message"] for kind in ("any", "all", "none") for check in node[kind]]
    return " / ".join(checks)[:200]
