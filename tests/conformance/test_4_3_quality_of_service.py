"""The three delivery protocols (4.3)."""

import itertools

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Type, Version


@pytest.mark.statement("MQTT-4.3.1-1")
def test_qos_0_is_sent_plainly(space: Space, version: Version) -> None:
    client = space.client(version)
    client.subscribe(space.topic("a"))
    space.client(version).publish(space.topic("a"), b"x")
    message = client.expect(Type.PUBLISH)
    assert (message.qos, message.dup, message.packet_id) == (0, False, None)


@pytest.mark.statement("MQTT-4.3.2-1", v5=("MQTT-4.3.2-2", "MQTT-4.3.2-3"))
def test_qos_1_from_the_server(space: Space, version: Version) -> None:
    client = space.client(version)
    client.subscribe(space.topic("a"), qos=1)
    space.client(version).publish(space.topic("a"), b"x", 1)
    message = client.expect(Type.PUBLISH)
    assert (message.qos, message.dup) == (1, False)
    assert message.packet_id
    client.complete(message)
    client.expect_nothing()


@pytest.mark.statement(v311="MQTT-4.3.2-2", v5=("MQTT-4.3.2-4", "MQTT-4.3.2-5"))
@pytest.mark.parametrize("dup", [True, False])
def test_qos_1_after_its_puback_is_a_new_message(space: Space, version: Version, dup: bool) -> None:
    reader = space.client(version)
    reader.subscribe(space.topic("a"), qos=1)
    client = space.client(version)
    for again in (False, dup):
        client.send(wire.publish(version, space.topic("a"), b"x", qos=1, packet_id=9, dup=again))
        assert client.expect(Type.PUBACK).packet_id == 9
    assert [reader.message().payload for _ in range(2)] == [b"x", b"x"]


@pytest.mark.statement(
    "MQTT-4.3.3-1",
    v5=("MQTT-4.3.3-2", "MQTT-4.3.3-3", "MQTT-4.3.3-4", "MQTT-4.3.3-5"),
)
def test_qos_2_from_the_server(space: Space, version: Version) -> None:
    client = space.client(version)
    client.subscribe(space.topic("a"), qos=2)
    space.client(version).publish(space.topic("a"), b"x", 2)
    message = client.expect(Type.PUBLISH)
    assert (message.qos, message.dup) == (2, False)
    assert message.packet_id is not None
    client.expect_nothing()
    client.send(wire.acknowledge(version, Type.PUBREC, message.packet_id))
    assert client.expect(Type.PUBREL).packet_id == message.packet_id
    client.expect_nothing()
    client.send(wire.acknowledge(version, Type.PUBCOMP, message.packet_id))
    client.expect_nothing()


@pytest.mark.statement(v311="MQTT-4.3.3-2", v5=("MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-4.3.3-11"))
def test_qos_2_from_a_client_is_delivered_once(space: Space, version: Version) -> None:
    reader = space.client(version)
    reader.subscribe(space.topic("a"), qos=2)
    client = space.client(version)
    for dup in (False, True, True, False):
        client.send(wire.publish(version, space.topic("a"), b"x", qos=2, packet_id=6, dup=dup))
        assert client.expect(Type.PUBREC).packet_id == 6
    for _ in range(2):
        client.send(wire.acknowledge(version, Type.PUBREL, 6))
        assert client.expect(Type.PUBCOMP).packet_id == 6
    assert reader.message().payload == b"x"
    reader.expect_nothing()


@pytest.mark.statement(v311="MQTT-4.3.3-2", v5="MQTT-4.3.3-12")
def test_after_pubcomp_the_identifier_is_free(space: Space, version: Version) -> None:
    reader = space.client(version)
    reader.subscribe(space.topic("a"), qos=2)
    client = space.client(version)
    for payload in (b"1", b"2", b"3"):
        client.send(wire.publish(version, space.topic("a"), payload, qos=2, packet_id=6))
        client.expect(Type.PUBREC)
        client.send(wire.acknowledge(version, Type.PUBREL, 6))
        client.expect(Type.PUBCOMP)
    assert [reader.message().payload for _ in range(3)] == [b"1", b"2", b"3"]


@pytest.mark.statement(v311="MQTT-2.3.1-2", v5="MQTT-2.2.1-3")
def test_directions_have_identifiers_of_their_own(space: Space, version: Version) -> None:
    """The same number may be in flight both ways at once (2.2.1)."""
    client = space.client(version)
    client.subscribe(space.topic("in"), qos=2)
    space.client(version).publish(space.topic("in"), b"x", 2)
    message = client.expect(Type.PUBLISH)
    number = message.packet_id
    assert number is not None
    client.send(wire.publish(version, space.topic("out"), b"y", qos=2, packet_id=number))
    client.expect(Type.PUBREC)
    client.send(wire.acknowledge(version, Type.PUBREC, number))
    client.expect(Type.PUBREL)
    client.send(wire.acknowledge(version, Type.PUBREL, number))
    client.expect(Type.PUBCOMP)
    client.send(wire.acknowledge(version, Type.PUBCOMP, number))
    client.expect_nothing()


@pytest.mark.statement("MQTT-4.3.3-13")
@pytest.mark.only(Version.V5)
def test_the_exchange_goes_on_after_the_message_has_expired(space: Space, version: Version) -> None:
    client = space.client(version)
    pairs = [(wire.Property.MESSAGE_EXPIRY_INTERVAL, 1)]
    packet = wire.publish(version, space.topic("a"), b"x", qos=2, packet_id=5, properties=pairs)
    client.send(packet)
    client.expect(Type.PUBREC)
    space.client(version, keep_alive=1).expect_closed()  # 1.5 s
    client.send(wire.acknowledge(version, Type.PUBREL, 5))
    assert client.expect(Type.PUBCOMP).reason == 0


@pytest.mark.statement("MQTT-4.3.3-7")
@pytest.mark.only(Version.V5)
def test_a_message_that_was_sent_does_not_expire(space: Space, version: Version) -> None:
    who = space.identity()
    client = space.durable(version, who)
    client.subscribe(space.topic("a"), qos=2)
    pairs = [(wire.Property.MESSAGE_EXPIRY_INTERVAL, 1)]
    space.client(version).publish(space.topic("a"), b"x", 2, properties=pairs)
    first = client.expect(Type.PUBLISH)
    client.cut()
    space.client(version, keep_alive=1).expect_closed()  # 1.5 s
    again = space.durable(version, who, session=True).expect(Type.PUBLISH)
    assert (again.packet_id, again.dup) == (first.packet_id, True)


@pytest.mark.parametrize(
    "senders",
    list(itertools.product([0, 1, 2], repeat=2)),
    ids=lambda pair: f"{pair[0]} to {pair[1]}",
)
def test_every_quality_both_ways_between_versions(
    space: Space, version: Version, senders: tuple[int, int]
) -> None:
    sent, wanted = senders
    other = Version.V5 if version is Version.V311 else Version.V311
    reader = space.client(other)
    reader.subscribe(space.topic("a"), qos=wanted)
    publisher = space.client(version)
    for number in range(3):
        publisher.publish(space.topic("a"), bytes([number]), sent)
    found = [reader.message() for _ in range(3)]
    assert [(packet.payload, packet.qos) for packet in found] == [
        (bytes([number]), min(sent, wanted)) for number in range(3)
    ]
