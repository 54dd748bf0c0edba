"""UNSUBSCRIBE and UNSUBACK (3.10, 3.11)."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version


@pytest.mark.statement("MQTT-3.10.3-2")
def test_an_unsubscribe_without_filters(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.unsubscribe(version, 1, []))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-4.7.3-1", "MQTT-3.10.3-1")
def test_an_empty_filter(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.unsubscribe(version, 1, [""]))
    client.expect_closed(
        Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET, Reason.TOPIC_FILTER_INVALID
    )


@pytest.mark.statement("MQTT-3.10.4-2", "MQTT-3.10.4-4")
def test_no_message_after_unsubscribe(space: Space, version: Version) -> None:
    topic = space.topic("a")
    client = space.client(version)
    client.subscribe(topic, qos=1)
    publisher = space.client(version)
    publisher.publish(topic, b"before", 1)
    assert client.message().payload == b"before"
    client.unsubscribe(topic)
    publisher.publish(topic, b"after", 1)
    client.expect_nothing()


@pytest.mark.statement("MQTT-3.10.4-1")
@pytest.mark.parametrize("other", ["a/b", "a/+", "a/#", "A/+/c", "a/+/C", "+/+/c", "a/+/c/"])
def test_filters_are_compared_byte_for_byte(space: Space, version: Version, other: str) -> None:
    client = space.client(version)
    client.subscribe(space.topic("a/+/c"))
    reasons = client.unsubscribe(space.topic(other))
    if version is Version.V5:
        assert reasons == (Reason.NO_SUBSCRIPTION_EXISTED,)
    space.client(version).publish(space.topic("a/b/c"), b"x")
    assert client.message().payload == b"x"


@pytest.mark.statement("MQTT-3.10.4-3")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_delivery_that_has_begun_is_completed(space: Space, version: Version, qos: int) -> None:
    topic = space.topic("a")
    client = space.client(version)
    client.subscribe(topic, qos=qos)
    space.client(version).publish(topic, b"x", qos)
    message = client.expect(Type.PUBLISH)
    client.unsubscribe(topic)
    client.complete(message)
    client.expect_nothing()


@pytest.mark.statement("MQTT-3.10.4-3")
def test_a_delivery_that_has_begun_is_completed_after_a_reconnect(
    space: Space, version: Version
) -> None:
    topic = space.topic("a")
    who = space.identity()
    client = space.durable(version, who)
    client.subscribe(topic, qos=1)
    space.client(version).publish(topic, b"x", 1)
    client.expect(Type.PUBLISH)
    client.unsubscribe(topic)
    client.cut()
    message = space.durable(version, who, session=True).message()
    assert (message.payload, message.dup) == (b"x", True)


@pytest.mark.statement("MQTT-3.10.4-4", "MQTT-3.10.4-5")
def test_an_answer_even_where_nothing_is_deleted(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.unsubscribe(version, 4711, [space.topic("never")]))
    answer = client.expect(Type.UNSUBACK)
    assert answer.packet_id == 4711
    assert answer.reasons == (() if version is Version.V311 else (0x11,))


@pytest.mark.statement("MQTT-3.10.4-6", v5=("MQTT-3.11.3-1", "MQTT-3.11.3-2"))
def test_several_filters_have_one_answer(space: Space, version: Version) -> None:
    client = space.client(version)
    client.subscribe(space.topic("a"), space.topic("b"))
    filters = [space.topic(leaf) for leaf in ("a", "never", "b", "a")]
    reasons = client.unsubscribe(*filters)
    assert reasons == (() if version is Version.V311 else (0, 0x11, 0, 0x11))
    client.expect_nothing()
    publisher = space.client(version)
    publisher.publish(space.topic("a"), b"x")
    publisher.publish(space.topic("b"), b"x")
    client.expect_nothing()


@pytest.mark.only(Version.V5)
def test_user_properties_on_unsubscribe(space: Space, version: Version) -> None:
    client = space.client(version)
    pairs = [(Property.USER_PROPERTY, ("a", "b"))]
    client.send(wire.unsubscribe(version, 1, [space.topic("a")], pairs))
    assert client.expect(Type.UNSUBACK).reasons == (0x11,)


@pytest.mark.only(Version.V5)
def test_properties_that_unsubscribe_does_not_have(space: Space, version: Version) -> None:
    client = space.client(version)
    pairs = [(Property.SUBSCRIPTION_IDENTIFIER, 1)]
    client.send(wire.unsubscribe(version, 1, [space.topic("a")], pairs))
    client.expect_closed(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)


def test_unsubscribing_leaves_the_overlapping_subscription(space: Space, version: Version) -> None:
    client = space.client(version)
    client.subscribe(space.topic("a"), space.topic("+"))
    client.unsubscribe(space.topic("a"))
    space.client(version).publish(space.topic("a"), b"x")
    assert client.message().payload == b"x"
    client.expect_nothing()


@pytest.mark.parametrize("leaf", ["#/a", "a+", "##"])
def test_a_filter_that_the_grammar_does_not_have(space: Space, version: Version, leaf: str) -> None:
    client = space.client(version)
    client.send(wire.unsubscribe(version, 1, [space.topic(leaf)]))
    if version is Version.V311:
        assert [packet.type for packet in client.drain()] in ([], [Type.UNSUBACK])
        return
    packet = client.receive()
    assert packet.type in (Type.UNSUBACK, Type.DISCONNECT)
    assert (packet.reasons or (packet.reason,))[0] in (
        Reason.TOPIC_FILTER_INVALID,
        Reason.MALFORMED_PACKET,
        Reason.PROTOCOL_ERROR,
        Reason.NO_SUBSCRIPTION_EXISTED,
    )
