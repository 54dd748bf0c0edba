"""Fixtures of the outside tests: one shared broker, a space on it for each test, both versions."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import statements
from tests.support.deployment import FLEET, DataPlane
from tests.support.policy import Policy, standard_roles
from tests.support.space import Space
from tests.support.wire import Version

SHOWN = pytest.StashKey[set[tuple[Version, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declares the markers."""
    config.addinivalue_line(
        "markers",
        "statement(*ids, v311=(), v5=()): the normative statements of the OASIS texts that a test "
        "shows; positional ones stand under the same number in both versions",
    )
    config.addinivalue_line("markers", "only(version): the test concerns one protocol version")
    config.addinivalue_line(
        "markers", "alone: the test measures time or memory, so `make test` runs nothing beside it"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test that asks for ``version`` over both versions, or the one that it names."""
    if "version" not in metafunc.fixturenames:
        return
    only = metafunc.definition.get_closest_marker("only")
    versions = [only.args[0]] if only else list(Version)
    metafunc.parametrize("version", versions, ids=str)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Says with a failure which normative statements it breaks."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    shown = statements.of_item(item)
    if report.failed and shown:
        text = ", ".join(sorted(f"[{number}] of MQTT {version}" for version, number in shown))
        report.sections.append(("normative statements", text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Counts the normative statements that were shown, and names those that were broken."""
    broken: set[str] = set()
    for report in terminalreporter.getreports("failed"):
        broken |= {text for title, text in report.sections if title == "normative statements"}
    for text in sorted(broken):
        terminalreporter.write_line(f"broken: {text}", red=True)
    shown = terminalreporter.config.stash.get(SHOWN, set())
    for version in Version:
        count = len({number for spoken, number in shown if spoken is version})
        if count:
            terminalreporter.write_line(f"normative statements of MQTT {version} tested: {count}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remembers what all tests name, before some are put aside."""
    config.stash[statements.COLLECTED] = list(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Remembers what the tests of this run show."""
    shown = {found for item in session.items for found in statements.of_item(item)}
    session.config.stash[SHOWN] = shown
    # One of several processes tells the one that collects nothing and sums up.
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["shown"] = [(int(version), number) for version, number in shown]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Takes over what another process remembered."""
    if error is None:
        found = {(Version(version), number) for version, number in node.workeroutput["shown"]}
        node.config.stash[SHOWN] = found


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
