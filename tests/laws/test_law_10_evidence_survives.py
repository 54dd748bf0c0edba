"""Law 10. A refusal names layer, rule, identity, client id and peer, in a log that shows edits."""

import contextlib
import json
import shutil
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from motte.plane.evidence import Broken, Verified, verify
from tests.support import wire
from tests.support.client import Client
from tests.support.deployment import FLEET, DataPlane
from tests.support.policy import Policy, standard_roles
from tests.support.space import Identity, Space
from tests.support.wire import Property, Version


def _connect(space: Space, version: Version, who: Identity, **fields: Any) -> Client:
    client = space.open(version, who)
    client.send(wire.connect(version, fields.pop("client_id", who.id), **fields))
    client.drain()
    return client


REFUSALS: dict[str, tuple[str, Callable[[Space, Version, Identity], object]]] = {
    "another client id": (
        "identity",
        lambda space, version, who: _connect(space, version, who, client_id="somebody"),
    ),
    "another user name": (
        "identity",
        lambda space, version, who: _connect(space, version, who, username="somebody"),
    ),
    "a password": (
        "identity",
        lambda space, version, who: _connect(space, version, who, username="", password=b"x"),
    ),
    "a will for somebody else": (
        "authorization",
        lambda space, version, who: _connect(space, version, who, will=wire.Will("not/mine")),
    ),
    "a denied publication": (
        "authorization",
        lambda space, version, who: space.client(version, who).publish("not/mine", b"x", 1),
    ),
    "a denied publication at QoS 0": (
        "authorization",
        lambda space, version, who: space.client(version, who).publish("not/mine", b"x"),
    ),
    "a denied subscription": (
        "authorization",
        lambda space, version, who: space.client(version, who).subscribe("not/mine"),
    ),
    "a wildcard": (
        "authorization",
        lambda space, version, who: space.client(version, who).subscribe("#"),
    ),
    "a shared subscription": (
        "authorization",
        lambda space, version, who: space.client(version, who).subscribe("$share/g/a"),
    ),
    "a malformed packet": (
        "protocol",
        lambda space, version, who: space.client(version, who).send(b"\x00\x00"),
    ),
    "a second CONNECT": (
        "protocol",
        lambda space, version, who: space.client(version, who).send(wire.connect(version, who.id)),
    ),
    "a packet too large": (
        "protocol",
        lambda space, version, who: space.client(version, who).send(b"\x30\xff\xff\xff\x7f"),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_on_record(space: Space, version: Version, name: str) -> None:
    layer, act = REFUSALS[name]
    who = space.device()
    act(space, version, who)
    record = space.plane.await_evidence(identity=who.name, kind="refused")
    assert record["layer"] == layer
    assert record["rule"]
    assert record["client_id"] == ("somebody" if name == "another client id" else who.id)
    assert record["peer"].startswith(f"{space.source}:")
    assert record["count"] >= 1
    assert record["detail"]


def test_a_rule_of_the_policy_is_named_by_its_line(space: Space, version: Version) -> None:
    role = space.role(
        "denied",
        publish=["{site}/dev/#"],
        deny=["{site}/dev/secret"],
    )
    who = space.device("denied", "denied")
    client = space.client(version, who)
    client.publish(f"{space.site}/dev/secret", b"x", 1)
    record = space.plane.await_evidence(identity=who.name, kind="refused")
    assert f"policy.toml:{role['deny'][0]['line']}" in record["rule"]
    assert "secret" in record["rule"]


def test_what_is_refused_before_there_is_an_identity(space: Space) -> None:
    with space.plane.tcp(space.source) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while connection.recv(100):
            pass
    records: list[dict[str, Any]] = []

    def of_this_peer() -> bool:
        records[:] = [
            record
            for record in space.plane.evidence()
            if str(record.get("peer", "")).startswith(f"{space.source}:")
        ]
        return bool(records)

    from tests.support.deployment import wait_until

    wait_until(of_this_peer, "evidence")
    assert records[0]["kind"] == "refused"
    assert records[0]["layer"] == "tls"
    assert "identity" not in records[0]


def test_what_the_peer_says_is_escaped(space: Space, version: Version) -> None:
    who = space.device()
    name = 'x"\\},{"kind":"connected'
    _connect(space, version, who, username=name)
    record = space.plane.await_evidence(identity=who.name, kind="refused")
    assert "\n" not in json.dumps(record)
    assert len(record["detail"]) < 2000
    assert isinstance(verify(space.plane.evidence_path), Verified)


@pytest.mark.only(Version.V5)
def test_payloads_and_properties_stand_in_no_log(space: Space, version: Version) -> None:
    who = space.device()
    secret = "hunter2-hunter2"
    client = space.client(version, who)
    pairs: list[tuple[int, wire.PropertyValue]] = [
        (Property.USER_PROPERTY, ("secret", secret)),
        (Property.CORRELATION_DATA, secret.encode()),
    ]
    client.publish("not/mine", secret.encode(), 1, properties=pairs)
    space.plane.await_evidence(identity=who.name, kind="refused")
    assert secret.encode() not in space.plane.evidence_path.read_bytes()
    assert secret not in space.plane.log()


def test_the_log_and_its_folder_are_private(space: Space) -> None:
    space.client(Version.V5)
    path = space.plane.evidence_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, space.plane.state, space.plane.state / "run"):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((space.plane.state / "run" / "control.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE((space.plane.state / "snapshot.json").stat().st_mode) == 0o600


def _edits(lines: list[bytes]) -> dict[str, list[bytes]]:
    middle = len(lines) // 2
    record = json.loads(lines[middle])
    record["record"]["detail"] = "nothing happened"
    forged = json.dumps(record, separators=(",", ":")).encode()
    return {
        "a line removed": lines[:middle] + lines[middle + 1 :],
        "the first line removed": lines[1:],
        "two lines exchanged": [
            *lines[:middle],
            lines[middle + 1],
            lines[middle],
            *lines[middle + 2 :],
        ],
        "a line twice": [*lines[: middle + 1], lines[middle], *lines[middle + 1 :]],
        "a record changed": [*lines[:middle], forged, *lines[middle + 1 :]],
        "a number changed": [
            *lines[:middle],
            lines[middle].replace(b'"seq":', b'"seq":1', 1),
            *lines[middle + 1 :],
        ],
        "one bit": [
            *lines[:middle],
            lines[middle].replace(b'"kind"', b'"kinc"', 1),
            *lines[middle + 1 :],
        ],
        "a line of one's own": [*lines[:middle], b'{"seq":1}', *lines[middle:]],
    }


def test_every_edit_is_found(space: Space, tmp_path: Path) -> None:
    for version in Version:
        client = space.client(version, space.device())
        client.publish("not/mine", b"x", 1)
        space.plane.await_evidence(identity=f"device/{client.client_id}", kind="refused")
    path = tmp_path / "evidence.log"
    shutil.copy(space.plane.evidence_path, path)
    whole = path.read_bytes()
    lines = whole[: whole.rfind(b"\n")].split(b"\n")
    path.write_bytes(b"\n".join(lines) + b"\n")
    assert verify(path) == Verified(len(lines), json.loads(lines[-1])["hash"], unfinished=False)
    for name, edited in _edits(lines).items():
        path.write_bytes(b"\n".join(edited) + b"\n")
        assert isinstance(verify(path), Broken), name


def test_the_chain_goes_on_after_a_kill(folder: Path) -> None:
    """Killed between two writes, or in the middle of one: the next start continues the chain."""
    plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    space = Space(plane)
    try:
        plane.start()
        space.client(Version.V5, space.device()).publish("not/mine", b"x", 1)
        plane.await_evidence(kind="refused")
        plane.stop(signal.SIGKILL)
        before = plane.evidence_path.read_bytes()
        with plane.evidence_path.open("ab") as log:
            log.write(b'{"seq":99,"previous":"half a li')
        plane.start(snapshot=False)
        space.client(Version.V5, space.device()).publish("not/mine", b"x", 1)
        plane.stop()
        whole = plane.evidence_path.read_bytes()
        assert whole.startswith(before)
        verdict = verify(plane.evidence_path)
        assert isinstance(verdict, Verified)
        assert verdict.lines > before.count(b"\n")
    finally:
        space.close()
        plane.stop()


def test_an_edited_log_does_not_become_good_by_a_restart(folder: Path) -> None:
    """Whatever is added to it, the place of the edit stays visible."""
    plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    try:
        plane.start()
        plane.await_evidence(kind="snapshot")
        plane.stop()
        lines = plane.evidence_path.read_bytes().splitlines(keepends=True)
        plane.evidence_path.write_bytes(b"".join(lines[1:]))
        with contextlib.suppress(AssertionError):
            plane.start(snapshot=False)
        plane.stop()
        verdict = verify(plane.evidence_path)
        assert isinstance(verdict, Broken)
        assert verdict.line == 1
    finally:
        plane.stop()


def test_the_log_is_bounded_and_proves_what_it_lost(folder: Path) -> None:
    """Many files were filled and the oldest removed; the chain holds and says where it begins."""
    sizes = {"segment_bytes": 16 * 1024, "kept_bytes": 48 * 1024}
    plane = DataPlane(folder, Policy(FLEET, standard_roles()), settings={"evidence": sizes})
    space = Space(plane)
    try:
        plane.start()
        who = space.device()
        for _ in range(200):
            space.client(Version.V5, who).disconnect()
        plane.stop()
        files = list(plane.evidence_path.parent.glob("evidence*.log"))
        assert len(files) > 2
        assert sum(file.stat().st_size for file in files) < (16 + 48 + 16 + 4) * 1024
        verdict = verify(plane.evidence_path)
        assert isinstance(verdict, Verified)
        assert verdict.first > 1
        # The next start goes on in it.
        plane.start(snapshot=False)
        plane.stop()
        after = verify(plane.evidence_path)
        assert isinstance(after, Verified)
        assert after.first + after.lines > verdict.first + verdict.lines
    finally:
        space.close()
        plane.stop()


@pytest.mark.only(Version.V5)
def test_followers_get_the_records_as_they_happen(space: Space, version: Version) -> None:
    who = space.device()
    with space.plane.control() as control:
        control.call("follow")
        space.client(version, who).publish("not/mine", b"x", 1)
        while True:
            batch = control.receive()
            assert batch["event"] == "batch"
            found = [event for event in batch["events"] if event.get("identity") == who.name]
            if any(event["kind"] == "refused" for event in found):
                return
