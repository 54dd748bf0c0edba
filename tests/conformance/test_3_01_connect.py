"""CONNECT (3.1): header, flags, identifiers, actions. Wills and properties have their own files."""

import secrets
import string
import time

import pytest

from tests.support import wire
from tests.support.client import Client
from tests.support.space import Identity, Space
from tests.support.wire import Property, Reason, Type, Version

UNSUPPORTED = (b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00")
"""Return code 1 in the form that every version can read, or 0x84 in the form of 5.0."""


def _raw_answer(client: Client) -> bytes:
    out = b""
    while data := client.connection.recv(100):
        out += data
    return out


@pytest.mark.statement("MQTT-3.1.0-1")
@pytest.mark.parametrize(
    "kind", ["PUBLISH", "PUBLISH 2", "SUBSCRIBE", "UNSUBSCRIBE", "PINGREQ", "DISCONNECT", "PUBREL"]
)
def test_the_first_packet_is_connect(space: Space, version: Version, kind: str) -> None:
    topic = space.topic("first")
    watcher = space.client(version)
    watcher.subscribe(topic)
    packets = {
        "PUBLISH": wire.publish(version, topic, b"x"),
        "PUBLISH 2": wire.publish(version, topic, b"x", qos=2, packet_id=1),
        "SUBSCRIBE": wire.subscribe(version, 1, [(topic, 0)]),
        "UNSUBSCRIBE": wire.unsubscribe(version, 1, [topic]),
        "PINGREQ": wire.PINGREQ,
        "DISCONNECT": wire.disconnect(version),
        "PUBREL": wire.acknowledge(version, Type.PUBREL, 1),
    }
    client = space.open(version)
    client.send(packets[kind])
    assert client.drain() == []
    watcher.expect_nothing()


@pytest.mark.statement("MQTT-3.1.0-1")
@pytest.mark.only(Version.V5)
def test_auth_is_not_a_first_packet(space: Space, version: Version) -> None:
    client = space.open(version)
    client.send(wire.auth(0x18, [(Property.AUTHENTICATION_METHOD, "m")]))
    assert client.drain() == []


@pytest.mark.statement("MQTT-3.1.0-2")
def test_a_second_connect_ends_the_connection(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.connect(version, client.client_id))
    client.expect_closed(Reason.PROTOCOL_ERROR)


@pytest.mark.statement("MQTT-3.1.2-1")
@pytest.mark.parametrize("name", ["MQTX", "mqtt", "MQT", "MQTTT", "", "MQIsdp", "HTTP"])
def test_another_protocol_name(space: Space, version: Version, name: str) -> None:
    client = space.open(version)
    client.send(wire.connect(version, client.client_id, protocol_name=name))
    assert _raw_answer(client) in (b"", *UNSUPPORTED)


@pytest.mark.statement("MQTT-3.1.2-2")
@pytest.mark.parametrize("level", [0, 1, 3, 6, 0x83, 0x84, 0x85, 255])
def test_an_unsupported_protocol_level(space: Space, version: Version, level: int) -> None:
    client = space.open(version)
    client.send(wire.connect(version, client.client_id, level=level))
    assert _raw_answer(client) in UNSUPPORTED


@pytest.mark.statement("MQTT-3.1.2-3")
def test_the_reserved_connect_flag(space: Space, version: Version) -> None:
    client = space.open(version)
    client.send(wire.connect(version, client.client_id, flags=0x03))
    client.expect_refused(Reason.MALFORMED_PACKET)


@pytest.mark.statement(
    v311=("MQTT-3.1.2-13", "MQTT-3.1.2-11", "MQTT-3.1.2-15", "MQTT-3.1.2-14"),
    v5=("MQTT-3.1.2-11", "MQTT-3.1.2-12", "MQTT-3.1.2-13"),
)
@pytest.mark.parametrize("flags", [0x0A, 0x12, 0x1A, 0x22, 0x3A])
def test_will_flags_without_a_will(space: Space, version: Version, flags: int) -> None:
    client = space.open(version)
    client.send(wire.connect(version, client.client_id, flags=flags))
    client.expect_refused(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)


@pytest.mark.statement(v311="MQTT-3.1.2-14", v5="MQTT-3.1.2-12")
def test_will_qos_3(space: Space, version: Version) -> None:
    client = space.open(version)
    will = wire.Will(space.topic("w"), b"x")
    client.send(wire.connect(version, client.client_id, will=will, flags=0x02 | 0x04 | 0x18))
    client.expect_refused(Reason.MALFORMED_PACKET)


@pytest.mark.statement(
    v311=("MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-20", "MQTT-3.1.2-21", "MQTT-3.1.2-9"),
    v5=("MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.2-9"),
)
@pytest.mark.parametrize(
    ("flags", "username", "password", "will"),
    [
        (0x02, "name", None, False),
        (0x82, None, None, False),
        (0x82, "name", b"word", False),
        (0xC2, "name", None, False),
        (0x06, None, None, False),
        (0x02, None, None, True),
    ],
    ids=[
        *("name unannounced", "name missing", "word unannounced", "word missing", "will missing"),
        *("will unannounced",),
    ],
)
def test_flags_and_payload_agree(
    space: Space,
    version: Version,
    flags: int,
    username: str | None,
    password: bytes | None,
    will: bool,
) -> None:
    client = space.open(version)
    client.send(
        wire.connect(
            version,
            client.client_id,
            flags=flags,
            username=username,
            password=password,
            will=wire.Will(space.topic("w"), b"x") if will else None,
        )
    )
    client.expect_refused(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)


@pytest.mark.statement(v311="MQTT-3.1.2-22")
@pytest.mark.only(Version.V311)
def test_a_password_without_a_user_name(space: Space, version: Version) -> None:
    client = space.open(version)
    client.send(wire.connect(version, client.client_id, password=b"x"))
    client.expect_refused()


@pytest.mark.statement("MQTT-3.1.3-3")
def test_a_connect_without_a_client_id_field(space: Space, version: Version) -> None:
    client = space.open(version)
    whole = wire.connect(version, "")
    client.send(bytes([whole[0], whole[1] - 2]) + whole[2:-2])
    client.expect_refused(Reason.MALFORMED_PACKET)


@pytest.mark.statement(v311=("MQTT-3.1.2-6", "MQTT-3.2.2-1"), v5=("MQTT-3.1.2-4", "MQTT-3.2.2-2"))
def test_clean_start_discards_the_session(space: Space, version: Version) -> None:
    who = space.identity()
    topic = space.topic("a")
    first = space.durable(version, who, clean_start=True, session=False)
    first.subscribe(topic, qos=1)
    first.cut()
    publisher = space.client(version)
    publisher.publish(topic, b"queued", 1)
    second = space.durable(version, who, clean_start=True, session=False)
    publisher.publish(topic, b"live", 1)
    second.expect_nothing()


@pytest.mark.statement(
    v311=("MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.2.2-2", "MQTT-3.1.4-3"),
    v5=("MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.2.2-3", "MQTT-3.1.4-4"),
)
@pytest.mark.parametrize("how", ["cut", "disconnect"])
def test_a_session_is_resumed(space: Space, version: Version, how: str) -> None:
    who = space.identity()
    topic = space.topic("a")
    first = space.durable(version, who, session=False)
    first.subscribe(topic, qos=2)
    if how == "cut":
        first.cut()
    else:
        first.disconnect()
    publisher = space.client(version)
    publisher.publish(topic, b"one", 1)
    publisher.publish(topic, b"two", 2)
    second = space.durable(version, who, session=True)
    assert [(second.message().payload), (second.message().payload)] == [b"one", b"two"]
    publisher.publish(topic, b"live", 1)
    assert second.message().payload == b"live"


@pytest.mark.statement(v311=("MQTT-3.1.2-4", "MQTT-3.2.2-3"), v5=("MQTT-3.1.2-6", "MQTT-3.2.2-3"))
def test_without_a_session_one_is_made(space: Space, version: Version) -> None:
    client = space.durable(version, space.identity(), session=False)
    assert client.subscribe(space.topic("a")) == (0,)


@pytest.mark.statement(v311="MQTT-3.1.2-6")
@pytest.mark.only(Version.V311)
def test_a_clean_session_ends_with_its_connection(space: Space, version: Version) -> None:
    who = space.identity()
    first = space.client(version, who, clean_start=True)
    first.subscribe(space.topic("a"), qos=1)
    first.disconnect()
    space.client(version, who, clean_start=False, session=False)


@pytest.mark.statement("MQTT-3.1.2-23", "MQTT-4.1.0-2")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("said", [True, False])
def test_a_session_without_expiry_ends_with_its_connection(
    space: Space, version: Version, said: bool
) -> None:
    who = space.identity()
    pairs = [(Property.SESSION_EXPIRY_INTERVAL, 0)] if said else []
    first = space.client(version, who, clean_start=False, properties=pairs)
    first.subscribe(space.topic("a"), qos=1)
    first.cut()
    space.client(version, who, clean_start=False, session=False)


@pytest.mark.statement("MQTT-3.1.3-5")
@pytest.mark.parametrize("length", [1, 23])
def test_client_ids_that_every_server_allows(space: Space, version: Version, length: int) -> None:
    """In Motte the id is the identity; identities of such names exist and connect."""
    name = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))
    uri = f"spiffe://home/group/tester/site/{space.site}/service/{name}"
    who = Identity("service", name, uri, space.plane.authority.issue(name, uris=[uri]))
    space.client(version, who)


@pytest.mark.statement("MQTT-3.1.3-6", v5=("MQTT-3.1.3-7", "MQTT-3.2.2-16"))
def test_an_empty_client_id_is_replaced(space: Space, version: Version) -> None:
    who = space.identity()
    client = space.open(version, who)
    connack = client.connect("")
    assert connack.reason == 0
    if version is Version.V5:
        assigned = connack.text(Property.ASSIGNED_CLIENT_IDENTIFIER)
        assert assigned is not None
        assert assigned.startswith(who.id)
    assert client.subscribe(space.topic("a")) == (0,)


@pytest.mark.statement(v311=("MQTT-3.1.3-8", "MQTT-3.2.2-5"))
@pytest.mark.only(Version.V311)
def test_an_empty_client_id_needs_a_clean_session(space: Space, version: Version) -> None:
    client = space.open(version)
    client.send(wire.connect(version, "", clean_start=False))
    client.expect_refused(code=2)


@pytest.mark.statement(v311="MQTT-3.1.3-9", v5=("MQTT-3.1.3-8", "MQTT-3.2.2-7"))
@pytest.mark.parametrize("name", ["somebody-else", "a b", "a/b", "a+", "#", "$a", "ä", "x" * 300])
def test_a_client_id_that_is_not_allowed(space: Space, version: Version, name: str) -> None:
    client = space.open(version)
    client.send(wire.connect(version, name))
    client.expect_refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, code=2)


@pytest.mark.statement(v311="MQTT-3.1.4-2", v5="MQTT-3.1.4-3")
@pytest.mark.parametrize("clean", [True, False])
def test_a_session_is_taken_over(space: Space, version: Version, clean: bool) -> None:
    who = space.identity()
    first = space.durable(version, who)
    second = space.durable(version, who, clean_start=clean, session=not clean)
    first.expect_closed(Reason.SESSION_TAKEN_OVER)
    second.expect_nothing()


@pytest.mark.statement(v311="MQTT-3.1.4-2", v5="MQTT-3.1.4-3")
def test_a_takeover_between_versions(space: Space, version: Version) -> None:
    other = Version.V5 if version is Version.V311 else Version.V311
    who = space.identity()
    topic = space.topic("a")
    first = space.durable(version, who)
    first.subscribe(topic, qos=1)
    second = space.durable(other, who, session=True)
    first.expect_closed(Reason.SESSION_TAKEN_OVER)
    space.client(version).publish(topic, b"x", 1)
    assert second.message().payload == b"x"


@pytest.mark.statement(v311="MQTT-3.1.4-4", v5="MQTT-3.1.4-5")
def test_a_good_connect_is_acknowledged(space: Space, version: Version) -> None:
    client = space.open(version)
    connack = client.connect(client.client_id)
    assert (connack.type, connack.reason) == (Type.CONNACK, 0)


@pytest.mark.statement(v311="MQTT-3.1.4-5", v5="MQTT-3.1.4-6")
def test_nothing_after_a_refused_connect_is_processed(space: Space, version: Version) -> None:
    topic = space.topic("a")
    watcher = space.client(version)
    watcher.subscribe(topic)
    client = space.open(version)
    client.send(
        wire.connect(version, "somebody-else"),
        wire.publish(version, topic, b"live"),
        wire.publish(version, topic, b"kept", retain=True),
        wire.subscribe(version, 1, [(topic, 0)]),
    )
    client.expect_refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, code=2)
    watcher.expect_nothing()
    late = space.client(version)
    late.subscribe(topic)
    late.expect_nothing()


@pytest.mark.statement("MQTT-3.1.4-1", v5="MQTT-3.1.2-1")
def test_packets_may_follow_connect_at_once(space: Space, version: Version) -> None:
    """A client need not wait for CONNACK (3.1.4, non-normative), and gets it first."""
    topic = space.topic("a")
    client = space.open(version)
    client.send(
        wire.connect(version, client.client_id),
        wire.subscribe(version, 1, [(topic, 0)]),
        wire.publish(version, topic, b"early"),
    )
    client.expect(Type.CONNACK)
    client.expect(Type.SUBACK)
    assert client.message().payload == b"early"


def _lasts(client: Client) -> float:
    began = time.monotonic()
    client.expect_closed(Reason.KEEP_ALIVE_TIMEOUT)
    return time.monotonic() - began


@pytest.mark.alone
@pytest.mark.statement(v311="MQTT-3.1.2-24", v5=("MQTT-3.1.2-22", "MQTT-3.2.2-22"))
def test_silence_for_one_and_a_half_keep_alives(space: Space, version: Version) -> None:
    topic = space.topic("gone")
    watcher = space.client(version)
    watcher.subscribe(topic)
    client = space.client(version, keep_alive=1, will=wire.Will(topic, b"silent"))
    assert 1.3 <= _lasts(client) <= 3.0
    assert watcher.message().payload == b"silent"


@pytest.mark.alone
@pytest.mark.statement(v311="MQTT-3.1.2-24", v5="MQTT-3.1.2-22")
def test_any_packet_keeps_the_connection_alive(space: Space, version: Version) -> None:
    client = space.client(version, keep_alive=1)
    silent = space.client(version, keep_alive=1)
    began = time.monotonic()
    ended = 0.0
    # The silent neighbour tells when one and a half intervals are over, twice.
    while not ended:
        client.publish(space.topic("a"), b"x", 1)
        silent.connection.settimeout(0.3)
        try:
            ended = time.monotonic() - began if not silent.connection.recv(1) else ended
            ended = ended or time.monotonic() - began
        except TimeoutError:
            continue
    assert ended >= 1.3
    client.publish(space.topic("a"), b"x", 1)


@pytest.mark.statement(v311="MQTT-3.1.3-1", v5="MQTT-3.1.3-1")
def test_payload_fields_in_their_order(space: Space, version: Version) -> None:
    """All five at once: only the right order gives the will its topic and the user its name."""
    topic = space.topic("w")
    watcher = space.client(version)
    watcher.subscribe(topic)
    who = space.identity()
    client = space.open(version, who)
    assert client.connect(who.id, username=who.id, will=wire.Will(topic, b"w")).reason == 0
    client.cut()
    assert watcher.message().payload == b"w"
