"""Group T: transport and TLS."""

import contextlib
import datetime as dt
import shutil
import socket
import ssl
import struct
import subprocess
from pathlib import Path

import pytest

from tests.support import pki, wire
from tests.support.client import DEADLINE, Client, Closed
from tests.support.deployment import HOST
from tests.support.space import Identity, Space
from tests.support.wire import Reason, Version


def _read_all(connection: socket.socket) -> bytes:
    connection.settimeout(DEADLINE)
    out = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(65536):
            out += data
    return out


def _refused(space: Space, version: Version, credential: pki.Credential | None, name: str) -> None:
    """The peer gets no CONNACK that accepts it; in TLS 1.3 it learns that at its first read."""
    try:
        client = Client(space.plane.tls(credential, space.source), version)
    except (ssl.SSLError, ConnectionError):
        return
    with client, contextlib.suppress(ssl.SSLError, ConnectionError):
        client.send(wire.connect(version, name))
        try:
            packet = client.receive()
        except Closed:
            return
        assert packet.type is wire.Type.CONNACK
        assert packet.reason != 0


def _uri(space: Space, identity: Identity) -> list[str]:
    assert identity.uri.startswith("spiffe://")
    assert space.site in identity.uri
    return [identity.uri]


def test_T1_clear_text_gets_no_mqtt(space: Space, version: Version) -> None:
    with space.plane.tcp(space.source) as connection:
        connection.sendall(wire.connect(version, "a", username="a", password=b"secret"))
        answer = _read_all(connection)
    # A TLS alert may come; an MQTT packet may not.
    assert answer[:1] in (b"", b"\x15")
    assert b"\x20" not in answer[:1]


def test_T1_nothing_else_listens(space: Space) -> None:
    """The process listens on the one address and port it was told to, and on no other."""
    process = space.plane.process
    assert process is not None
    inodes = set()
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                listening.append((address, int(port, 16)))
    loopback = struct.pack("<I", int.from_bytes(socket.inet_aton(HOST), "big")).hex().upper()
    assert listening == [(loopback, space.plane.port)]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("newest", ["TLSv1", "TLSv1_1", "TLSv1_2"])
def test_T2_old_tls_is_refused(space: Space, newest: str) -> None:
    who = space.device()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(space.plane.authority.path)
    context.load_cert_chain(who.credential.certificate, who.credential.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion[newest]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        space.plane.tls(None, space.source, context)


def test_T2_the_suite_is_an_aead_of_tls_1_3(space: Space, version: Version) -> None:
    client = space.client(version, space.device())
    assert isinstance(client.connection, ssl.SSLSocket)
    cipher = client.connection.cipher()
    assert cipher is not None
    assert client.connection.version() == "TLSv1.3"
    assert "GCM" in cipher[0] or "POLY1305" in cipher[0]


def test_T3_no_client_certificate(space: Space, version: Version) -> None:
    _refused(space, version, None, space.device().id)


@pytest.mark.parametrize("name", ["self-signed", "another authority", "same authority name"])
def test_T4_a_certificate_of_somebody_else(
    space: Space, version: Version, tmp_path: Path, name: str
) -> None:
    victim = space.device("b")
    if name == "self-signed":
        forged = space.plane.authority.issue(victim.id, uris=_uri(space, victim), self_signed=True)
    else:
        own_name = "fleet" if name == "same authority name" else "public"
        authority = pki.Authority(tmp_path / "public", own_name)
        forged = authority.issue(victim.id, uris=_uri(space, victim))
    _refused(space, version, forged, victim.id)


@pytest.mark.parametrize("kind", ["server certificate", "no purpose", "no signature", "authority"])
def test_T5_a_certificate_for_another_purpose(space: Space, version: Version, kind: str) -> None:
    who = space.device()
    issue = space.plane.authority.issue
    match kind:
        case "server certificate":
            credential = issue(who.id, uris=[who.uri], purposes=[pki.SERVER])
        case "no purpose":
            credential = issue(who.id, uris=[who.uri], purposes=[])
        case "no signature":
            credential = issue(who.id, uris=[who.uri], digital_signature=False)
        case _:
            credential = issue(who.id, uris=[who.uri], authority=True)
    _refused(space, version, credential, who.id)


def test_T5_the_brokers_own_certificate_is_no_identity(space: Space, version: Version) -> None:
    _refused(space, version, space.plane.server, "localhost")


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["spiffe://home/group/device/site/{site}/device/{id}"] * 2,
        ["spiffe://home/group/device/site/{site}/device/{id}", "https://example.org/"],
        ["spiffe://other/group/device/site/{site}/device/{id}"],
        ["https://home/group/device/site/{site}/device/{id}"],
        ["spiffe://home/group/device/site/{site}/robot/{id}"],
        ["spiffe://home/group/device/site/{site}/device/"],
        ["spiffe://home/group/device/site/{site}/device/{id}/device/x"],
        ["spiffe://home/group/device/group/admin/site/{site}/device/{id}"],
        ["spiffe://home/group//site/{site}/device/{id}"],
        ["spiffe://home/group/device/site/{site}/device/{id}?x=y"],
        ["spiffe://home/group/device/site/{site}/device/{id}#x"],
        ["spiffe://user@home/group/device/site/{site}/device/{id}"],
        ["spiffe://home:8883/group/device/site/{site}/device/{id}"],
    ],
    ids=[
        *("none", "two", "another beside", "fleet", "scheme", "kind", "empty id", "id twice"),
        *("attribute twice", "empty value", "query", "fragment", "user", "port"),
    ],
)
def test_T5_not_exactly_one_spiffe_id(space: Space, version: Version, uris: list[str]) -> None:
    who = space.device()
    named = [uri.format(site=space.site, id=who.id) for uri in uris]
    _refused(space, version, space.plane.authority.issue(who.id, uris=named), who.id)


@pytest.mark.parametrize("when", ["expired", "not yet"])
def test_T6_dates(space: Space, version: Version, when: str) -> None:
    who = space.device()
    hour = dt.timedelta(hours=1)
    starts, ends = (
        (pki.NOW - 2 * pki.DAY, pki.NOW - hour)
        if when == "expired"
        else (pki.NOW + hour, pki.NOW + pki.DAY)
    )
    credential = space.plane.authority.issue(who.id, uris=[who.uri], starts=starts, ends=ends)
    _refused(space, version, credential, who.id)


def test_T6_a_certificate_that_expires_while_connected(space: Space, version: Version) -> None:
    """The connection ends with the certificate, not with the next handshake."""
    who = space.device()
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    credential = space.plane.authority.issue(who.id, uris=[who.uri], ends=ends)
    client = space.client(version, Identity(who.kind, who.id, who.uri, credential))
    client.expect_closed(Reason.NOT_AUTHORIZED, Reason.MAXIMUM_CONNECT_TIME, within=8)


@pytest.mark.parametrize("what", ["serial", "identity", "quarantine"])
def test_T7_a_revoked_certificate_is_refused_at_once(
    space: Space, version: Version, what: str
) -> None:
    who = space.device()
    space.client(version, who).disconnect()
    policy = space.plane.policy
    assert policy is not None
    match what:
        case "serial":
            policy.exceptions["revoked_serials"].append(who.credential.serial_hex)
            space.plane.apply()
        case "identity":
            space.plane.revoke(who.name)
        case _:
            space.plane.quarantine(who.name)
    _refused(space, version, who.credential, who.id)
    # The rest of the fleet has not noticed.
    space.client(version, space.device())


@pytest.mark.parametrize("what", ["serial", "identity"])
def test_T8_a_live_connection_ends(space: Space, version: Version, what: str) -> None:
    who = space.device()
    client = space.durable(version, who)
    client.subscribe(space.of(who, "cmd"), qos=1)
    policy = space.plane.policy
    assert policy is not None
    if what == "serial":
        policy.exceptions["revoked_serials"].append(who.credential.serial_hex)
        space.plane.apply()
    else:
        space.plane.revoke(who.name)
    client.expect_closed(Reason.ADMINISTRATIVE_ACTION, Reason.NOT_AUTHORIZED)
    record = space.plane.await_evidence(identity=who.name, kind="disconnected")
    assert record["client_id"] == who.id


def test_T8_the_session_of_a_revoked_identity_is_purged(space: Space, version: Version) -> None:
    """After a release, the old session with its queue is not there."""
    who = space.device()
    client = space.durable(version, who)
    client.subscribe(space.of(who, "cmd"), qos=1)
    backend = space.client(version, space.service())
    space.plane.revoke(who.name)
    client.expect_closed(Reason.ADMINISTRATIVE_ACTION, Reason.NOT_AUTHORIZED)
    backend.publish(space.of(who, "cmd"), b"secret", 1)
    policy = space.plane.policy
    assert policy is not None
    policy.exceptions["revoked"].remove(who.name)
    space.plane.apply()
    again = space.durable(version, who, session=False)
    again.expect_nothing()


@pytest.mark.parametrize("what", ["identity", "serial"])
def test_T9_a_resumed_session_is_checked_again(space: Space, version: Version, what: str) -> None:
    who = space.device()
    context = pki.client_context(space.plane.authority.path, who.credential)
    first = space.plane.tls(None, space.source, context)
    client = Client(first, version)
    assert client.connect(who.id).reason == 0
    client.fence()  # the session ticket has arrived by now
    ticket = first.session
    client.disconnect()
    policy = space.plane.policy
    assert policy is not None
    if what == "serial":
        policy.exceptions["revoked_serials"].append(who.credential.serial_hex)
        space.plane.apply()
    else:
        space.plane.revoke(who.name)
    try:
        raw = space.plane.tcp(space.source)
        second = context.wrap_socket(raw, server_hostname="localhost", session=ticket)
    except (ssl.SSLError, ConnectionError):
        return
    with Client(second, version) as again, contextlib.suppress(ssl.SSLError, ConnectionError):
        again.send(wire.connect(version, who.id))
        with contextlib.suppress(Closed):
            assert again.receive().reason != 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_T9_no_early_data(space: Space, tmp_path: Path) -> None:
    """0-RTT data can be replayed; the tickets of the broker allow none."""
    who = space.device()
    session = tmp_path / "session.pem"
    said = wire.connect(Version.V5, who.id) + wire.PINGREQ + wire.disconnect(Version.V5)
    command = ["openssl", "s_client", "-connect", f"{HOST}:{space.plane.port}", "-quiet"]
    command += ["-CAfile", str(space.plane.authority.path), "-sess_out", str(session)]
    command += ["-cert", str(who.credential.certificate), "-key", str(who.credential.key)]
    done = subprocess.run(command, input=said, capture_output=True, check=False, timeout=20)
    assert done.stdout[:1] == b"\x20"
    assert session.exists()
    shown = subprocess.run(
        ["openssl", "sess_id", "-in", str(session), "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert "Max Early Data: 0" in shown.stdout


@pytest.mark.parametrize("proxy_version", [1, 2])
def test_T10_a_proxy_header_is_not_believed(
    space: Space, version: Version, proxy_version: int
) -> None:
    who = space.device()
    header = b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 8883\r\n"
    if proxy_version == 2:
        header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(
            [10, 0, 0, 1, 10, 0, 0, 2, 4, 210, 34, 179]
        )
    connection = space.plane.tcp(space.source)
    connection.sendall(header)
    context = pki.client_context(space.plane.authority.path, who.credential)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Client(context.wrap_socket(connection, server_hostname="localhost"), version)
    connection.close()
