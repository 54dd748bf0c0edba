from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.up import MOTTE, Lines, Up, motte


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Starts ``motte up`` on a folder of the test's own, by default on a free port."""
    started: list[Up] = []

    def run(*arguments: str, folder: Path | None = None) -> Up:
        where = folder or tmp_path / "deployment"
        port = () if (where / "motte.toml").exists() else ("--port", "0")
        started.append(Up(where, *port, *arguments))
        return started[-1]

    yield run
    for up in started:
        up.close()


@pytest.fixture
def background() -> Iterator[Callable[..., Lines]]:
    """Runs a motte command in the background."""
    started: list[Lines] = []

    def run(folder: Path, *arguments: str) -> Lines:
        started.append(Lines([*MOTTE, "-C", str(folder), *arguments]))
        return started[-1]

    yield run
    for lines in started:
        lines.close()


@pytest.fixture
def background_command() -> Iterator[Callable[[list[str]], Lines]]:
    """Runs any program in the background."""
    started: list[Lines] = []

    def run(command: list[str]) -> Lines:
        started.append(Lines(command))
        return started[-1]

    yield run
    for lines in started:
        lines.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One running deployment for tests that change nothing for each other."""
    up = Up(tmp_path_factory.mktemp("shared") / "deployment", "--port", "0").ready()
    yield up
    try:
        assert up.stop() == 0
        assert motte(up.folder, "log", "verify").returncode == 0
    finally:
        up.close()
