from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from motte.fleet.authority import Authority, FileSigner, create_authority
from motte.fleet.bundle import Endpoint, Examples
from motte.fleet.registry import Registry, create_registry
from motte.fleet.service import Bundles, Enrolment, Fleet
from tests.support.fleet import SetClock

FLEET = "home"


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def authority_folder(tmp_path: Path, clock: SetClock) -> Path:
    folder = tmp_path / "authority"
    create_authority(folder, fleet=FLEET, clock=clock)
    return folder


@pytest.fixture
def authority(authority_folder: Path, clock: SetClock) -> Authority:
    return Authority(FileSigner(authority_folder), fleet=FLEET, clock=clock)


@pytest.fixture
def registry_path(tmp_path: Path, clock: SetClock) -> Path:
    path = tmp_path / "registry.sqlite"
    create_registry(path, fleet=FLEET, clock=clock, actor="tester")
    return path


@pytest.fixture
def registry(registry_path: Path, clock: SetClock) -> Iterator[Registry]:
    with Registry(registry_path, fleet=FLEET, clock=clock, actor="tester") as opened:
        yield opened


@pytest.fixture
def fleet(registry: Registry) -> Fleet:
    return Fleet(registry)


@pytest.fixture
def bundles(tmp_path: Path) -> Bundles:
    examples = Examples(publish="toasters/it's me/telemetry", subscribe=None)
    return Bundles(tmp_path / "devices", Endpoint("127.0.0.1", 8883), lambda _: examples)


@pytest.fixture
def enrolment(registry: Registry, authority: Authority, bundles: Bundles) -> Enrolment:
    return Enrolment(registry, authority, bundles=bundles, lifetime=timedelta(days=7))
