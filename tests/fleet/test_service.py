from __future__ import annotations

import ast
import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from motte.errors import EnrollmentError, StoreError
from motte.fleet.bundle import ABANDONED_AFTER, Bundle, open_bundle, remove_drafts
from motte.fleet.identity import Kind
from motte.fleet.registry import Registry
from motte.fleet.schema import Status
from motte.fleet.service import MAXIMUM_REASON, Bundles, Enrolment, Fleet
from tests.support.fleet import START, SetClock, assert_helpful


@pytest.fixture
def toaster(enrolment: Enrolment) -> Bundle:
    return enrolment.enrol(Kind.DEVICE, "toaster-1", {"group": "toaster"}).bundle


class TestEnrolment:
    def test_the_bundle_is_whole_and_private(self, toaster: Bundle) -> None:
        assert stat.S_IMODE(toaster.folder.stat().st_mode) == 0o700
        names = sorted(path.name for path in toaster.folder.iterdir())
        assert names == ["README.md", "authority.pem", "certificate.pem", "client.py", "key.pem"]
        for path in toaster.folder.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path

    def test_key_and_certificate_belong_together(self, toaster: Bundle) -> None:
        key = serialization.load_pem_private_key(toaster.key.read_bytes(), None)
        certificate = x509.load_pem_x509_certificate(toaster.certificate.read_bytes())
        assert key.public_key() == certificate.public_key()
        authority = x509.load_pem_x509_certificate(toaster.authority.read_bytes())
        certificate.verify_directly_issued_by(authority)

    def test_the_key_is_nowhere_else(self, toaster: Bundle, tmp_path: Path) -> None:
        secret = toaster.key.read_bytes().splitlines()[1]
        holders = [
            path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()
        ]
        assert holders == [toaster.key]

    def test_the_registry_knows_it(self, toaster: Bundle, registry: Registry) -> None:
        record = registry.get("toaster-1")
        certificate = x509.load_pem_x509_certificate(toaster.certificate.read_bytes())
        assert record is not None
        assert dict(record.identity.attributes) == {"group": "toaster"}
        assert int(record.certificates[0].serial, 16) == certificate.serial_number
        assert record.certificates[0].not_after == START + timedelta(days=7)

    def test_the_examples_survive_any_topic(self, toaster: Bundle) -> None:
        readme = (toaster.folder / "README.md").read_text()
        assert """-t 'toasters/it'"'"'s me/telemetry'""" in readme
        program = (toaster.folder / "client.py").read_text()
        assert "toasters/it's me/telemetry" in program
        ast.parse(program)
        assert "$" not in readme.replace("$SYS", "")

    def test_nobody_is_enrolled_twice(self, toaster: Bundle, enrolment: Enrolment) -> None:
        key = toaster.key.read_bytes()
        with pytest.raises(EnrollmentError, match="already enrolled") as caught:
            enrolment.enrol(Kind.SERVICE, "toaster-1", {})
        assert "motte device rotate toaster-1" in str(caught.value.hint)
        assert toaster.key.read_bytes() == key

    def test_an_existing_folder_is_never_written_over(
        self, enrolment: Enrolment, bundles: Bundles, registry: Registry
    ) -> None:
        (bundles.folder / "toaster-9").mkdir(parents=True)
        bundles.folder.chmod(0o700)
        with pytest.raises(EnrollmentError, match="already exists") as caught:
            enrolment.enrol(Kind.DEVICE, "toaster-9", {})
        assert_helpful(caught.value)
        assert registry.get("toaster-9") is None
        assert list((bundles.folder / "toaster-9").iterdir()) == []

    @pytest.mark.usefixtures("toaster")
    def test_a_revoked_id_is_never_given_again(self, enrolment: Enrolment, fleet: Fleet) -> None:
        fleet.revoke("toaster-1", why="stolen")
        with pytest.raises(EnrollmentError, match="for ever"):
            enrolment.enrol(Kind.DEVICE, "toaster-1", {})

    def test_if_the_registry_fails_no_key_stays_behind(
        self, enrolment: Enrolment, bundles: Bundles, registry: Registry, registry_path: Path
    ) -> None:
        registry.close()
        import sqlite3

        other = sqlite3.connect(registry_path)
        other.execute("DROP TABLE changes")
        other.close()
        with pytest.raises(StoreError):
            enrolment.enrol(Kind.DEVICE, "toaster-1", {})
        assert list(bundles.folder.iterdir()) == []

    def test_a_reason_has_a_limit(self, enrolment: Enrolment, registry: Registry) -> None:
        enrolment.enrol(Kind.DEVICE, "a", {}, why="x" * MAXIMUM_REASON)
        with pytest.raises(EnrollmentError):
            enrolment.enrol(Kind.DEVICE, "b", {}, why="x" * (MAXIMUM_REASON + 1))
        assert [one.identity.id for one in registry.identities()] == ["a"]


class TestRotation:
    def test_a_new_key_and_the_old_serial_revoked(
        self, toaster: Bundle, enrolment: Enrolment, fleet: Fleet, registry: Registry
    ) -> None:
        old_key = toaster.key.read_bytes()
        old_serial = fleet.get("toaster-1").certificates[0].serial
        enrolled = enrolment.rotate("toaster-1", fleet=fleet)
        assert enrolled.bundle.key.read_bytes() != old_key
        assert registry.exceptions().revoked_serials == (old_serial,)
        assert sorted(path.name for path in toaster.folder.parent.iterdir()) == ["toaster-1"]

    def test_it_repairs_an_enrolment_that_lost_its_bundle(
        self, toaster: Bundle, enrolment: Enrolment, fleet: Fleet
    ) -> None:
        toaster.folder.rename(toaster.folder.parent.parent / "gone")
        assert open_bundle(enrolment.rotate("toaster-1", fleet=fleet).bundle.folder).key.is_file()

    @pytest.mark.usefixtures("toaster")
    @pytest.mark.parametrize("action", ["revoke", "quarantine"])
    def test_who_is_refused_gets_no_new_certificate(
        self, enrolment: Enrolment, fleet: Fleet, action: str
    ) -> None:
        getattr(fleet, action)("toaster-1", why="")
        with pytest.raises(EnrollmentError) as caught:
            enrolment.rotate("toaster-1", fleet=fleet)
        assert_helpful(caught.value)


@pytest.mark.usefixtures("toaster")
class TestStatus:
    def test_quarantine_and_release(self, fleet: Fleet) -> None:
        assert fleet.quarantine("toaster-1", why="odd").after is Status.QUARANTINED
        assert fleet.get("toaster-1").why == "odd"
        assert fleet.release("device/toaster-1", why="fine").changed
        assert fleet.get("toaster-1").status is Status.ACTIVE

    def test_twice_is_once(self, fleet: Fleet, registry: Registry) -> None:
        assert fleet.revoke("toaster-1", why="first").changed
        history = registry.changes()
        again = fleet.revoke("toaster-1", why="second")
        assert not again.changed
        assert registry.changes() == history
        assert fleet.get("toaster-1").why == "first"

    @pytest.mark.parametrize("action", ["release", "quarantine"])
    def test_revoked_is_for_ever(self, fleet: Fleet, action: str) -> None:
        fleet.revoke("toaster-1", why="stolen")
        with pytest.raises(EnrollmentError, match="for ever") as caught:
            getattr(fleet, action)("toaster-1", why="")
        assert_helpful(caught.value)
        assert fleet.get("toaster-1").status is Status.REVOKED

    def test_a_name_that_is_not_there_brings_a_suggestion(self, fleet: Fleet) -> None:
        with pytest.raises(EnrollmentError) as caught:
            fleet.get("toster-1")
        assert caught.value.hint == "did you mean `toaster-1`?"
        with pytest.raises(EnrollmentError):
            fleet.get("service/toaster-1")


class TestOpeningABundle:
    @pytest.mark.parametrize("name", ["key.pem", "certificate.pem", "authority.pem"])
    def test_a_missing_file_is_named(self, toaster: Bundle, name: str) -> None:
        (toaster.folder / name).unlink()
        with pytest.raises(StoreError, match=f"{name} is missing") as caught:
            open_bundle(toaster.folder)
        assert_helpful(caught.value)

    def test_a_key_that_others_can_read_is_not_used(self, toaster: Bundle) -> None:
        toaster.key.chmod(0o644)
        with pytest.raises(StoreError, match="open to other users"):
            open_bundle(toaster.folder)

    def test_no_bundle(self, tmp_path: Path) -> None:
        with pytest.raises(EnrollmentError, match="there is no bundle"):
            open_bundle(tmp_path / "fridge")


def test_what_a_crash_left_is_removed_when_it_is_old(toaster: Bundle, clock: SetClock) -> None:
    folder = toaster.folder.parent
    old, young = folder / ".new+1", folder / ".old+2"
    for path in (old, young):
        path.mkdir()
        (path / "key.pem").write_text("secret")
    past = (clock.now() - ABANDONED_AFTER - timedelta(seconds=1)).timestamp()
    recent = (clock.now() - ABANDONED_AFTER + timedelta(seconds=1)).timestamp()
    os.utime(old, (past, past))
    os.utime(young, (recent, recent))
    assert remove_drafts(folder, clock.now()) == 1
    assert sorted(path.name for path in folder.iterdir()) == [".old+2", "toaster-1"]


def test_no_id_can_look_like_a_draft(enrolment: Enrolment) -> None:
    with pytest.raises(EnrollmentError):
        enrolment.enrol(Kind.DEVICE, ".new+1", {})
