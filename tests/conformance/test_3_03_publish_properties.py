"""Properties of PUBLISH (5.0, 3.3.2.3)."""

import pytest

from tests.support import wire
from tests.support.client import Client
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version

pytestmark = pytest.mark.only(Version.V5)

Pairs = list[tuple[int, wire.PropertyValue]]


def _reader(space: Space, version: Version, topic: str, qos: int = 2) -> Client:
    client = space.client(version)
    assert client.subscribe(topic, qos=qos) == (qos,)
    return client


@pytest.mark.statement(
    "MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18"
)
@pytest.mark.statement("MQTT-3.3.2-20")
@pytest.mark.parametrize("path", ["live", "retained", "queued"])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_properties_arrive_unaltered(space: Space, version: Version, path: str, qos: int) -> None:
    topic = space.topic("a")
    pairs: Pairs = [
        (Property.PAYLOAD_FORMAT_INDICATOR, 1),
        (Property.CONTENT_TYPE, "text/plain; é"),
        (Property.RESPONSE_TOPIC, space.topic("answer")),
        (Property.CORRELATION_DATA, bytes(range(256))),
        (Property.USER_PROPERTY, ("z", "1")),
        (Property.USER_PROPERTY, ("a", "")),
        (Property.USER_PROPERTY, ("z", "1")),
    ]
    publisher = space.client(version)
    who = space.identity()
    if path == "queued":
        away = space.durable(version, who)
        away.subscribe(topic, qos=max(qos, 1))
        away.cut()
    reader = _reader(space, version, topic) if path == "live" else None
    sent = max(qos, 1) if path == "queued" else qos
    publisher.publish(topic, b"text", sent, retain=path == "retained", properties=pairs)
    if path == "queued":
        reader = space.durable(version, who, session=True)
    message = (reader or _reader(space, version, topic)).message()
    assert sorted(message.properties, key=lambda pair: pair[0]) == sorted(
        pairs, key=lambda pair: pair[0]
    )


@pytest.mark.statement("MQTT-3.3.2-4")
@pytest.mark.parametrize("value", [0, 1])
def test_the_payload_format_indicator(space: Space, version: Version, value: int) -> None:
    topic = space.topic("a")
    reader = _reader(space, version, topic)
    pairs = [(Property.PAYLOAD_FORMAT_INDICATOR, value)]
    space.client(version).publish(topic, b"text", properties=pairs)
    assert reader.message().number(Property.PAYLOAD_FORMAT_INDICATOR) in {value, value or None}


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.parametrize("value", [2, 255])
def test_a_payload_format_that_does_not_exist(space: Space, version: Version, value: int) -> None:
    client = space.client(version)
    pairs = [(Property.PAYLOAD_FORMAT_INDICATOR, value)]
    client.send(wire.publish(version, space.topic("a"), properties=pairs))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-3.3.2-5", "MQTT-3.3.2-6")
def test_message_expiry(space: Space, version: Version) -> None:
    """A queued and a retained message: one expires, the other tells the time that is left."""
    topic, kept = space.topic("a"), space.topic("kept")
    clock = space.client(version)
    clock.subscribe(space.topic("clock"))
    who = space.identity()
    away = space.durable(version, who)
    away.subscribe(topic, qos=1)
    away.cut()
    publisher = space.client(version)
    for payload, seconds in [(b"short", 1), (b"long", 100)]:
        pairs: Pairs = [(Property.MESSAGE_EXPIRY_INTERVAL, seconds)]
        publisher.publish(topic, payload, 1, properties=pairs)
        publisher.publish(f"{kept}/{payload.decode()}", payload, retain=True, properties=pairs)
    delay: Pairs = [(Property.WILL_DELAY_INTERVAL, 2)]
    will = wire.Will(space.topic("clock"), properties=delay)
    space.durable(version, space.identity(), will=will).cut()
    clock.message()
    back = space.durable(version, who, session=True)
    message = back.message()
    assert message.payload == b"long"
    assert message.number(Property.MESSAGE_EXPIRY_INTERVAL) in (97, 98)
    back.expect_nothing()
    found = _reader(space, version, f"{kept}/+").fence()
    assert [message.payload for message in found] == [b"long"]
    assert found[0].number(Property.MESSAGE_EXPIRY_INTERVAL) in (97, 98)


@pytest.mark.statement("MQTT-3.3.2-6")
def test_message_expiry_live(space: Space, version: Version) -> None:
    topic = space.topic("a")
    reader = _reader(space, version, topic)
    pairs = [(Property.MESSAGE_EXPIRY_INTERVAL, 50)]
    space.client(version).publish(topic, b"x", properties=pairs)
    assert reader.message().number(Property.MESSAGE_EXPIRY_INTERVAL) in (49, 50)


@pytest.mark.statement("MQTT-3.3.2-8")
def test_alias_zero(space: Space, version: Version) -> None:
    client = space.client(version)
    pairs = [(Property.TOPIC_ALIAS, 0)]
    client.send(wire.publish(version, space.topic("a"), properties=pairs))
    client.expect_closed(Reason.TOPIC_ALIAS_INVALID)


@pytest.mark.statement("MQTT-3.3.2-12")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_alias_stands_for_its_topic(space: Space, version: Version, qos: int) -> None:
    reader = _reader(space, version, space.topic("#"))
    client = space.client(version)
    one: Pairs = [(Property.TOPIC_ALIAS, 1)]
    two: Pairs = [(Property.TOPIC_ALIAS, 2)]
    client.publish(space.topic("a"), b"1", qos, properties=one)
    client.publish(space.topic("b"), b"2", qos, properties=two)
    client.publish("", b"3", qos, properties=one)
    client.publish("", b"4", qos, properties=two)
    client.publish(space.topic("c"), b"5", qos, properties=one)
    client.publish("", b"6", qos, properties=one)
    client.publish(space.topic("a"), b"7", qos)
    leaves = [reader.message().topic.rsplit("/", 1)[1] for _ in range(7)]
    assert leaves == ["a", "b", "a", "b", "c", "c", "a"]


@pytest.mark.statement("MQTT-4.13.1-1")
def test_an_alias_that_stands_for_nothing(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.publish(version, "", b"x", properties=[(Property.TOPIC_ALIAS, 5)]))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.TOPIC_ALIAS_INVALID)


@pytest.mark.statement("MQTT-3.3.2-7")
def test_aliases_end_with_the_connection(space: Space, version: Version) -> None:
    who = space.identity()
    first = space.durable(version, who)
    pairs = [(Property.TOPIC_ALIAS, 1)]
    first.publish(space.topic("a"), b"x", properties=pairs)
    first.cut()
    again = space.durable(version, who, session=True)
    again.send(wire.publish(version, "", b"x", properties=pairs))
    again.expect_closed(Reason.PROTOCOL_ERROR, Reason.TOPIC_ALIAS_INVALID)


@pytest.mark.statement("MQTT-3.3.2-7")
def test_aliases_of_both_directions_differ(space: Space, version: Version) -> None:
    client = space.client(version, properties=[(Property.TOPIC_ALIAS_MAXIMUM, 5)])
    client.subscribe(space.topic("in/#"))
    publisher = space.client(version)
    client.publish(space.topic("out"), b"x", properties=[(Property.TOPIC_ALIAS, 1)])
    for _ in range(2):
        publisher.publish(space.topic("in/a"), b"y")
    listener = _reader(space, version, space.topic("out"))
    client.publish("", b"z", properties=[(Property.TOPIC_ALIAS, 1)])
    assert listener.message().payload == b"z"
    assert [found.payload for found in client.fence()] == [b"y", b"y"]


@pytest.mark.statement("MQTT-3.3.2-14")
@pytest.mark.parametrize("leaf", ["#", "+", "a/+"])
def test_a_response_topic_with_a_wildcard(space: Space, version: Version, leaf: str) -> None:
    client = space.client(version)
    pairs = [(Property.RESPONSE_TOPIC, space.topic(leaf))]
    client.send(wire.publish(version, space.topic("a"), properties=pairs))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET, Reason.TOPIC_NAME_INVALID)


@pytest.mark.statement("MQTT-3.3.2-13", "MQTT-3.3.2-19")
@pytest.mark.parametrize("field", [Property.RESPONSE_TOPIC, Property.CONTENT_TYPE])
def test_text_properties_are_utf8(space: Space, version: Version, field: Property) -> None:
    client = space.client(version)
    client.send(wire.publish(version, space.topic("a"), properties=[(field, b"\xc3\x28")]))
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-3.3.4-3", "MQTT-3.3.4-4")
def test_subscription_identifiers_of_all_that_match(space: Space, version: Version) -> None:
    reader = space.client(version)
    reader.subscribe(space.topic("a/b"), identifier=7)
    reader.subscribe(space.topic("a/+"), identifier=268_435_455)
    reader.subscribe(space.topic("#"))
    reader.subscribe(space.topic("c"), identifier=9)
    space.client(version).publish(space.topic("a/b"), b"x")
    found = [
        value for packet in reader.fence() for value in packet.all(Property.SUBSCRIPTION_IDENTIFIER)
    ]
    assert sorted(str(value) for value in found) == ["268435455", "7"]


@pytest.mark.statement("MQTT-3.3.4-3", "MQTT-3.3.1-9")
@pytest.mark.parametrize("path", ["retained", "queued"])
def test_subscription_identifiers_on_deferred_paths(
    space: Space, version: Version, path: str
) -> None:
    topic = space.topic("a")
    who = space.identity()
    publisher = space.client(version)
    if path == "retained":
        publisher.publish(topic, b"x", 1, retain=True)
    reader = space.durable(version, who)
    reader.subscribe(topic, qos=1, identifier=5)
    if path == "queued":
        reader.cut()
        publisher.publish(topic, b"x", 1)
        reader = space.durable(version, who, session=True)
    assert reader.message().all(Property.SUBSCRIPTION_IDENTIFIER) == [5]


@pytest.mark.statement("MQTT-3.8.4-3")
def test_a_subscription_identifier_is_replaced(space: Space, version: Version) -> None:
    topic = space.topic("a")
    reader = space.client(version)
    publisher = space.client(version)
    for identifier in (1, 2, None):
        reader.subscribe(topic, identifier=identifier)
        publisher.publish(topic, b"x")
        expected = [] if identifier is None else [identifier]
        assert reader.message().all(Property.SUBSCRIPTION_IDENTIFIER) == expected


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.parametrize("pairs", [[(0x0B, 0)], [(0x0B, 1), (0x0B, 2)]], ids=["zero", "twice"])
def test_a_subscription_identifier_that_is_none(
    space: Space, version: Version, pairs: Pairs
) -> None:
    client = space.client(version)
    client.send(wire.subscribe(version, 1, [(space.topic("a"), 0)], pairs))
    client.expect_closed(Reason.PROTOCOL_ERROR)


@pytest.mark.statement("MQTT-3.3.2-4")
def test_the_payload_is_what_its_format_says(space: Space, version: Version) -> None:
    """3.3.2.3.2: a receiver may validate; Motte does, so no subscriber gets ill-formed text."""
    topic = space.topic("a")
    reader = _reader(space, version, topic)
    client = space.client(version)
    pairs = [(Property.PAYLOAD_FORMAT_INDICATOR, 1)]
    client.send(wire.publish(version, topic, b"\xc3\x28", qos=1, packet_id=1, properties=pairs))
    packet = client.receive()
    if packet.type is Type.PUBACK:
        assert packet.reason == Reason.PAYLOAD_FORMAT_INVALID
    else:
        assert packet.type is Type.DISCONNECT
        assert packet.reason == Reason.PAYLOAD_FORMAT_INVALID
    reader.expect_nothing()
