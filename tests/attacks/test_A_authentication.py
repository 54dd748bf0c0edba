"""Group A: authentication."""

import contextlib
import resource
import socket
import ssl
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.client import Client, Closed
from tests.support.deployment import FLEET, ControlError, DataPlane
from tests.support.policy import Policy, standard_roles
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version


def test_A1_there_is_no_anonymous_mode(space: Space, version: Version) -> None:
    """Without a certificate nothing that is sent gets an MQTT answer, whatever it says."""
    for username in (None, "", "admin"):
        try:
            client = Client(space.plane.tls(None, space.source), version)
        except (ssl.SSLError, ConnectionError):
            continue
        with client, contextlib.suppress(ssl.SSLError, ConnectionError):
            client.send(wire.connect(version, "anybody", username=username))
            with pytest.raises(Closed):
                client.receive()


def test_A2_a_user_name_without_password(fleet: Fleet) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    client.send(wire.connect(fleet.version, fleet.a.id, username=fleet.b.id))
    client.expect_refused(Reason.NOT_AUTHORIZED, code=5)
    fleet.evidence(fleet.a, layer="identity", rule="identity.username")


@pytest.mark.parametrize("password", [b"", b"x"])
def test_A3_a_password_is_refused(fleet: Fleet, password: bytes) -> None:
    """There is no password mode; the one that was sent stands in no log."""
    secret = password and b"correct horse battery staple"
    client = fleet.space.open(fleet.version, fleet.a)
    client.send(wire.connect(fleet.version, fleet.a.id, username="", password=secret))
    client.expect_refused(Reason.BAD_USER_NAME_OR_PASSWORD, code=4)
    fleet.evidence(fleet.a, layer="identity", rule="identity.password")
    for path in fleet.space.plane.folder.rglob("*"):
        if path.is_file():
            assert b"correct horse" not in path.read_bytes()


BROKEN = {
    "missing": None,
    "empty": b"",
    "not json": b"{",
    "null": b"null",
    "not utf-8": b"\xff\xfe",
    "no fields": b"{}",
    "format 2": b'{"format":2}',
    "truncated": Policy(FLEET, standard_roles()).next().encode()[:-1],
    "another fleet": Policy("elsewhere", standard_roles()).next().encode(),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_A4_without_a_good_policy_everything_is_denied(folder: Path, content: bytes | None) -> None:
    plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    if content is not None:
        (plane.state / "snapshot.json").write_bytes(content)
        (plane.state / "snapshot.json").chmod(0o600)
    space = Space(plane)
    try:
        plane.start(snapshot=False)
        for version in Version:
            client = space.open(version, space.device())
            with contextlib.suppress(ssl.SSLError, ConnectionError, Closed):
                packet = client.connect(client.client_id)
                assert packet.reason != 0
        assert plane.status()["generation"] == 0
        # One good policy and the door opens; it was the policy that kept it shut.
        plane.apply()
        space.client(Version.V5, space.device())
    finally:
        space.close()
        plane.stop()


def test_A4_a_policy_whose_test_vector_fails_is_refused(space: Space, version: Version) -> None:
    policy = space.plane.policy
    assert policy is not None
    before = space.plane.status()["generation"]
    policy.vectors = [
        {
            "identity": {"kind": "device", "id": "x", "attributes": {"group": "device"}},
            "action": "publish",
            "topic": "anything",
            "qos": 0,
            "retain": False,
            "allowed": True,
        }
    ]
    try:
        with pytest.raises(ControlError):
            space.plane.apply()
    finally:
        policy.vectors = []
    assert space.plane.status()["generation"] == before
    space.client(version, space.device())


def test_A5_without_file_descriptors_the_policy_stays(folder: Path) -> None:
    """Nobody comes in, nothing is reset, and when descriptors are free again all is as before."""
    plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    space = Space(plane)
    peers: list[socket.socket] = []
    try:
        plane.start()
        process = plane.process
        assert process is not None
        live = space.client(Version.V5, space.device())
        with plane.control() as control:
            # Once it has answered it is accepted, and needs no further descriptor.
            control.call("status")
            used = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
            limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (used + 4, limits[1]))
            peers = [plane.tcp(space.source) for _ in range(20)]
            with pytest.raises(ControlError):
                control.call("install", snapshot="{}")
            live.expect_nothing()
            assert control.call("status")["generation"] == 1
            for peer in peers:
                peer.close()
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
            live.expect_nothing()
            space.client(Version.V311, space.device())
    finally:
        for peer in peers:
            peer.close()
        space.close()
        plane.stop()


@pytest.mark.parametrize("kind", ["PUBLISH", "SUBSCRIBE", "PINGREQ", "AUTH"])
def test_A6_nothing_is_done_before_connect(fleet: Fleet, kind: str) -> None:
    victim = fleet.victim()
    packets = {
        "PUBLISH": wire.publish(fleet.version, fleet.a_tel, b"early", retain=True),
        "SUBSCRIBE": wire.subscribe(fleet.version, 1, [(fleet.a_cmd, 0)]),
        "PINGREQ": wire.PINGREQ,
        "AUTH": wire.auth(0x19, [(Property.AUTHENTICATION_METHOD, "m")]),
    }
    ear = fleet.ear()
    client = fleet.space.open(fleet.version, fleet.a)
    client.send(packets[kind])
    assert client.drain() == []
    assert b"early" not in fleet.heard(ear, fleet.a_tel)
    assert victim.message().payload


def test_A7_a_second_connect_for_another_identity(fleet: Fleet) -> None:
    victim = fleet.victim(durable=True)
    client = fleet.attacker()
    client.send(
        wire.connect(fleet.version, fleet.b.id, clean_start=True),
        wire.publish(fleet.version, fleet.b_cmd, b"mine"),
    )
    client.expect_closed(Reason.PROTOCOL_ERROR)
    assert fleet.heard(victim, fleet.b_cmd) == []


@pytest.mark.parametrize("flaw", ["client id", "user name", "password", "method"])
def test_A8_the_will_of_a_refused_connect_is_never_sent(fleet: Fleet, flaw: str) -> None:
    if flaw == "method" and fleet.version is Version.V311:
        flaw = "password"
    ear = fleet.ear()
    client = fleet.space.open(fleet.version, fleet.a)
    client.send(
        wire.connect(
            fleet.version,
            fleet.b.id if flaw == "client id" else fleet.a.id,
            username="b" if flaw == "user name" else fleet.a.id,
            password=b"x" if flaw == "password" else None,
            will=wire.Will(fleet.a_tel, b"from the grave"),
            properties=[(Property.AUTHENTICATION_METHOD, "m")] if flaw == "method" else (),
        )
    )
    client.drain()
    assert fleet.heard(ear, fleet.a_tel) == []


@pytest.mark.parametrize("flaw", ["client id", "user name"])
def test_A9_a_refused_connect_touches_no_session(fleet: Fleet, flaw: str) -> None:
    """Neither the victim's session nor the attacker's own ends by a clean start that is refused."""
    victim = fleet.victim(durable=True)
    victim.cut()
    own = fleet.space.durable(fleet.version, fleet.a)
    own.cut()
    client = fleet.space.open(fleet.version, fleet.a)
    name = fleet.b.id if flaw == "client id" else fleet.a.id
    client.send(wire.connect(fleet.version, name, username=fleet.b.id, clean_start=True))
    client.drain()
    fleet.space.durable(fleet.version, fleet.b, session=True)
    fleet.space.durable(fleet.version, fleet.a, session=True)


def test_A11_guessing_is_banned_for_a_while(folder: Path) -> None:
    """An address that fails again and again is cut off before TLS; other addresses are served."""
    plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    space, other = Space(plane), Space(plane)
    try:
        plane.start()
        attempts = 0
        banned = False
        while not banned and attempts < 200:
            attempts += 1
            try:
                with plane.tls(None, space.source) as connection:
                    connection.sendall(wire.connect(Version.V5, "guess"))
                    connection.recv(100)
            except ssl.SSLError as error:
                # A certificate alert answers the handshake; a ban ends it without any.
                banned = "EOF" in str(error) or "eof" in str(error)
            except ConnectionError:
                banned = True
        assert banned, "200 failures and still welcome"
        assert attempts > 1
        plane.await_evidence(kind="refused", layer="network")
        with pytest.raises((ssl.SSLError, ConnectionError, Closed)):
            space.client(Version.V5, space.device())
        other.client(Version.V5, other.device())
    finally:
        space.close()
        other.close()
        plane.stop()


HOSTILE_NAMES = [
    "x&username=admin",
    "x' OR '1'='1",
    "*)(uid=*",
    '","sub":"',
    "../../etc/passwd",
    "${jndi:ldap://x}",
    "%s%s%n",
    "admin:suffix",
    "a" * 1000,
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_A13_injection_by_user_name(fleet: Fleet, name: str) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    client.send(wire.connect(fleet.version, fleet.a.id, username=name))
    client.expect_refused(Reason.NOT_AUTHORIZED, Reason.BAD_USER_NAME_OR_PASSWORD, code=5)
    fleet.evidence(fleet.a, layer="identity")


def test_A16_certificate_user_name_and_client_id_are_one(fleet: Fleet) -> None:
    """Every pair that is not A throughout is refused; A throughout is A."""
    for client_id, username, refused in [
        (fleet.b.id, fleet.b.id, True),
        (fleet.a.id, fleet.b.id, True),
        (fleet.b.id, fleet.a.id, True),
        (fleet.a.id, fleet.a.id, False),
        (fleet.a.id, "", False),
    ]:
        client = fleet.space.open(fleet.version, fleet.a)
        connack = client.connect(client_id, username=username)
        assert (connack.reason != 0) is refused
        if refused:
            assert connack.type is Type.CONNACK
            with pytest.raises(Closed):
                client.receive()
        else:
            client.disconnect()
