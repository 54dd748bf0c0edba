from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from motte.deployment import DIRECTORY_VARIABLE, Deployment, find, place
from motte.errors import ConfigError, StoreError
from motte.plane.foundation import begin
from tests.support.fleet import assert_helpful


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    current = tmp_path / "current"
    current.mkdir()
    monkeypatch.chdir(current)
    return current


def made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "motte.toml").touch()
    return folder


def test_what_is_named_wins(here: Path, tmp_path: Path) -> None:
    named, in_environment = made(tmp_path / "named"), made(tmp_path / "environment")
    made(here)
    environment = {DIRECTORY_VARIABLE: str(in_environment)}
    assert find(named, environment).root == named
    assert find(None, environment).root == in_environment
    assert find(None, {}).root == here


def test_the_folder_below_is_found_after_the_current_one(here: Path) -> None:
    below = made(here / "deployment")
    assert find(None, {}).root == below
    made(here)
    assert find(None, {}).root == here


def test_a_named_folder_without_a_deployment_is_never_passed_over(here: Path) -> None:
    made(here)
    with pytest.raises(ConfigError) as caught:
        find(here / "elsewhere", {})
    assert "motte up --directory" in str(caught.value.hint)
    with pytest.raises(ConfigError):
        find(None, {DIRECTORY_VARIABLE: str(here / "elsewhere")})
    assert_helpful(caught.value)


def test_nothing_anywhere_is_an_error_with_a_way_on(here: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find(None, {})
    assert str(here) in caught.value.message
    assert_helpful(caught.value)


def test_a_state_folder_alone_counts_as_a_deployment(here: Path) -> None:
    (here / "state").mkdir()
    assert find(None, {}).root == here


def test_a_new_deployment_never_mixes_with_other_files(here: Path) -> None:
    assert place(None, {}).root == here
    (here / ".hidden").touch()
    assert place(None, {}).root == here
    (here / "README.md").touch()
    assert place(None, {}).root == here / "deployment"
    made(here)
    assert place(None, {}).root == here


def test_paths_are_absolute(here: Path) -> None:
    made(here / "relative")
    assert find(Path("relative"), {}) == Deployment(here / "relative")


def test_a_new_folder_is_closed_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        begin(Deployment(tmp_path / "new"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "new" / "state").stat().st_mode) == 0o700


def test_a_folder_that_everybody_can_change_is_refused(tmp_path: Path) -> None:
    """Whoever can write there can put another motte.toml, policy or state folder in place."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StoreError, match="every user") as caught:
        begin(Deployment(folder))
    assert_helpful(caught.value)
    assert list(folder.iterdir()) == []
    folder.chmod(0o1777)
    assert begin(Deployment(folder)), "in a folder such as /tmp nobody can replace what is ours"


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="a file, not a folder"):
        begin(Deployment(tmp_path / "file"))
