"""Snapshots from registry and policy while no data plane runs: real files, the real compiler."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from motte import _core
from motte.deployment import Deployment
from motte.errors import PolicyError, StoreError
from motte.plane.context import ControlPlane
from motte.plane.publisher import Source
from tests.support.fleet import make_deployment

BROKEN = "[role.toaster\n"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment that is made once and copied."""
    folder = tmp_path_factory.mktemp("template") / "deployment"
    make_deployment(folder)
    return folder


@pytest.fixture
def deployment(template: Path, tmp_path: Path) -> Deployment:
    import shutil

    shutil.copytree(template, tmp_path / "d", symlinks=True)
    return Deployment(tmp_path / "d")


@pytest.fixture
def plane(deployment: Deployment) -> Iterator[ControlPlane]:
    with ControlPlane(deployment) as opened:
        yield opened


def on_disk(deployment: Deployment) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(deployment.snapshot.read_bytes())
    return found


def test_the_first_snapshot_waits_for_the_start(plane: ControlPlane) -> None:
    published = plane.publisher.publish(Source.FILE, why="test")
    assert (published.generation, published.changed, published.live) == (1, True, False)
    assert stat.S_IMODE(plane.deployment.snapshot.stat().st_mode) == 0o600
    snapshot = _core.Snapshot(plane.deployment.snapshot.read_bytes())
    assert (snapshot.generation, snapshot.fleet) == (1, "home")
    topic = "toasters/toaster-1/telemetry"
    attributes = {"group": "toaster"}
    assert snapshot.decide("device", "toaster-1", attributes, "publish", topic).allowed


def test_the_same_again_is_no_new_generation(plane: ControlPlane) -> None:
    plane.publisher.publish(Source.FILE, why="test")
    before = plane.deployment.snapshot.read_bytes()
    again = plane.publisher.publish(Source.FILE, why="test")
    assert (again.generation, again.changed) == (1, False)
    assert plane.deployment.snapshot.read_bytes() == before


def test_a_changed_policy_is_a_new_generation(plane: ControlPlane) -> None:
    plane.publisher.publish(Source.FILE, why="test")
    plane.deployment.policy_file.write_text('[role.only]\nmatch = { device = "toaster-1" }\n')
    assert plane.publisher.publish(Source.FILE, why="test").generation == 2
    assert [role["name"] for role in on_disk(plane.deployment)["roles"]] == ["only"]


def test_a_broken_policy_changes_nothing(plane: ControlPlane) -> None:
    plane.publisher.publish(Source.FILE, why="test")
    before = plane.deployment.snapshot.read_bytes()
    plane.deployment.policy_file.write_text(BROKEN)
    with pytest.raises(PolicyError):
        plane.publisher.publish(Source.FILE, why="test")
    assert plane.deployment.snapshot.read_bytes() == before
    assert plane.registry.generation() == 1


class TestRevocation:
    def test_it_reaches_the_snapshot(self, plane: ControlPlane) -> None:
        plane.publisher.publish(Source.FILE, why="test")
        outcome = plane.operations.revoke("toaster-1", why="stolen")
        assert outcome.change.changed
        assert (outcome.published.generation, outcome.published.live) == (2, False)
        snapshot = _core.Snapshot(plane.deployment.snapshot.read_bytes())
        assert snapshot.status("device", "toaster-1") == "revoked"
        assert snapshot.status("device", "toaster-2") == "active"
        assert len(on_disk(plane.deployment)["exceptions"]["revoked_serials"]) == 1

    @pytest.mark.parametrize("damage", ["broken", "missing", "empty", "not text"])
    def test_it_works_whatever_the_policy_file_is_like(
        self, plane: ControlPlane, damage: str
    ) -> None:
        plane.publisher.publish(Source.FILE, why="test")
        roles = on_disk(plane.deployment)["roles"]
        path = plane.deployment.policy_file
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes({"broken": BROKEN.encode(), "empty": b"", "not text": b"\xff"}[damage])
        outcome = plane.operations.revoke("toaster-1", why="stolen")
        assert outcome.published.note is not None
        assert "policy.toml" in outcome.published.note
        assert on_disk(plane.deployment)["roles"] == roles, "the policy in force was kept"
        assert on_disk(plane.deployment)["exceptions"]["revoked"] == ["device/toaster-1"]

    def test_it_never_brings_a_half_edited_policy_into_force(self, plane: ControlPlane) -> None:
        plane.publisher.publish(Source.FILE, why="test")
        roles = on_disk(plane.deployment)["roles"]
        plane.deployment.policy_file.write_text(
            '[role.all]\nmatch = { group = "toaster" }\nsubscribe = ["#"]\nwildcards = false\n'
        )
        outcome = plane.operations.quarantine("toaster-1", why="odd")
        assert "motte policy apply" in str(outcome.published.note)
        assert on_disk(plane.deployment)["roles"] == roles

    def test_without_any_snapshot_the_file_is_taken(self, plane: ControlPlane) -> None:
        outcome = plane.operations.revoke("toaster-1", why="stolen")
        assert outcome.published.generation == 1
        assert on_disk(plane.deployment)["exceptions"]["revoked"] == ["device/toaster-1"]

    def test_without_any_policy_it_is_still_recorded(self, plane: ControlPlane) -> None:
        plane.deployment.policy_file.write_text(BROKEN)
        with pytest.raises(PolicyError) as caught:
            plane.operations.revoke("toaster-1", why="stolen")
        assert "the registry has the change" in str(caught.value.hint)
        assert plane.registry.exceptions().revoked == ("device/toaster-1",)
        assert not plane.deployment.snapshot.exists(), "no policy: everybody is refused"

    def test_a_repeated_command_is_no_new_generation(self, plane: ControlPlane) -> None:
        plane.publisher.publish(Source.FILE, why="test")
        first = plane.operations.revoke("toaster-1", why="stolen")
        second = plane.operations.revoke("toaster-1", why="stolen")
        assert not second.change.changed
        assert second.published.generation == first.published.generation
        assert not second.published.changed

    def test_release_takes_it_back(self, plane: ControlPlane) -> None:
        plane.publisher.publish(Source.FILE, why="test")
        plane.operations.quarantine("toaster-1", why="odd")
        assert on_disk(plane.deployment)["exceptions"]["quarantined"] == ["device/toaster-1"]
        plane.operations.release("toaster-1", why="fine")
        assert on_disk(plane.deployment)["exceptions"]["quarantined"] == []

    def test_rotation_revokes_the_old_serial(self, plane: ControlPlane) -> None:
        plane.publisher.publish(Source.FILE, why="test")
        old = plane.fleet.get("toaster-1").certificates[0].serial
        plane.operations.rotate("toaster-1", plane.enrolment, why="")
        assert on_disk(plane.deployment)["exceptions"]["revoked_serials"] == [old]


class TestDamagedSnapshots:
    @pytest.mark.parametrize(
        "damage", [b"", b"{", b"[]", b"\xff", b'{"format":1}'], ids=lambda d: d.decode("latin-1")
    )
    def test_a_damaged_one_is_made_anew_from_the_file(
        self, plane: ControlPlane, damage: bytes
    ) -> None:
        plane.publisher.publish(Source.FILE, why="test")
        plane.deployment.snapshot.write_bytes(damage)
        outcome = plane.operations.revoke("toaster-1", why="stolen")
        assert outcome.published.generation == 2
        _core.Snapshot(plane.deployment.snapshot.read_bytes())

    def test_one_that_others_can_write_is_not_believed(self, plane: ControlPlane) -> None:
        plane.publisher.publish(Source.FILE, why="test")
        forged = {**on_disk(plane.deployment), "roles": []}
        plane.deployment.snapshot.write_text(json.dumps(forged))
        plane.deployment.snapshot.chmod(0o666)
        plane.operations.revoke("toaster-1", why="stolen")
        assert on_disk(plane.deployment)["roles"] != []

    def test_generations_rise_past_a_restored_registry(self, plane: ControlPlane) -> None:
        for _ in range(3):
            plane.operations.quarantine("toaster-1", why="")
            plane.operations.release("toaster-1", why="")
        behind = on_disk(plane.deployment)["generation"]
        import sqlite3

        other = sqlite3.connect(plane.deployment.registry)
        other.execute("UPDATE meta SET value = '1' WHERE key = 'generation'")
        other.commit()
        other.close()
        outcome = plane.operations.revoke("toaster-1", why="")
        assert outcome.published.generation == behind + 1


def test_a_disk_that_cannot_be_written_leaves_the_old_snapshot(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    plane.publisher.publish(Source.FILE, why="test")
    before = plane.deployment.snapshot.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="disk is full"):
        plane.operations.revoke("toaster-1", why="stolen")
    monkeypatch.undo()
    assert plane.deployment.snapshot.read_bytes() == before
    assert plane.registry.exceptions().revoked == ("device/toaster-1",)
    assert plane.operations.revoke("toaster-1", why="stolen").published.changed
    assert on_disk(plane.deployment)["exceptions"]["revoked"] == ["device/toaster-1"]


def test_networks_are_banned_as_motte_toml_says_now(plane: ControlPlane) -> None:
    """`motte up` opens a deployment once and publishes for months."""

    def banned() -> Any:
        plane.publisher.publish(Source.IN_FORCE, why="test")
        return on_disk(plane.deployment)["exceptions"]["banned"]

    plane.publisher.publish(Source.FILE, why="test")
    config = plane.deployment.config_file
    config.write_text('[network]\nbanned = ["192.0.2.0/24"]\n')
    assert banned() == ["192.0.2.0/24"]
    config.write_text("[network\n")
    assert banned() == ["192.0.2.0/24"], "a broken file lets nobody in again"


def test_a_status_that_no_snapshot_has(plane: ControlPlane) -> None:
    assert not plane.publisher.misses_exceptions(), "nothing is in force that could miss it"
    plane.publisher.publish(Source.FILE, why="test")
    assert not plane.publisher.misses_exceptions()
    before = plane.registry.last_change()
    plane.fleet.revoke("toaster-1", why="and then the command died")
    assert plane.registry.last_change() > before
    assert plane.publisher.misses_exceptions()
    plane.publisher.publish(Source.IN_FORCE, why="test")
    assert not plane.publisher.misses_exceptions()


def test_a_policy_that_anybody_could_have_written_is_not_applied(plane: ControlPlane) -> None:
    plane.publisher.publish(Source.FILE, why="test")
    plane.deployment.policy_file.chmod(0o666)
    with pytest.raises(PolicyError, match="can be changed by every user") as caught:
        plane.publisher.publish(Source.FILE, why="test")
    assert "chmod o-w" in str(caught.value.hint)
    plane.fleet.revoke("toaster-1", why="stolen")
    published = plane.publisher.publish(Source.IN_FORCE, why="test")
    assert published.changed, "it does not stop a revocation"
    assert "every user" in str(published.note)
