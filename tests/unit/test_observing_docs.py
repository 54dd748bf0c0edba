"""docs/observing.md names every metric that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "observing.md").read_text(encoding="utf-8")
SOURCE = (ROOT / "crates" / "server" / "src" / "metrics.rs").read_text(encoding="utf-8")


def test_every_metric_is_described() -> None:
    described = {name.removesuffix("_total") for name in re.findall(r"`motte_([a-z_]+)`", PAGE)}
    singles = set(re.findall(r'^\s*\(?"([a-z_]+)",\s*"[A-Z]', SOURCE, re.MULTILINE))
    calls = set(
        re.findall(r'page\s*\.(?:gauge|counters?|descriptor|latency)\(\s*"([a-z_]+)"', SOURCE)
    )
    multiline = set(re.findall(r'\(\s*"([a-z_]+)",\s*"[A-Z]', SOURCE))
    assert described == singles | calls | multiline
