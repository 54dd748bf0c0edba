"""A disk that fails under a broker at work: nothing is acknowledged that is not kept."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from motte.deployment import Deployment
from motte.errors import StoreError
from motte.plane import storage
from tests.support import wire
from tests.support.client import Closed
from tests.support.deployment import FLEET, DataPlane, wait_until
from tests.support.policy import Policy, standard_roles
from tests.support.space import Space
from tests.support.wire import Reason, Type, Version

SOURCE = Path(__file__).with_name("faulty_disk.c")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk that can be broken."""
    path = tmp_path_factory.mktemp("disk") / "faulty_disk.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", str(SOURCE), "-o", str(path)]
    subprocess.run([*command, "-ldl"], check=True)
    return path


class Disk:
    """Says what is wrong with it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def breaks(self, fault: str) -> None:
        """From here on."""
        self.path.write_text(fault)

    def recovers(self) -> None:
        """From here on."""
        self.path.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """A disk that is well."""
    return Disk(tmp_path / "fault")


@pytest.fixture
def own(tmp_path: Path, disk: Disk, library: Path) -> Iterator[Space]:
    """A space on a data plane with that disk."""
    plane = DataPlane(tmp_path / "plane", Policy(FLEET, standard_roles()))
    plane.environment = {"LD_PRELOAD": str(library), "MOTTE_DISK": str(disk.path)}
    space = Space(plane.start())
    yield space
    space.close()
    plane.stop()


def test_a_failed_fsync_ends_the_acknowledgements(own: Space, version: Version, disk: Disk) -> None:
    reader = own.identity()
    own.durable(version, reader).subscribe(own.topic("a"), qos=1)
    sender = own.client(version)
    assert sender.publish(own.topic("a"), b"kept", 1) == 0
    disk.breaks("sync")
    sender.send(wire.publish(version, own.topic("a"), b"lost", qos=1, packet_id=99))
    # No PUBACK: a goodbye where the version has one, and the end.
    sender.expect_closed(Reason.SERVER_SHUTTING_DOWN)
    assert own.plane.process is not None
    assert own.plane.process.wait(20) != 0
    log = own.plane.log()
    assert "store.db" in log
    assert "nothing is acknowledged any more" in log
    own.plane.await_evidence(kind="store")
    # Whoever starts it again finds what was acknowledged.
    disk.recovers()
    own.plane.stop()
    own.plane.start()
    client = own.durable(version, reader, session=True)
    assert client.message().payload == b"kept"


def test_a_full_disk_refuses_messages_and_recovers(
    own: Space, version: Version, disk: Disk
) -> None:
    reader = own.identity()
    own.durable(version, reader).subscribe(own.topic("a"), qos=1)
    sender = own.client(version)
    idle = own.client(version)
    disk.breaks("full")
    sender.send(wire.publish(version, own.topic("a"), b"first", qos=1, packet_id=99))
    own.plane.await_evidence(kind="store")
    assert own.plane.status()["is_store_full"]
    if version is Version.V5:
        assert idle.publish(own.topic("a"), b"refused", 1) == Reason.QUOTA_EXCEEDED
        assert idle.publish(own.topic("a"), b"refused", 2) == Reason.QUOTA_EXCEEDED
        idle.send(wire.publish(version, own.topic("a"), b"live", qos=0), wire.PINGREQ)
        idle.expect(Type.PINGRESP)
    else:
        idle.send(wire.publish(version, own.topic("a"), b"refused", qos=1, packet_id=1))
        with pytest.raises(Closed):
            idle.receive()
    disk.recovers()
    # What was taken before is acknowledged as soon as it is kept.
    assert sender.expect(Type.PUBACK, within=20).packet_id == 99
    wait_until(lambda: not own.plane.status()["is_store_full"], "room")
    assert sender.publish(own.topic("a"), b"second", 1) == 0
    client = own.durable(version, reader, session=True)
    assert [client.message().payload, client.message().payload] == [b"first", b"second"]


def test_a_damaged_store_is_no_empty_store(tmp_path: Path, own: Space) -> None:
    reader = own.identity()
    own.durable(Version.V5, reader).subscribe(own.topic("a"), qos=1)
    own.client(Version.V5).publish(own.topic("a"), b"x" * 10_000, 1)
    plane = own.plane
    plane.stop()
    file = plane.state / "store" / "store.db"
    good = file.read_bytes()
    file.write_bytes(good[: len(good) // 2])
    assert plane.launch().wait(20) != 0
    plane.stop()
    assert str(file) in plane.log()
    file.unlink()
    assert plane.launch().wait(20) != 0
    plane.stop()
    assert "is gone" in plane.log()
    deployment = Deployment(plane.folder)
    with pytest.raises(StoreError, match="gone"):
        storage.check(deployment)
    file.write_bytes(good)
    file.chmod(0o600)
    assert storage.check(deployment).messages == 1
    plane.start()
    # While it runs it can be looked at and copied, and not replaced.
    assert not storage.check(deployment).problems
    storage.back_up(deployment, tmp_path / "copy.db")
    with pytest.raises(StoreError, match="another data plane"):
        storage.restore(deployment, empty=True)
    plane.stop()
    restored = storage.restore(deployment, backup=tmp_path / "copy.db")
    assert restored.contents.messages == 1
    assert restored.set_aside is not None
    plane.start()
    assert own.durable(Version.V5, reader, session=True).message().payload == b"x" * 10_000
