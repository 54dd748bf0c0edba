from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from motte.cli import main
from motte.deployment import Deployment
from tests.policy.command import Ran
from tests.support.fleet import make_deployment


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "deployment"
    make_deployment(folder)
    return folder


@pytest.fixture
def deployment(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    shutil.copytree(template, tmp_path / "d")
    monkeypatch.setenv("MOTTE_DIRECTORY", str(tmp_path / "d"))
    return Deployment(tmp_path / "d")


@pytest.fixture
def motte(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    assert deployment.exists

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(["policy", *arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run
