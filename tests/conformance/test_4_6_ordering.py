"""Message ordering (4.6)."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Type, Version

COUNT = 40


@pytest.mark.statement("MQTT-4.6.0-5", "MQTT-4.6.0-6")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_messages_arrive_in_the_order_of_their_sender(
    space: Space, version: Version, qos: int
) -> None:
    reader = space.client(version)
    reader.subscribe(space.topic("a"), qos=qos)
    publisher = space.client(version)
    for number in range(COUNT):
        publisher.publish(space.topic("a"), bytes([number]), qos)
    assert [reader.message().payload[0] for _ in range(COUNT)] == list(range(COUNT))


@pytest.mark.statement("MQTT-4.6.0-5", "MQTT-4.6.0-6")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_queue_keeps_the_order(space: Space, version: Version, qos: int) -> None:
    """More than the window holds, while the reader is away."""
    who = space.identity()
    away = space.durable(version, who)
    away.subscribe(space.topic("a"), qos=qos)
    away.cut()
    publisher = space.client(version)
    for number in range(COUNT):
        publisher.publish(space.topic("a"), bytes([number]), qos)
    back = space.durable(version, who, session=True)
    assert [back.message().payload[0] for _ in range(COUNT)] == list(range(COUNT))


@pytest.mark.statement("MQTT-4.6.0-6")
def test_live_messages_come_after_the_queue(space: Space, version: Version) -> None:
    who = space.identity()
    away = space.durable(version, who)
    away.subscribe(space.topic("a"), qos=1)
    away.cut()
    publisher = space.client(version)
    for number in range(COUNT):
        publisher.publish(space.topic("a"), bytes([number]), 1)
    back = space.durable(version, who, session=True)
    publisher.publish(space.topic("a"), bytes([COUNT]), 1)
    assert [back.message().payload[0] for _ in range(COUNT + 1)] == list(range(COUNT + 1))


@pytest.mark.statement("MQTT-4.6.0-2")
def test_pubacks_in_the_order_of_publishes(space: Space, version: Version) -> None:
    client = space.client(version)
    packets = [
        wire.publish(version, space.topic("a"), b"x", qos=1, packet_id=number)
        for number in range(1, 16)
    ]
    client.send(*packets)
    assert [client.expect(Type.PUBACK).packet_id for _ in packets] == list(range(1, 16))


@pytest.mark.statement("MQTT-4.6.0-3")
def test_pubrecs_in_the_order_of_publishes(space: Space, version: Version) -> None:
    client = space.client(version)
    packets = [
        wire.publish(version, space.topic("a"), b"x", qos=2, packet_id=number)
        for number in range(1, 16)
    ]
    client.send(*packets)
    assert [client.expect(Type.PUBREC).packet_id for _ in packets] == list(range(1, 16))


@pytest.mark.statement("MQTT-4.6.0-4")
def test_pubrels_in_the_order_of_pubrecs(space: Space, version: Version) -> None:
    client = space.client(version)
    client.subscribe(space.topic("a"), qos=2)
    publisher = space.client(version)
    for number in range(5):
        publisher.publish(space.topic("a"), bytes([number]), 2)
    ids = [client.expect(Type.PUBLISH).packet_id for _ in range(5)]
    order = [ids[2], ids[0], ids[4], ids[1], ids[3]]
    for packet_id in order:
        assert packet_id is not None
        client.send(wire.acknowledge(version, Type.PUBREC, packet_id))
    assert [client.expect(Type.PUBREL).packet_id for _ in range(5)] == order
