"""Fixed header, packet identifiers and properties (2)."""

from collections.abc import Callable

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version

BOTH = (Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)

FLAGGED: dict[str, Callable[[Version], bytes]] = {
    "PUBACK": lambda version: wire.acknowledge(version, Type.PUBACK, 1, first=0x42),
    "PUBREC": lambda version: wire.acknowledge(version, Type.PUBREC, 1, first=0x51),
    "PUBREL 0": lambda version: wire.acknowledge(version, Type.PUBREL, 1, first=0x60),
    "PUBREL 3": lambda version: wire.acknowledge(version, Type.PUBREL, 1, first=0x63),
    "PUBCOMP": lambda version: wire.acknowledge(version, Type.PUBCOMP, 1, first=0x72),
    "SUBSCRIBE 0": lambda version: wire.subscribe(version, 1, [("a", 0)], first=0x80),
    "SUBSCRIBE 3": lambda version: wire.subscribe(version, 1, [("a", 0)], first=0x83),
    "SUBSCRIBE A": lambda version: wire.subscribe(version, 1, [("a", 0)], first=0x8A),
    "UNSUBSCRIBE 0": lambda version: wire.unsubscribe(version, 1, ["a"], first=0xA0),
    "UNSUBSCRIBE 6": lambda version: wire.unsubscribe(version, 1, ["a"], first=0xA6),
    "DISCONNECT": lambda version: wire.disconnect(version, first=0xE1),
}


@pytest.mark.statement(
    v311=(
        *("MQTT-2.2.2-1", "MQTT-2.2.2-2", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1"),
        "MQTT-3.14.1-1",
    ),
    v5=("MQTT-2.1.3-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.14.1-1"),
)
@pytest.mark.parametrize("packet", FLAGGED)
def test_reserved_flags(space: Space, version: Version, packet: str) -> None:
    client = space.client(version)
    client.send(FLAGGED[packet](version))
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement(v311="MQTT-2.2.2-2", v5="MQTT-2.1.3-1")
@pytest.mark.parametrize("flags", [1, 2, 4, 8])
def test_reserved_flags_of_connect(space: Space, version: Version, flags: int) -> None:
    client = space.open(version)
    # The flags come before the version: who sends them is not even told in which form to read on.
    client.send(wire.connect(version, client.client_id, first=0x10 | flags))
    client.expect_refused()


@pytest.mark.statement("MQTT-3.15.1-1")
@pytest.mark.only(Version.V5)
def test_reserved_flags_of_auth(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.auth(0x18, [(Property.AUTHENTICATION_METHOD, "m")], first=0xF1))
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement(v311="MQTT-4.8.0-1", v5="MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "packet", [b"\x00\x00", b"\x0f\x02\x00\x00"], ids=["type 0", "type 0 with flags"]
)
def test_the_reserved_type(space: Space, version: Version, packet: bytes) -> None:
    client = space.client(version)
    client.send(packet)
    client.expect_closed(*BOTH)


@pytest.mark.statement(v311="MQTT-4.8.0-1")
@pytest.mark.only(Version.V311)
def test_auth_is_no_packet_of_3_1_1(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(b"\xf0\x00")
    client.expect_closed()


@pytest.mark.statement(v311="MQTT-4.8.0-1", v5="MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "packet",
    [
        *(b"\x20\x02\x00\x00", b"\x20\x03\x00\x00\x00", b"\x90\x03\x00\x01\x00"),
        *(b"\x90\x04\x00\x01\x00\x00", b"\xb0\x02\x00\x01", b"\xb0\x04\x00\x01\x00\x00"),
        b"\xd0\x00",
    ],
    ids=["CONNACK", "CONNACK 5", "SUBACK", "SUBACK 5", "UNSUBACK", "UNSUBACK 5", "PINGRESP"],
)
def test_what_only_servers_send(space: Space, version: Version, packet: bytes) -> None:
    client = space.client(version)
    client.send(packet)
    client.expect_closed(*BOTH)


ZERO: dict[str, Callable[[Version], bytes]] = {
    "PUBLISH QoS 1": lambda version: wire.publish(version, "a", qos=1, packet_id=0),
    "PUBLISH QoS 2": lambda version: wire.publish(version, "a", qos=2, packet_id=0),
    "SUBSCRIBE": lambda version: wire.subscribe(version, 0, [("a", 0)]),
    "UNSUBSCRIBE": lambda version: wire.unsubscribe(version, 0, ["a"]),
    "PUBACK": lambda version: wire.acknowledge(version, Type.PUBACK, 0),
    "PUBREC": lambda version: wire.acknowledge(version, Type.PUBREC, 0),
    "PUBREL": lambda version: wire.acknowledge(version, Type.PUBREL, 0),
    "PUBCOMP": lambda version: wire.acknowledge(version, Type.PUBCOMP, 0),
}


@pytest.mark.statement(v311="MQTT-2.3.1-1", v5="MQTT-2.2.1-3")
@pytest.mark.parametrize("packet", ZERO)
def test_packet_identifier_zero(space: Space, version: Version, packet: str) -> None:
    client = space.client(version)
    client.send(ZERO[packet](version))
    client.expect_closed(*BOTH)


@pytest.mark.statement(v311="MQTT-2.3.1-5", v5="MQTT-2.2.1-2")
def test_at_qos_0_there_is_no_packet_identifier(space: Space, version: Version) -> None:
    """Two bytes where an identifier would stand are payload, or properties, but never that."""
    client = space.client(version)
    topic = space.topic("a")
    client.subscribe(topic)
    if version is Version.V311:
        client.send(wire.publish(version, topic, b"x", packet_id=0x4142))
        assert client.message().payload == b"ABx"
    else:
        client.send(wire.publish(version, topic, b"x", packet_id=0x0041))
        assert client.message().payload == b"A\0x"


@pytest.mark.statement(v311=("MQTT-2.3.1-6", "MQTT-2.3.1-7"), v5=("MQTT-2.2.1-5", "MQTT-2.2.1-6"))
@pytest.mark.parametrize("packet_id", [1, 255, 256, 0x8000, 0xFFFF])
def test_answers_carry_the_same_identifier(space: Space, version: Version, packet_id: int) -> None:
    client = space.client(version)
    topic = space.topic("a")
    client.send(wire.publish(version, topic, qos=1, packet_id=packet_id))
    assert client.expect(Type.PUBACK).packet_id == packet_id
    client.send(wire.publish(version, topic, qos=2, packet_id=packet_id))
    assert client.expect(Type.PUBREC).packet_id == packet_id
    client.send(wire.acknowledge(version, Type.PUBREL, packet_id))
    assert client.expect(Type.PUBCOMP).packet_id == packet_id
    client.send(wire.subscribe(version, packet_id, [(topic, 0)]))
    assert client.expect(Type.SUBACK).packet_id == packet_id
    client.send(wire.unsubscribe(version, packet_id, [topic]))
    assert client.expect(Type.UNSUBACK).packet_id == packet_id


@pytest.mark.statement(v311=("MQTT-2.3.1-4", "MQTT-2.3.1-1"), v5="MQTT-2.2.1-4")
def test_identifiers_of_the_server_are_not_in_use(space: Space, version: Version) -> None:
    client = space.client(version)
    topic = space.topic("a")
    client.subscribe(topic, qos=1)
    for number in range(10):
        client.publish(topic, bytes([number]), 1)
    unacknowledged = [client.expect(Type.PUBLISH).packet_id for _ in range(10)]
    assert len(set(unacknowledged)) == 10
    assert 0 not in unacknowledged


CUT: dict[str, Callable[[Version], bytes]] = {
    "PUBLISH nothing": lambda _: wire.frame(0x30),
    "PUBLISH length only": lambda _: wire.frame(0x30, b"\x00"),
    "PUBLISH topic past the end": lambda _: wire.frame(0x30, b"\x00\x09a"),
    "PUBLISH no identifier": lambda _: wire.frame(0x32, wire.text("a")),
    "PUBLISH half an identifier": lambda _: wire.frame(0x32, wire.text("a") + b"\x01"),
    "PUBACK nothing": lambda _: wire.frame(0x40),
    "PUBACK half": lambda _: wire.frame(0x40, b"\x01"),
    "PUBREL half": lambda _: wire.frame(0x62, b"\x01"),
    "SUBSCRIBE nothing": lambda _: wire.frame(0x82),
    "SUBSCRIBE filter past the end": lambda v: _shorter(_shorter(wire.subscribe(v, 1, [("a", 0)]))),
    "SUBSCRIBE no options": lambda v: _shorter(wire.subscribe(v, 1, [("a", 0)])),
    "UNSUBSCRIBE nothing": lambda _: wire.frame(0xA2),
    "UNSUBSCRIBE filter past the end": lambda v: _shorter(wire.unsubscribe(v, 1, ["abc"])),
}


def _shorter(packet: bytes) -> bytes:
    """The packet without its last byte, its Remaining Length adjusted."""
    assert packet[1] < 0x80
    return bytes([packet[0], packet[1] - 1]) + packet[2:-1]


@pytest.mark.statement(v311="MQTT-4.8.0-1", v5="MQTT-4.13.1-1")
@pytest.mark.parametrize("packet", CUT)
def test_a_packet_that_ends_early(space: Space, version: Version, packet: str) -> None:
    client = space.client(version)
    client.send(CUT[packet](version))
    client.expect_closed(*BOTH)


@pytest.mark.statement(v311="MQTT-4.8.0-1")
@pytest.mark.only(Version.V311)
@pytest.mark.parametrize(
    "packet", [b"\x40\x03\x00\x01\x00", b"\x62\x03\x00\x01\x00", b"\xe0\x01\x00"]
)
def test_a_3_1_1_packet_with_bytes_after_its_end(
    space: Space, version: Version, packet: bytes
) -> None:
    client = space.client(version)
    client.send(packet)
    client.expect_closed()


@pytest.mark.statement("MQTT-2.2.2-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize(
    "packet",
    [wire.frame(0x82, b"\x00\x01"), wire.frame(0x30, wire.text("a")), wire.frame(0xA2, b"\0\x01")],
    ids=["SUBSCRIBE", "PUBLISH", "UNSUBSCRIBE"],
)
def test_a_property_length_is_missing(space: Space, version: Version, packet: bytes) -> None:
    client = space.client(version)
    client.send(packet)
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize(
    "block",
    [
        *{
            "unknown": b"\x02\x7f\x00",
            "reserved": b"\x02\x00\x00",
            "identifier of two bytes": b"\x03\x80\x01\x00",
            "past the end": b"\x7f\x01\x00",
            "value cut short": b"\x03\x02\x00\x00",
            "not in PUBLISH": b"\x05\x11\x00\x00\x00\x01",
            "server keep alive": b"\x03\x13\x00\x01",
            "reason string": b"\x04\x1f\x00\x01a",
        }.items()
    ],
    ids=lambda item: item[0],
)
def test_a_property_that_has_no_place(
    space: Space, version: Version, block: tuple[str, bytes]
) -> None:
    client = space.client(version)
    client.send(wire.publish(version, space.topic("a"), properties=block[1]))
    client.expect_closed(*BOTH)


ONCE: list[tuple[Property, wire.PropertyValue]] = [
    (Property.PAYLOAD_FORMAT_INDICATOR, 0),
    (Property.MESSAGE_EXPIRY_INTERVAL, 5),
    (Property.CONTENT_TYPE, "a"),
    (Property.RESPONSE_TOPIC, "a"),
    (Property.CORRELATION_DATA, b"a"),
    (Property.TOPIC_ALIAS, 1),
]


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("pair", ONCE, ids=lambda pair: pair[0].name)
def test_a_property_of_publish_stands_twice(
    space: Space, version: Version, pair: tuple[Property, wire.PropertyValue]
) -> None:
    client = space.client(version)
    client.send(wire.publish(version, space.topic("a"), properties=[pair, pair]))
    client.expect_closed(Reason.PROTOCOL_ERROR)


@pytest.mark.statement(v311="MQTT-7.1.1-1", v5="MQTT-4.2.0-1")
def test_packets_may_come_in_any_pieces(space: Space, version: Version) -> None:
    client = space.client(version)
    topic = space.topic("a")
    stream = (
        wire.subscribe(version, 1, [(topic, 1)])
        + wire.publish(version, topic, b"hello", qos=1, packet_id=2)
        + wire.PINGREQ
    )
    for byte in stream:
        client.send(bytes([byte]))
    client.send(stream * 2)
    for _ in range(3):
        assert client.answer(Type.SUBACK).packet_id == 1
        assert client.answer(Type.PUBACK).packet_id == 2
        client.answer(Type.PINGRESP)
    assert [client.message().payload for _ in range(3)] == [b"hello"] * 3
    client.expect_nothing()
