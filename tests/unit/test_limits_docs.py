"""docs/limits.md is what scripts/limits.py makes of the code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")


def test_the_page_is_current() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "limits.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    "row",
    [
        "| `CONNECT_DEADLINE` | 10 s |",
        "| `GROUP_MEMBERS` | 64 |",
        "| `SEARCH_NODES` | 1 Ki |",
        "| `TOPIC_LEVELS` | 32 |",
        "| `SNAPSHOT_LENGTH` | 32 Mi |",
        "| `MAXIMUM_ROLES` | 256 |",
    ],
)
def test_it_has_the_numbers(row: str) -> None:
    assert row in PAGE


def test_each_says_why() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    for row in rows:
        _, _, _, reason, place, _ = row.replace("\\|", "").split("|")
        assert len(reason.split()) > 2, row
        assert place.strip().startswith("`"), row
