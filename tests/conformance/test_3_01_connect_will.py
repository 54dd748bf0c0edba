"""Will messages (3.1.2.5 to 3.1.2.7, 3.1.3.2 to 3.1.3.4)."""

import time

import pytest

from tests.support import wire
from tests.support.client import Client
from tests.support.space import Space
from tests.support.wire import Property, Reason, Version


def _watcher(space: Space, version: Version, topic: str, qos: int = 2) -> Client:
    watcher = space.client(version)
    assert watcher.subscribe(topic, qos=qos) == (qos,)
    return watcher


@pytest.mark.statement(
    v311=("MQTT-3.1.2-8", "MQTT-3.1.2-9", "MQTT-3.1.2-16"),
    v5=("MQTT-3.1.2-7", "MQTT-3.1.2-8", "MQTT-3.1.2-9", "MQTT-3.1.2-14"),
)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_is_published_when_the_connection_breaks(
    space: Space, version: Version, qos: int
) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    client = space.client(version, will=wire.Will(topic, b"\0bytes\xff", qos))
    client.cut()
    message = watcher.message()
    assert (message.topic, message.payload, message.qos) == (topic, b"\0bytes\xff", qos)
    assert not message.retain
    late = _watcher(space, version, topic)
    late.expect_nothing()


@pytest.mark.statement(v311="MQTT-3.1.2-8", v5="MQTT-3.1.2-8")
def test_a_will_is_published_after_a_protocol_error(space: Space, version: Version) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    client = space.client(version, will=wire.Will(topic, b"w"))
    client.send(wire.frame(0xC1))
    client.expect_closed(Reason.MALFORMED_PACKET)
    assert watcher.message().payload == b"w"


@pytest.mark.statement("MQTT-3.14.4-3", v311=("MQTT-3.1.2-10", "MQTT-3.1.2-8"), v5="MQTT-3.1.2-10")
def test_disconnect_deletes_the_will(space: Space, version: Version) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    client = space.client(version, will=wire.Will(topic, b"w"))
    client.disconnect()
    watcher.expect_nothing()


@pytest.mark.statement("MQTT-3.1.2-10")
def test_a_will_is_published_once(space: Space, version: Version) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    who = space.identity()
    space.durable(version, who, will=wire.Will(topic, b"w")).cut()
    assert watcher.message().payload == b"w"
    space.durable(version, who, session=True).cut()
    space.client(version).publish(topic, b"canary")
    assert watcher.messages_until(b"canary") == []


@pytest.mark.statement(v311="MQTT-3.1.2-12")
@pytest.mark.statement(v5="MQTT-3.1.2-8")
def test_without_a_will_nothing_is_published(space: Space, version: Version) -> None:
    watcher = _watcher(space, version, space.topic("#"))
    who = space.identity()
    space.client(version, who).cut()
    space.client(version).publish(space.topic("a"), b"canary")
    assert watcher.messages_until(b"canary") == []


@pytest.mark.statement(v311="MQTT-3.1.2-17", v5="MQTT-3.1.2-15")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_retained_will_is_retained(space: Space, version: Version, qos: int) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    space.client(version, will=wire.Will(topic, b"w", qos, retain=True)).cut()
    assert not watcher.message().retain
    late = _watcher(space, version, topic)
    message = late.message()
    assert (message.payload, message.retain, message.qos) == (b"w", True, qos)


@pytest.mark.statement(v311="MQTT-3.1.2-17", v5=("MQTT-3.1.2-15", "MQTT-3.3.1-6"))
def test_an_empty_retained_will_deletes(space: Space, version: Version) -> None:
    topic = space.topic("w")
    space.client(version).publish(topic, b"old", retain=True)
    watcher = _watcher(space, version, topic)
    assert watcher.message().payload == b"old"
    space.client(version, will=wire.Will(topic, b"", retain=True)).cut()
    assert watcher.message().payload == b""
    _watcher(space, version, topic).expect_nothing()


@pytest.mark.statement("MQTT-3.1.2-8")
def test_a_takeover_publishes_the_will(space: Space, version: Version) -> None:
    """3.1.4: the first connection ends without its own DISCONNECT."""
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    who = space.identity()
    space.durable(version, who, will=wire.Will(topic, b"first"))
    space.durable(version, who, session=True, will=wire.Will(topic, b"second"))
    assert watcher.message().payload == b"first"
    watcher.expect_nothing()


@pytest.mark.statement(v311=("MQTT-3.3.2-2", "MQTT-4.7.1-1"), v5=("MQTT-3.1.3-11", "MQTT-4.7.0-1"))
@pytest.mark.parametrize("topic", ["w/+", "w/#", "#", ""])
def test_a_will_topic_that_is_no_topic_name(space: Space, version: Version, topic: str) -> None:
    client = space.open(version)
    client.send(wire.connect(version, client.client_id, will=wire.Will(topic, b"w")))
    client.expect_refused(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR, Reason.TOPIC_NAME_INVALID)


@pytest.mark.statement("MQTT-3.1.3-10", "MQTT-3.3.2-4", "MQTT-3.3.2-17")
@pytest.mark.only(Version.V5)
def test_will_properties_are_the_message_properties(space: Space, version: Version) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    pairs: list[tuple[int, wire.PropertyValue]] = [
        (Property.PAYLOAD_FORMAT_INDICATOR, 1),
        (Property.MESSAGE_EXPIRY_INTERVAL, 100),
        (Property.CONTENT_TYPE, "text/plain"),
        (Property.RESPONSE_TOPIC, space.topic("answer")),
        (Property.CORRELATION_DATA, b"\0\1"),
        (Property.USER_PROPERTY, ("b", "1")),
        (Property.USER_PROPERTY, ("a", "2")),
        (Property.USER_PROPERTY, ("b", "3")),
    ]
    space.client(version, will=wire.Will(topic, b"w", 1, properties=pairs)).cut()
    message = watcher.message()
    assert message.number(Property.PAYLOAD_FORMAT_INDICATOR) == 1
    assert message.number(Property.MESSAGE_EXPIRY_INTERVAL) in (99, 100)
    assert message.text(Property.CONTENT_TYPE) == "text/plain"
    assert message.text(Property.RESPONSE_TOPIC) == space.topic("answer")
    assert message.data(Property.CORRELATION_DATA) == b"\0\1"
    assert message.user_properties == [("b", "1"), ("a", "2"), ("b", "3")]


@pytest.mark.alone
@pytest.mark.statement("MQTT-3.1.2-8")
@pytest.mark.only(Version.V5)
def test_a_delayed_will_waits(space: Space, version: Version) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    will = wire.Will(topic, b"w", properties=[(Property.WILL_DELAY_INTERVAL, 1)])
    client = space.durable(version, space.identity(), will=will)
    began = time.monotonic()
    client.cut()
    watcher.expect_nothing()
    assert watcher.message().payload == b"w"
    assert 0.9 <= time.monotonic() - began <= 3.0


@pytest.mark.statement("MQTT-3.1.3-9")
@pytest.mark.only(Version.V5)
def test_a_reconnect_in_time_stops_a_delayed_will(space: Space, version: Version) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    who = space.identity()
    delay = [(Property.WILL_DELAY_INTERVAL, 1)]
    space.durable(version, who, will=wire.Will(topic, b"stopped", properties=delay)).cut()
    space.durable(version, who, session=True)
    # A will with the same delay that nothing stops shows that the time has passed.
    space.durable(
        version, space.identity(), will=wire.Will(topic, b"canary", properties=delay)
    ).cut()
    assert watcher.messages_until(b"canary") == []


@pytest.mark.statement("MQTT-3.1.2-8")
@pytest.mark.only(Version.V5)
def test_a_delayed_will_does_not_outlast_the_session(space: Space, version: Version) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    delay = [(Property.WILL_DELAY_INTERVAL, 60)]
    who = space.identity()
    client = space.durable(version, who, expiry=1, will=wire.Will(topic, b"w", properties=delay))
    client.cut()
    watcher.expect_nothing()
    assert watcher.message().payload == b"w"
    space.durable(version, who, session=False)


@pytest.mark.statement("MQTT-3.1.2-8")
@pytest.mark.only(Version.V5)
def test_a_session_that_is_discarded_publishes_its_delayed_will(
    space: Space, version: Version
) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    delay = [(Property.WILL_DELAY_INTERVAL, 60)]
    who = space.identity()
    space.durable(version, who, will=wire.Will(topic, b"w", properties=delay)).cut()
    watcher.expect_nothing()
    space.durable(version, who, clean_start=True, session=False)
    assert watcher.message().payload == b"w"


@pytest.mark.statement("MQTT-3.14.4-3", "MQTT-3.1.2-8")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("reason", [0x04, 0x80, 0x82])
def test_a_disconnect_with_another_reason_keeps_the_will(
    space: Space, version: Version, reason: int
) -> None:
    topic = space.topic("w")
    watcher = _watcher(space, version, topic)
    space.client(version, will=wire.Will(topic, b"w")).disconnect(reason)
    assert watcher.message().payload == b"w"


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize(
    "pairs",
    [
        [(Property.TOPIC_ALIAS, 1)],
        [(Property.SUBSCRIPTION_IDENTIFIER, 1)],
        [(Property.WILL_DELAY_INTERVAL, 1)] * 2,
        [(Property.PAYLOAD_FORMAT_INDICATOR, 2)],
        [(Property.SESSION_EXPIRY_INTERVAL, 1)],
        [(Property.RESPONSE_TOPIC, "a/#")],
    ],
    ids=["alias", "identifier", "twice", "format 2", "expiry", "response wildcard"],
)
def test_will_properties_that_have_no_place(
    space: Space, version: Version, pairs: list[tuple[int, wire.PropertyValue]]
) -> None:
    client = space.open(version)
    will = wire.Will(space.topic("w"), b"w", properties=pairs)
    client.send(wire.connect(version, client.client_id, will=will))
    client.expect_refused(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)
