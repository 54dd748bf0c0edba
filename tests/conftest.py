"""Fixtures of the outside tests: one shared broker, a space on it for each test, both versions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import FLEET, DataPlane
from tests.support.policy import Policy, standard_roles
from tests.support.space import Space
from tests.support.wire import Version


def pytest_configure(config: pytest.Config) -> None:
    """Declares the markers."""
    config.addinivalue_line(
        "markers",
        "statement(*ids, v311=(), v5=()): the normative statements of the OASIS texts that a test "
        "shows; positional ones stand under the same number in both versions",
    )
    config.addinivalue_line("markers", "only(version): the test concerns one protocol version")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test that asks for ``version`` over both versions, or the one that it names."""
    if "version" not in metafunc.fixturenames:
        return
    only = metafunc.definition.get_closest_marker("only")
    versions = [only.args[0]] if only else list(Version)
    metafunc.parametrize("version", versions, ids=str)


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataPlane]:
    """The data plane that tests share where they change nothing for others."""
    folder = tmp_path_factory.mktemp("plane")
    data_plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    try:
        yield data_plane.start()
    finally:
        data_plane.stop()


@pytest.fixture
def space(plane: DataPlane) -> Iterator[Space]:
    """A site, an address and identities for one test."""
    own = Space(plane)
    yield own
    own.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder for a deployment of the test's own."""
    return tmp_path / "deployment"
