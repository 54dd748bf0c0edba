"""Reads the `statement` markers: which normative statements does a test show, in which version?"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.support.wire import Version

COLLECTED = pytest.StashKey[list[pytest.Item]]()
"""All tests, those as well that this run puts aside."""


def named(marks: Iterable[pytest.Mark], versions: Iterable[Version]) -> set[tuple[Version, str]]:
    """What markers name, for the versions that their test runs in."""
    out: set[tuple[Version, str]] = set()
    for mark in marks:
        for version in versions:
            own = mark.kwargs.get("v311" if version is Version.V311 else "v5", ())
            numbers = (*mark.args, *((own,) if isinstance(own, str) else own))
            out |= {(version, number) for number in numbers}
    return out


def of_item(item: pytest.Item) -> set[tuple[Version, str]]:
    """The statements of one test in the version that it runs in."""
    found = getattr(item, "callspec", None)
    version = found.params.get("version") if found is not None else None
    if version is None:
        only = item.get_closest_marker("only")
        versions = [only.args[0]] if only else list(Version)
    else:
        versions = [version]
    return named(item.iter_markers("statement"), versions)
