"""Sessions, delivery retry and receipt (4.1, 4.4, 4.5)."""

import pytest

from tests.support import wire
from tests.support.client import Client
from tests.support.space import Identity, Space
from tests.support.wire import Property, Type, Version


@pytest.mark.statement("MQTT-4.1.0-1", v311="MQTT-4.1.0-2")
def test_a_session_lives_while_its_connection_does(space: Space, version: Version) -> None:
    """Also one whose expiry is far shorter than the connection."""
    who = space.identity()
    client = space.durable(version, who, expiry=1)
    client.subscribe(space.topic("a"))
    watch = space.client(version, keep_alive=1)
    watch.expect_closed()  # one and a half seconds without a packet
    space.client(version).publish(space.topic("a"), b"x")
    assert client.message().payload == b"x"


def _inflight(space: Space, version: Version, who: Identity, qos: int, count: int) -> Client:
    client = space.durable(version, who)
    client.subscribe(space.topic("a"), qos=qos)
    publisher = space.client(version)
    for number in range(count):
        publisher.publish(space.topic("a"), bytes([number]), qos)
    return client


@pytest.mark.statement("MQTT-4.4.0-1", "MQTT-4.6.0-1", v311="MQTT-2.3.1-4")
@pytest.mark.parametrize("qos", [1, 2])
def test_unacknowledged_messages_are_sent_again(space: Space, version: Version, qos: int) -> None:
    """With their identifiers, in their order, marked DUP; what had not been sent comes after."""
    who = space.identity()
    client = _inflight(space, version, who, qos, 5)
    first = [client.expect(Type.PUBLISH) for _ in range(5)]
    client.cut()
    space.client(version).publish(space.topic("a"), b"new", qos)
    again = space.durable(version, who, session=True)
    second = [again.expect(Type.PUBLISH) for _ in range(6)]
    assert [packet.packet_id for packet in second[:5]] == [packet.packet_id for packet in first]
    assert [packet.payload for packet in second[:5]] == [packet.payload for packet in first]
    assert [packet.dup for packet in second] == [True] * 5 + [False]
    assert second[5].payload == b"new"


@pytest.mark.statement("MQTT-4.4.0-1")
def test_nothing_is_sent_again_on_a_living_connection(space: Space, version: Version) -> None:
    who = space.identity()
    client = _inflight(space, version, who, 1, 2)
    assert len(client.fence()) == 2
    client.expect_nothing()


@pytest.mark.statement("MQTT-4.4.0-1")
def test_a_pubrel_is_sent_again(space: Space, version: Version) -> None:
    who = space.identity()
    client = _inflight(space, version, who, 2, 1)
    message = client.expect(Type.PUBLISH)
    assert message.packet_id is not None
    client.send(wire.acknowledge(version, Type.PUBREC, message.packet_id))
    client.expect(Type.PUBREL)
    client.cut()
    again = space.durable(version, who, session=True)
    assert again.expect(Type.PUBREL).packet_id == message.packet_id
    again.send(wire.acknowledge(version, Type.PUBCOMP, message.packet_id))
    again.expect_nothing()
    again.cut()
    space.durable(version, who, session=True).expect_nothing()


@pytest.mark.statement(v311="MQTT-4.3.3-1", v5="MQTT-4.3.3-6")
def test_a_message_is_not_sent_again_after_its_pubrel(space: Space, version: Version) -> None:
    who = space.identity()
    client = _inflight(space, version, who, 2, 1)
    message = client.expect(Type.PUBLISH)
    assert message.packet_id is not None
    client.send(wire.acknowledge(version, Type.PUBREC, message.packet_id))
    client.expect(Type.PUBREL)
    client.cut()
    again = space.durable(version, who, session=True)
    assert [packet.type for packet in again.fence()] == [Type.PUBREL]


@pytest.mark.statement("MQTT-4.5.0-1")
def test_everybody_with_a_matching_subscription(space: Space, version: Version) -> None:
    other = Version.V5 if version is Version.V311 else Version.V311
    readers = [space.client(each) for each in (version, other, version)]
    for reader in readers:
        reader.subscribe(space.topic("a"), qos=2)
    away = space.identity("away")
    gone = space.durable(version, away)
    gone.subscribe(space.topic("+"), qos=1)
    gone.cut()
    space.client(version).publish(space.topic("a"), b"x", 2)
    readers.append(space.durable(version, away, session=True))
    assert [reader.message().payload for reader in readers] == [b"x"] * 4


@pytest.mark.statement(v311="MQTT-3.1.2-5", v5="MQTT-4.5.0-1")
def test_qos_0_for_an_absent_reader_may_be_dropped_and_the_rest_is_kept(
    space: Space, version: Version
) -> None:
    who = space.identity()
    away = space.durable(version, who)
    away.subscribe(space.topic("a"), qos=2)
    away.cut()
    publisher = space.client(version)
    for qos in (1, 0, 2):
        publisher.publish(space.topic("a"), bytes([qos]), qos)
    found = space.durable(version, who, session=True)
    payloads = [packet.payload for packet in found.fence()]
    assert [payload for payload in payloads if payload != b"\0"] == [b"\1", b"\2"]


@pytest.mark.statement(v5="MQTT-4.3.3-10", v311="MQTT-4.3.3-2")
def test_a_qos_2_message_from_a_client_survives_a_reconnect(space: Space, version: Version) -> None:
    """The identifier is remembered: the second PUBLISH is no second message."""
    reader = space.client(version)
    reader.subscribe(space.topic("a"), qos=2)
    who = space.identity()
    client = space.durable(version, who)
    packet = wire.publish(version, space.topic("a"), b"x", qos=2, packet_id=3)
    client.send(packet)
    client.expect(Type.PUBREC)
    client.cut()
    again = space.durable(version, who, session=True)
    again.send(packet[:0] + bytes([packet[0] | 0x08]) + packet[1:])
    again.expect(Type.PUBREC)
    again.send(wire.acknowledge(version, Type.PUBREL, 3))
    again.expect(Type.PUBCOMP)
    assert reader.message().payload == b"x"
    reader.expect_nothing()


@pytest.mark.statement("MQTT-4.1.0-2")
@pytest.mark.only(Version.V5)
def test_a_queue_ends_with_its_session(space: Space, version: Version) -> None:
    who = space.identity()
    client = space.durable(version, who)
    client.subscribe(space.topic("a"), qos=1)
    client.disconnect(0, [(Property.SESSION_EXPIRY_INTERVAL, 0)])
    space.client(version).publish(space.topic("a"), b"x", 1)
    again = space.durable(version, who, session=False)
    again.subscribe(space.topic("a"), qos=1)
    again.expect_nothing()
