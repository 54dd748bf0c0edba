"""PUBLISH (3.3): flags, topic, retained messages, actions. Properties have their own file."""

import pytest

from tests.support import wire
from tests.support.client import Client
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version


def _reader(space: Space, version: Version, topic: str, qos: int = 2) -> Client:
    client = space.client(version)
    assert client.subscribe(topic, qos=qos) == (qos,)
    return client


@pytest.mark.statement("MQTT-3.3.1-1", "MQTT-4.4.0-1")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_redelivery_has_the_dup_flag(space: Space, version: Version, qos: int) -> None:
    who = space.identity()
    topic = space.topic("a")
    client = space.durable(version, who)
    client.subscribe(topic, qos=qos)
    space.client(version).publish(topic, b"x", qos)
    first = client.expect(Type.PUBLISH)
    client.cut()
    again = space.durable(version, who, session=True)
    second = again.expect(Type.PUBLISH)
    assert (first.dup, second.dup) == (False, True)
    assert (second.packet_id, second.payload) == (first.packet_id, b"x")
    again.complete(second)
    again.expect_nothing()


@pytest.mark.statement("MQTT-3.3.1-2")
def test_dup_at_qos_0(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.publish(version, space.topic("a"), dup=True))
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-3.3.1-3")
@pytest.mark.parametrize("qos", [1, 2])
def test_dup_is_not_passed_on(space: Space, version: Version, qos: int) -> None:
    topic = space.topic("a")
    reader = _reader(space, version, topic)
    publisher = space.client(version)
    publisher.send(wire.publish(version, topic, b"x", qos=qos, packet_id=7, dup=True))
    publisher.expect(Type.PUBACK if qos == 1 else Type.PUBREC)
    if qos == 2:
        publisher.send(wire.acknowledge(version, Type.PUBREL, 7))
        publisher.expect(Type.PUBCOMP)
    message = reader.message()
    assert (message.payload, message.dup) == (b"x", False)


@pytest.mark.statement("MQTT-3.3.1-4")
@pytest.mark.parametrize("flags", [0x06, 0x07, 0x0E])
def test_qos_3(space: Space, version: Version, flags: int) -> None:
    client = space.client(version)
    client.send(wire.frame(0x30 | flags, wire.text(space.topic("a")) + b"\0\1\0"))
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-3.3.1-5", v311="MQTT-3.3.1-6", v5="MQTT-3.3.1-9")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_retained_message_reaches_a_later_subscriber(
    space: Space, version: Version, qos: int
) -> None:
    topic = space.topic("a")
    space.client(version).publish(topic, b"kept", qos, retain=True)
    message = _reader(space, version, topic).message()
    assert (message.payload, message.qos, message.retain) == (b"kept", qos, True)
    assert not message.dup


@pytest.mark.statement("MQTT-3.3.1-5", v311="MQTT-3.3.1-7")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_retained_message_is_replaced(space: Space, version: Version, qos: int) -> None:
    topic = space.topic("a")
    publisher = space.client(version)
    publisher.publish(topic, b"old", 1, retain=True)
    publisher.publish(topic, b"new", qos, retain=True)
    reader = _reader(space, version, topic)
    assert reader.message().payload == b"new"
    reader.expect_nothing()


@pytest.mark.statement(v311=("MQTT-3.3.1-10", "MQTT-3.3.1-11"), v5=("MQTT-3.3.1-6", "MQTT-3.3.1-7"))
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_an_empty_retained_message_deletes(space: Space, version: Version, qos: int) -> None:
    topic = space.topic("a")
    publisher = space.client(version)
    publisher.publish(topic, b"old", retain=True)
    live = _reader(space, version, topic)
    assert live.message().payload == b"old"
    publisher.publish(topic, b"", qos, retain=True)
    message = live.message()
    assert (message.payload, message.qos) == (b"", qos)
    _reader(space, version, topic).expect_nothing()


@pytest.mark.statement(v311="MQTT-3.3.1-12", v5="MQTT-3.3.1-8")
@pytest.mark.parametrize("payload", [b"live", b""])
def test_a_message_without_retain_changes_nothing(
    space: Space, version: Version, payload: bytes
) -> None:
    topic = space.topic("a")
    publisher = space.client(version)
    publisher.publish(topic, b"kept", retain=True)
    publisher.publish(topic, payload, 1)
    reader = _reader(space, version, topic)
    assert reader.message().payload == b"kept"
    reader.expect_nothing()


@pytest.mark.statement(v311="MQTT-3.3.1-12", v5="MQTT-3.3.1-8")
def test_a_message_without_retain_is_not_kept(space: Space, version: Version) -> None:
    topic = space.topic("a")
    space.client(version).publish(topic, b"live", 1)
    _reader(space, version, topic).expect_nothing()


@pytest.mark.statement(v311=("MQTT-3.3.1-8", "MQTT-3.3.1-9"), v5="MQTT-3.3.1-12")
def test_retain_is_cleared_for_an_established_subscription(space: Space, version: Version) -> None:
    topic = space.topic("a")
    reader = _reader(space, version, topic)
    space.client(version).publish(topic, b"x", retain=True)
    assert not reader.message().retain


@pytest.mark.statement("MQTT-3.3.1-13")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("retain", [True, False])
def test_retain_as_published(space: Space, version: Version, retain: bool) -> None:
    topic = space.topic("a")
    reader = space.client(version)
    reader.subscribe(topic, retain_as_published=True)
    space.client(version).publish(topic, b"x", retain=retain)
    assert reader.message().retain is retain


@pytest.mark.statement("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11", "MQTT-3.8.4-4")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize(("handling", "first", "again"), [(0, 1, 1), (1, 1, 0), (2, 0, 0)])
def test_retain_handling(
    space: Space, version: Version, handling: int, first: int, again: int
) -> None:
    topic = space.topic("a")
    space.client(version).publish(topic, b"kept", retain=True)
    reader = space.client(version)
    reader.subscribe(topic, retain_handling=handling)
    assert [found.payload for found in reader.fence()] == [b"kept"] * first
    reader.subscribe(topic, retain_handling=handling)
    assert [found.payload for found in reader.fence()] == [b"kept"] * again


@pytest.mark.statement("MQTT-3.3.1-10")
@pytest.mark.only(Version.V5)
def test_retain_handling_1_counts_a_resumed_subscription(space: Space, version: Version) -> None:
    topic = space.topic("a")
    who = space.identity()
    space.client(version).publish(topic, b"kept", retain=True)
    reader = space.durable(version, who)
    reader.subscribe(topic, retain_handling=1)
    assert reader.message().payload == b"kept"
    reader.cut()
    again = space.durable(version, who, session=True)
    again.subscribe(topic, retain_handling=1)
    again.expect_nothing()


@pytest.mark.statement("MQTT-3.1.2-7")
@pytest.mark.only(Version.V311)
def test_a_retained_message_outlives_the_session_of_its_sender(
    space: Space, version: Version
) -> None:
    topic = space.topic("a")
    publisher = space.client(version)
    publisher.publish(topic, b"kept", retain=True)
    publisher.disconnect()
    assert _reader(space, version, topic).message().payload == b"kept"


@pytest.mark.statement(v311="MQTT-3.3.1-6", v5="MQTT-3.3.1-9")
def test_every_retained_message_that_matches(space: Space, version: Version) -> None:
    publisher = space.client(version)
    topics = [space.topic(f"many/{number}") for number in range(20)]
    for topic in topics:
        publisher.publish(topic, topic.encode(), retain=True)
    publisher.publish(space.topic("other"), b"no", retain=True)
    reader = _reader(space, version, space.topic("many/+"))
    found = reader.fence()
    assert sorted(message.topic for message in found) == sorted(topics)
    assert all(message.retain for message in found)


@pytest.mark.statement(v311=("MQTT-3.3.2-2", "MQTT-4.7.1-1"), v5=("MQTT-3.3.2-2", "MQTT-4.7.0-1"))
@pytest.mark.parametrize("leaf", ["#", "+", "a/+/b", "a+", "a#"])
def test_a_topic_name_with_a_wildcard(space: Space, version: Version, leaf: str) -> None:
    client = space.client(version)
    client.send(wire.publish(version, space.topic(leaf), b"x"))
    client.expect_closed(Reason.MALFORMED_PACKET, Reason.TOPIC_NAME_INVALID, Reason.PROTOCOL_ERROR)


@pytest.mark.statement("MQTT-4.7.3-1", v311="MQTT-3.3.2-1", v5="MQTT-3.3.2-1")
def test_an_empty_topic_name(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.publish(version, "", b"x"))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET, Reason.TOPIC_NAME_INVALID)


@pytest.mark.statement("MQTT-3.3.2-3")
def test_the_topic_of_a_message_matches_the_filter(space: Space, version: Version) -> None:
    reader = _reader(space, version, space.topic("a/+/c"))
    publisher = space.client(version)
    for leaf in ["a/b/c", "a/b", "a/b/c/d", "a/B/c", "b/b/c", "a//c"]:
        publisher.publish(space.topic(leaf), b"x")
    topics = [message.topic for message in reader.fence()]
    assert topics == [space.topic("a/b/c"), space.topic("a/B/c"), space.topic("a//c")]


@pytest.mark.statement("MQTT-3.3.4-1")
def test_each_qos_has_its_answer(space: Space, version: Version) -> None:
    client = space.client(version)
    topic = space.topic("a")
    client.send(wire.publish(version, topic, b"x"))
    client.expect_nothing()
    client.send(wire.publish(version, topic, b"x", qos=1, packet_id=1))
    client.expect(Type.PUBACK)
    client.send(wire.publish(version, topic, b"x", qos=2, packet_id=1))
    client.expect(Type.PUBREC)


@pytest.mark.statement(v311=("MQTT-3.3.5-1", "MQTT-3.8.4-6"), v5=("MQTT-3.3.4-2", "MQTT-3.8.4-8"))
@pytest.mark.parametrize("sent", [0, 1, 2])
def test_overlapping_subscriptions_give_the_highest_qos(
    space: Space, version: Version, sent: int
) -> None:
    reader = space.client(version)
    reader.subscribe(space.topic("a/b"), qos=0)
    reader.subscribe(space.topic("a/+"), qos=2)
    reader.subscribe(space.topic("#"), qos=1)
    space.client(version).publish(space.topic("a/b"), b"x", sent)
    qualities = []
    for packet in reader.fence():
        qualities.append(packet.qos)
        reader.complete(packet)
    assert max(qualities) == sent
    # One copy, or one for each subscription; Motte sends one (attack X12).
    assert len(qualities) == 1


@pytest.mark.statement(v311="MQTT-3.8.4-6", v5="MQTT-3.8.4-8")
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("sent", [0, 1, 2])
@pytest.mark.parametrize("retained", [True, False])
def test_the_qos_is_the_lower_of_both(
    space: Space, version: Version, granted: int, sent: int, retained: bool
) -> None:
    topic = space.topic("a")
    publisher = space.client(version)
    if retained:
        publisher.publish(topic, b"x", sent, retain=True)
    reader = _reader(space, version, topic, granted)
    if not retained:
        publisher.publish(topic, b"x", sent)
    assert reader.message().qos == min(granted, sent)


@pytest.mark.statement(v311="MQTT-3.3.5-2")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_publication_that_is_not_allowed(space: Space, version: Version, qos: int) -> None:
    """5.0 says so; 3.1.1 acknowledges, or closes the connection."""
    client = space.client(version)
    packet_id = 9 if qos else None
    client.send(wire.publish(version, "not/mine", b"x", qos=qos, packet_id=packet_id))
    if version is Version.V5:
        if qos:
            answer = client.expect(Type.PUBACK if qos == 1 else Type.PUBREC)
            assert (answer.packet_id, answer.reason) == (9, Reason.NOT_AUTHORIZED)
        client.expect_nothing()
    elif qos:
        client.expect(Type.PUBACK if qos == 1 else Type.PUBREC)


@pytest.mark.statement(v311="MQTT-4.5.0-1", v5="MQTT-4.5.0-1")
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 60_000])
def test_payloads_of_any_size(space: Space, version: Version, size: int) -> None:
    topic = space.topic("a")
    reader = _reader(space, version, topic)
    payload = bytes(number % 251 for number in range(size))
    space.client(version).publish(topic, payload, 1)
    assert reader.message().payload == payload


@pytest.mark.statement("MQTT-3.8.3-3")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_no_local(space: Space, version: Version, qos: int) -> None:
    topic = space.topic("a")
    client = space.client(version)
    client.subscribe(topic, qos=qos, no_local=True)
    client.publish(topic, b"own", qos)
    space.client(version).publish(topic, b"other", qos)
    assert client.message().payload == b"other"
    client.expect_nothing()


@pytest.mark.statement("MQTT-3.8.3-3")
@pytest.mark.only(Version.V5)
def test_no_local_of_one_subscription_leaves_the_other(space: Space, version: Version) -> None:
    topic = space.topic("a")
    client = space.client(version)
    client.subscribe(topic, no_local=True)
    client.subscribe(space.topic("+"), no_local=False)
    client.publish(topic, b"own")
    assert client.message().payload == b"own"
    client.expect_nothing()


@pytest.mark.statement("MQTT-3.3.4-6")
@pytest.mark.only(Version.V5)
def test_a_client_must_not_send_a_subscription_identifier(space: Space, version: Version) -> None:
    client = space.client(version)
    pairs = [(Property.SUBSCRIPTION_IDENTIFIER, 1)]
    client.send(wire.publish(version, space.topic("a"), properties=pairs))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET)
