"""PUBACK (3.4)."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version


@pytest.mark.statement(v311="MQTT-2.3.1-6", v5="MQTT-2.2.1-5")
def test_acknowledgements_come_in_the_order_of_messages(space: Space, version: Version) -> None:
    client = space.client(version)
    ids = [5, 3, 9, 1, 65535]
    for packet_id in ids:
        client.send(wire.publish(version, space.topic("a"), qos=1, packet_id=packet_id))
    assert [client.expect(Type.PUBACK).packet_id for _ in ids] == ids


@pytest.mark.statement("MQTT-3.4.2-1")
@pytest.mark.only(Version.V5)
def test_the_reason_of_a_puback(space: Space, version: Version) -> None:
    client = space.client(version)
    topic = space.topic("a")
    nobody = client.publish(topic, b"x", 1)
    assert nobody in (Reason.SUCCESS, Reason.NO_MATCHING_SUBSCRIBERS)
    client.subscribe(topic)
    assert client.publish(topic, b"x", 1) == Reason.SUCCESS
    assert client.publish("not/mine", b"x", 1) == Reason.NOT_AUTHORIZED


@pytest.mark.only(Version.V5)
def test_nothing_tells_whether_a_denied_topic_has_readers(space: Space, version: Version) -> None:
    """Attack I5: a denial reads the same whether somebody listens there or not."""
    other = space.client(version)
    other.subscribe(space.topic("heard"))
    device = space.client(version, space.device())
    codes = {device.publish(topic, b"x", 1) for topic in (space.topic("heard"), "nobody/here")}
    assert codes == {Reason.NOT_AUTHORIZED}


@pytest.mark.statement("MQTT-3.4.2-2", "MQTT-3.4.2-3")
@pytest.mark.only(Version.V5)
def test_a_puback_fits_the_maximum_packet_size(space: Space, version: Version) -> None:
    client = space.client(version, properties=[(Property.MAXIMUM_PACKET_SIZE, 30)])
    client.send(wire.publish(version, "not/mine", b"x", qos=1, packet_id=1))
    answer = client.expect(Type.PUBACK)
    assert answer.reason == Reason.NOT_AUTHORIZED
    assert answer.size <= 30


@pytest.mark.parametrize("packet_id", [1, 4711])
def test_a_puback_that_nothing_waits_for(space: Space, version: Version, packet_id: int) -> None:
    """No statement makes it an error; the connection stays as it is."""
    client = space.client(version)
    client.send(wire.acknowledge(version, Type.PUBACK, packet_id))
    client.expect_nothing()


@pytest.mark.statement("MQTT-4.4.0-2", "MQTT-3.4.2-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("reason", [0x80, 0x83, 0x87, 0x97, 0x99])
def test_a_negative_puback_ends_the_delivery(space: Space, version: Version, reason: int) -> None:
    who = space.identity()
    topic = space.topic("a")
    client = space.durable(version, who)
    client.subscribe(topic, qos=1)
    space.client(version).publish(topic, b"x", 1)
    message = client.expect(Type.PUBLISH)
    assert message.packet_id is not None
    client.send(wire.acknowledge(version, Type.PUBACK, message.packet_id, reason))
    client.expect_nothing()
    client.cut()
    space.durable(version, who, session=True).expect_nothing()


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("kind", [Type.PUBACK, Type.PUBREC, Type.PUBREL, Type.PUBCOMP])
@pytest.mark.parametrize("reason", [0x01, 0x04, 0x18, 0x7F, 0xFF])
def test_reasons_that_acknowledgements_do_not_have(
    space: Space, version: Version, kind: Type, reason: int
) -> None:
    client = space.client(version)
    client.send(wire.acknowledge(version, kind, 1, reason))
    client.expect_closed(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)


@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("kind", [Type.PUBACK, Type.PUBREC, Type.PUBREL, Type.PUBCOMP])
def test_acknowledgements_may_carry_text(space: Space, version: Version, kind: Type) -> None:
    client = space.client(version)
    pairs: list[tuple[int, wire.PropertyValue]] = [
        (Property.REASON_STRING, "all is well"),
        (Property.USER_PROPERTY, ("a", "b")),
    ]
    client.send(wire.acknowledge(version, kind, 1, 0, pairs))
    assert [packet.type for packet in client.fence()] in ([], [Type.PUBREL], [Type.PUBCOMP])
