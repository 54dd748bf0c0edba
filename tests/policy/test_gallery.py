"""examples/policies: what the table says and what the pages draw is what the analysis answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from motte.policy.foreign.importing import Options, read_foreign
from motte.policy.language import load
from motte.policy.lint.review import review
from motte.policy.radius.analysis import PRIMARY, analyse
from motte.policy.radius.html import report_html
from motte.policy.radius.summary import Summary, summarise

GALLERY = Path(__file__).parents[2] / "examples" / "policies"
PAGE = (GALLERY / "README.md").read_text(encoding="utf-8")
FILES = sorted(file.name for file in GALLERY.iterdir() if file.suffix not in {".html", ".md"})


def summary_of(name: str) -> Summary:
    path = GALLERY / name
    policy = (
        load(path).policy if path.suffix == ".toml" else read_foreign(path, None, Options()).policy
    )
    return summarise(analyse(policy), policy)


@pytest.mark.parametrize("name", FILES)
def test_the_table_says_what_is_so(name: str) -> None:
    (row,) = re.findall(rf"^\| \[{re.escape(name)}\].*$", PAGE, re.MULTILINE)
    told = [cell.strip() for cell in row.strip("|").split("|")][1:]
    summary = summary_of(name)
    leaks = [summary.first(question) for question in PRIMARY]
    assert told == [leak.finding.condition if leak else "nobody" for leak in leaks]


@pytest.mark.parametrize("name", FILES)
def test_the_page_is_the_one_that_is_drawn(name: str) -> None:
    path = (GALLERY / name).with_suffix(".html")
    assert path.read_text(encoding="utf-8") == report_html(summary_of(name), None)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".toml")])
def test_a_policy_has_only_the_warnings_that_it_is_there_for(name: str) -> None:
    found = {warning.code for warning in review(load(GALLERY / name))}
    assert found == ({"wide-device-grant"} if name.startswith("everyone") else set())
