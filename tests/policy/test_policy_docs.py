"""docs/policy.md says what is true: its examples compile, its tables are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from motte.policy import language, patterns
from motte.policy.diagnostics import InvalidPolicyError
from motte.policy.grants import MAXIMUM_RULES_PER_LIST
from motte.policy.language import parse
from motte.policy.limits import BURST_SECONDS, LIMITS, defaults
from motte.policy.model import Kind
from tests.policy.policies import compiles

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_compiles(example: str) -> None:
    compiled = compiles(example)
    assert compiled is not None
    assert compiled.warnings == ()


def test_the_shown_error_is_the_real_one() -> None:
    (shown,) = re.findall(r"```text\n(error: .*?)```", PAGE, re.DOTALL)
    text = (
        '[role.thermostat]\nmatch = { group = "thermostat" }\n'
        'pubish = ["home/{site}/{device}/telemetry"]\n'
    )
    with pytest.raises(InvalidPolicyError) as caught:
        parse(text)
    assert caught.value.source.render(caught.value.diagnostics[0]) == shown.strip()


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    section = PAGE.split(f"\n{heading}\n", 1)[1]
    lines = section.split("\n\n| ", 1)[1].split("\n\n", 1)[0].split("\n")[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_table_of_limits() -> None:
    rows = table("### `limits`")
    assert [row[:5] for row in rows] == [
        [
            f"`{limit.key}`",
            limit.meaning,
            limit.shown(defaults(Kind.DEVICE)[limit.field]),
            limit.shown(defaults(Kind.SERVICE)[limit.field]),
            f"{limit.shown(limit.minimum)} to {limit.shown(limit.maximum)}",
        ]
        for limit in LIMITS.values()
    ]
    assert all(row[5] for row in rows)


def test_every_key_is_described() -> None:
    role_keys = {row[0].strip("`") for row in table("## A role")}
    assert role_keys == set(language._ROLE_KEYS)
    rule_keys = {row[0].strip("`") for row in table("### `publish`, `subscribe`, `deny`")}
    assert rule_keys == {"topic", "qos", "retain", "will", "actions"}


def test_the_numbers_in_the_text() -> None:
    plain = " ".join(PAGE.split())
    assert language.MAXIMUM_FILE_BYTES == 1024 * 1024
    assert (
        f"at most {language.MAXIMUM_ROLES} roles and {language.MAXIMUM_RULES} rules, "
        f"{MAXIMUM_RULES_PER_LIST} in one list, in at most 1 MiB"
    ) in plain
    assert BURST_SECONDS == 5
    assert "a burst of five seconds of it" in plain
    usual = ", ".join(f"`{name}`" for name in patterns.KNOWN_ATTRIBUTES[:-1])
    assert f"{usual} and `{patterns.KNOWN_ATTRIBUTES[-1]}` are the usual attributes" in plain
