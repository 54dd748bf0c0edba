from __future__ import annotations

import contextlib
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from motte.errors import EnrollmentError, StoreError
from motte.fleet.identity import Identity, Kind
from motte.fleet.registry import (
    EXPIRED_SERIAL_KEPT,
    CertificateRecord,
    Exceptions,
    Registry,
    create_registry,
)
from motte.fleet.schema import SCHEMA_VERSION, Status
from tests.support.fleet import START, SetClock, assert_helpful, text_of

WEEK = timedelta(days=7)
TOASTER = Identity(Kind.DEVICE, "toaster-1", {"group": "toaster"})
DASHBOARD = Identity(Kind.SERVICE, "dashboard")


def certificate(serial: str, days: float = 7) -> CertificateRecord:
    return CertificateRecord(serial, START, START + timedelta(days=days))


def open_again(path: Path, fleet: str = "home") -> Registry:
    return Registry(path, fleet=fleet, clock=SetClock(), actor="tester")


@contextlib.contextmanager
def raw(path: Path):  # type: ignore[no-untyped-def]  # noqa: ANN201
    connection = sqlite3.connect(path)
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


class TestIdentities:
    @pytest.mark.parametrize("status", [Status.ACTIVE, Status.QUARANTINED])
    def test_revoked_is_for_ever_also_for_a_command_that_looked_before(
        self, registry: Registry, registry_path: Path, status: Status
    ) -> None:
        registry.add(TOASTER, certificate("aa01"), why="")
        registry.set_status(TOASTER, Status.QUARANTINED, why="")
        with open_again(registry_path) as other:
            other.set_status(TOASTER, Status.REVOKED, why="stolen")
        with pytest.raises(EnrollmentError, match="for ever") as caught:
            registry.set_status(TOASTER, status, why="")
        assert_helpful(caught.value)
        with pytest.raises(EnrollmentError, match="for ever"):
            registry.replace_certificate(TOASTER, certificate("aa02"), why="")
        found = registry.get("toaster-1")
        assert found is not None
        assert (found.status, found.why) == (Status.REVOKED, "stolen")
        assert [one.serial for one in found.certificates] == ["aa01"]

    def test_what_is_added_is_found_again_after_a_restart(self, registry_path: Path) -> None:
        with open_again(registry_path) as registry:
            registry.add(TOASTER, certificate("aa01"), why="bought")
        with open_again(registry_path) as registry:
            found = registry.get("toaster-1")
        assert found is not None
        assert found.identity == TOASTER
        assert found.status is Status.ACTIVE
        assert found.why == "bought"
        assert found.created == START
        assert found.certificates == (certificate("aa01"),)

    def test_an_id_is_one_identity_whatever_its_kind(self, registry: Registry) -> None:
        registry.add(TOASTER, certificate("aa01"), why="")
        with pytest.raises(EnrollmentError):
            registry.add(Identity(Kind.SERVICE, "toaster-1"), certificate("aa02"), why="")
        assert registry.identities()[0].identity == TOASTER

    def test_a_refused_change_leaves_no_history(self, registry: Registry) -> None:
        registry.add(TOASTER, certificate("aa01"), why="")
        before = registry.changes()
        with pytest.raises(EnrollmentError):
            registry.add(TOASTER, certificate("aa02"), why="")
        assert registry.changes() == before

    def test_lists_by_status(self, registry: Registry) -> None:
        registry.add(TOASTER, certificate("aa01"), why="")
        registry.add(DASHBOARD, certificate("aa02"), why="")
        registry.set_status(TOASTER, Status.QUARANTINED, why="")
        assert [one.identity.id for one in registry.identities()] == ["toaster-1", "dashboard"]
        assert [one.identity.id for one in registry.identities(Status.ACTIVE)] == ["dashboard"]


class TestExceptions:
    def test_nobody_is_an_exception_at_first(self, registry: Registry) -> None:
        registry.add(TOASTER, certificate("aa01"), why="")
        assert registry.exceptions() == Exceptions((), (), ())

    def test_a_revoked_identity_and_all_its_certificates(self, registry: Registry) -> None:
        registry.add(TOASTER, certificate("aa01"), why="")
        registry.replace_certificate(TOASTER, certificate("aa02"), why="")
        assert registry.exceptions() == Exceptions(("aa01",), (), ())
        registry.set_status(TOASTER, Status.REVOKED, why="stolen")
        assert registry.exceptions() == Exceptions(("aa01", "aa02"), ("device/toaster-1",), ())

    def test_quarantine_and_release_leave_certificates_alone(self, registry: Registry) -> None:
        registry.add(TOASTER, certificate("aa01"), why="")
        registry.set_status(TOASTER, Status.QUARANTINED, why="")
        assert registry.exceptions() == Exceptions((), (), ("device/toaster-1",))
        registry.set_status(TOASTER, Status.ACTIVE, why="")
        assert registry.exceptions() == Exceptions((), (), ())

    def test_an_expired_serial_is_kept_for_a_day(self, registry: Registry, clock: SetClock) -> None:
        registry.add(TOASTER, certificate("aa01"), why="")
        registry.set_status(TOASTER, Status.REVOKED, why="")
        clock.advance(WEEK + EXPIRED_SERIAL_KEPT - timedelta(seconds=1))
        assert registry.exceptions().revoked_serials == ("aa01",)
        clock.advance(timedelta(seconds=1))
        assert registry.exceptions().revoked_serials == ()
        assert registry.exceptions().revoked == ("device/toaster-1",), "revoked is for ever"


class TestGenerations:
    def test_they_only_rise(self, registry: Registry) -> None:
        assert registry.generation() == 0
        registry.raise_generation(3, why="")
        assert registry.generation() == 3
        for stale in (3, 2, 0):
            with pytest.raises(StoreError):
                registry.raise_generation(stale, why="")
        assert registry.generation() == 3


class TestHistory:
    def test_who_did_what_when_and_why(self, registry: Registry, clock: SetClock) -> None:
        registry.add(TOASTER, certificate("aa01"), why="bought")
        clock.advance(timedelta(hours=1))
        registry.set_status(TOASTER, Status.REVOKED, why="stolen")
        newest, oldest = registry.changes("device/toaster-1")
        assert (oldest.action, oldest.why, oldest.actor) == ("enrolled", "bought", "tester")
        assert (newest.action, newest.why) == ("revoked", "stolen")
        assert newest.at == START + timedelta(hours=1)
        assert registry.changes()[-1].action == "registry made"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def garble(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def other_database(path: Path) -> None:
    path.unlink()
    with raw(path) as connection:
        connection.execute("CREATE TABLE accounts (name TEXT)")
    path.chmod(0o600)


def newer_schema(path: Path) -> None:
    with raw(path) as connection:
        query = "UPDATE meta SET value = ? WHERE key = 'schema_version'"
        connection.execute(query, (str(SCHEMA_VERSION + 1),))


def no_description(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("DELETE FROM meta")


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "is missing"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "header only": (lambda path: path.write_bytes(path.read_bytes()[:50]), "is truncated"),
    "truncated": (truncate, "is truncated"),
    "not a database": (lambda path: path.write_bytes(b"hello" * 1000), "not a SQLite database"),
    "garbled": (garble, "registry.sqlite"),
    "somebody else's": (other_database, "not a registry of Motte"),
    "newer": (newer_schema, "newer Motte"),
    "no description": (no_description, "damaged"),
    "group readable": (lambda path: path.chmod(0o640), "open to other users"),
    "world writable": (lambda path: path.chmod(0o666), "open to other users"),
    "a folder": (directory, "not a regular file"),
}


class TestDamage:
    @pytest.mark.parametrize("name", DAMAGES)
    def test_each_is_named_and_nothing_is_made_anew(self, registry_path: Path, name: str) -> None:
        with open_again(registry_path) as registry:
            registry.add(TOASTER, certificate("aa01"), why="")
        damage, says = DAMAGES[name]
        damage(registry_path)
        before = registry_path.read_bytes() if registry_path.is_file() else None
        with pytest.raises(StoreError) as caught:
            open_again(registry_path)
        assert says in caught.value.message
        assert registry_path.name in caught.value.message
        assert_helpful(caught.value)
        after = registry_path.read_bytes() if registry_path.is_file() else None
        assert after == before, "the evidence of what happened must stay as it is"

    def test_the_way_back_is_told(self, registry_path: Path) -> None:
        registry_path.unlink()
        with pytest.raises(StoreError) as caught:
            open_again(registry_path)
        assert "backup" in text_of(caught.value)
        assert "forget who was revoked" in text_of(caught.value)

    def test_another_fleets_registry(self, registry_path: Path) -> None:
        with pytest.raises(StoreError, match="belongs to the fleet `home`") as caught:
            open_again(registry_path, fleet="work")
        assert 'name = "home"' in str(caught.value.hint)

    def test_a_row_that_no_identity_can_have(self, registry_path: Path) -> None:
        with open_again(registry_path) as registry:
            registry.add(TOASTER, certificate("aa01"), why="")
        with raw(registry_path) as connection:
            connection.execute("UPDATE identities SET attributes = ?", ('{"group": "a/#"}',))
        with (
            open_again(registry_path) as registry,
            pytest.raises(StoreError, match="the row of `toaster-1`"),
        ):
            registry.identities()

    def test_one_that_was_copied_while_in_use_is_recovered(
        self, registry_path: Path, tmp_path: Path
    ) -> None:
        with open_again(registry_path) as registry:
            registry.add(TOASTER, certificate("aa01"), why="")
            copy = tmp_path / "copy" / "registry.sqlite"
            copy.parent.mkdir()
            for suffix in ("", "-wal"):
                shutil.copy2(f"{registry_path}{suffix}", f"{copy}{suffix}")
        with open_again(copy) as registry:
            assert registry.get("toaster-1") is not None

    def test_a_folder_that_cannot_be_written(self, registry_path: Path) -> None:
        code = (
            "import os, sys; from pathlib import Path\n"
            "from motte.fleet.registry import Registry; from motte.fleet.identity import *\n"
            "from motte.errors import StoreError; from motte.fleet.schema import Status\n"
            "path = Path(sys.argv[1])\n"
            "registry = Registry(path, fleet='home', clock=SystemClock(), actor='x')\n"
            "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
            "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "try: registry.raise_generation(1, why='')\n"
            "except StoreError as error: print(error.message); print(error.hint)\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code, str(registry_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        message, hint = ran.stdout.splitlines()
        assert "cannot use" in message
        assert hint
        with open_again(registry_path) as registry:
            assert registry.generation() == 0


class TestMaking:
    def test_it_is_private(self, registry_path: Path) -> None:
        assert stat.S_IMODE(registry_path.stat().st_mode) == 0o600
        with open_again(registry_path):
            for path in registry_path.parent.glob("registry.sqlite*"):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path

    def test_what_an_interrupted_making_left_does_not_disturb(self, tmp_path: Path) -> None:
        (tmp_path / ".registry.sqlite.new").write_bytes(b"half")
        path = tmp_path / "registry.sqlite"
        create_registry(path, fleet="home", clock=SetClock(), actor="tester")
        with open_again(path) as registry:
            assert registry.identities() == []
        assert [one.name for one in tmp_path.iterdir()] == ["registry.sqlite"]


class TestTwoAtOnce:
    def test_a_writer_waits_for_the_other(self, registry_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from motte.fleet.registry import Registry\n"
            "from motte.fleet.identity import SystemClock\n"
            "registry = Registry(Path(sys.argv[1]), fleet='home', clock=SystemClock(), actor='x')\n"
            "sys.stdin.readline()\n"
            "for n in range(40): registry.raise_generation(registry.generation() + 1, why='')\n"
        )
        several = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(registry_path)],
                stdin=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        for one in several:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        errors = [one.communicate()[1] for one in several]
        # Two of them can compute the same next number; what must not happen is a lost one.
        assert all("was already given out" in error or not error for error in errors), errors
        with open_again(registry_path) as registry:
            given = [c for c in registry.changes(limit=1000) if c.action.startswith("snapshot ")]
            assert len(given) == registry.generation() >= 40
            assert len({change.action for change in given}) == len(given)
