"""Every statement of both standards is named by a test or has a reason why not."""

from __future__ import annotations

import pytest

from tests.conformance.statements import STATEMENTS, UNTESTED
from tests.support import statements
from tests.support.wire import Version


@pytest.fixture(scope="session")
def named(request: pytest.FixtureRequest) -> set[tuple[Version, str]]:
    """What the tests of this run name."""
    collected = request.config.stash[statements.COLLECTED]
    items = [item for item in collected if "conformance" in item.path.parts]
    if len({item.path for item in items}) < 20:
        pytest.skip("only a part of the conformance tests was collected")
    return {found for item in items for found in statements.of_item(item)}


def test_no_statement_is_forgotten(named: set[tuple[Version, str]], version: Version) -> None:
    missing = [
        number
        for number in STATEMENTS[version]
        if (version, number) not in named and number not in UNTESTED[version]
    ]
    assert missing == []


def test_no_test_names_a_statement_that_does_not_exist(
    named: set[tuple[Version, str]], version: Version
) -> None:
    known = set(STATEMENTS[version])
    assert {number for spoken, number in named if spoken is version} <= known


def test_reasons_are_for_what_no_test_names(
    named: set[tuple[Version, str]], version: Version
) -> None:
    both = [number for number in UNTESTED[version] if (version, number) in named]
    assert both == []
    assert set(UNTESTED[version]) <= set(STATEMENTS[version])
