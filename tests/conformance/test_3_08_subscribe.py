"""SUBSCRIBE and SUBACK (3.8, 3.9)."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version

FAILURE_311 = 0x80


@pytest.mark.statement(v311=("MQTT-3.8.3-3",), v5="MQTT-3.8.3-2")
def test_a_subscribe_without_filters(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.subscribe(version, 1, []))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-4.7.3-1", "MQTT-3.8.3-1")
def test_an_empty_filter(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.subscribe(version, 1, [("", 0)]))
    client.expect_closed(
        Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET, Reason.TOPIC_FILTER_INVALID
    )


@pytest.mark.statement("MQTT-3.8.3-4", v5="MQTT-3.8.3-5")
@pytest.mark.parametrize("options", [0x03, 0x40, 0x80, 0xC0])
def test_reserved_subscription_options(space: Space, version: Version, options: int) -> None:
    client = space.client(version)
    client.send(wire.subscribe(version, 1, [(space.topic("a"), options)]))
    client.expect_closed(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)


@pytest.mark.statement(v311="MQTT-3.8.3-4")
@pytest.mark.only(Version.V311)
@pytest.mark.parametrize("options", [0x04, 0x08, 0x10, 0x20])
def test_options_that_only_5_0_has(space: Space, version: Version, options: int) -> None:
    client = space.client(version)
    client.send(wire.subscribe(version, 1, [(space.topic("a"), options)]))
    client.expect_closed()


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.only(Version.V5)
def test_retain_handling_3(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.subscribe(version, 1, [(space.topic("a"), 0x30)]))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-3.8.4-1", "MQTT-3.8.4-2")
def test_a_subscribe_is_answered(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.subscribe(version, 4711, [(space.topic("a"), 0)]))
    answer = client.expect(Type.SUBACK)
    assert (answer.packet_id, answer.reasons) == (4711, (0,))
    client.expect_nothing()


@pytest.mark.statement(
    "MQTT-3.9.3-1", "MQTT-3.8.4-5", v311=("MQTT-3.8.4-4", "MQTT-3.9.3-2"), v5="MQTT-3.8.4-6"
)
def test_one_code_for_each_filter_in_order(space: Space, version: Version) -> None:
    client = space.client(version)
    filters: list[tuple[str | bytes, int]] = [
        (space.topic("a"), 2),
        ("not/mine", 1),
        (space.topic("b"), 0),
        (space.topic("c/#"), 1),
        ("not/mine/either", 2),
    ]
    client.send(wire.subscribe(version, 1, filters))
    denied = FAILURE_311 if version is Version.V311 else Reason.NOT_AUTHORIZED
    assert client.expect(Type.SUBACK).reasons == (2, denied, 0, 1, denied)


@pytest.mark.statement(v311="MQTT-3.8.4-4", v5="MQTT-3.8.4-5")
def test_each_filter_of_a_packet_is_a_subscription(space: Space, version: Version) -> None:
    client = space.client(version)
    assert client.subscribe(space.topic("a"), space.topic("b"), qos=1) == (1, 1)
    publisher = space.client(version)
    for leaf in ("a", "b", "c"):
        publisher.publish(space.topic(leaf), leaf.encode(), 1)
    assert [client.message().payload, client.message().payload] == [b"a", b"b"]
    client.expect_nothing()


@pytest.mark.statement("MQTT-3.8.4-3")
def test_the_same_filter_replaces_its_subscription(space: Space, version: Version) -> None:
    topic = space.topic("a")
    client = space.client(version)
    publisher = space.client(version)
    for qos in (0, 2, 1):
        assert client.subscribe(topic, qos=qos) == (qos,)
        publisher.publish(topic, b"x", 2)
        assert client.message().qos == qos
        client.expect_nothing()


@pytest.mark.statement("MQTT-3.8.4-3")
def test_subscribing_again_sends_retained_messages_again(space: Space, version: Version) -> None:
    topic = space.topic("a")
    space.client(version).publish(topic, b"kept", retain=True)
    client = space.client(version)
    for _ in range(2):
        client.subscribe(topic)
        message = client.message()
        assert (message.payload, message.retain) == (b"kept", True)


@pytest.mark.statement("MQTT-3.8.4-4", "MQTT-3.8.4-3")
@pytest.mark.only(Version.V5)
def test_replacing_a_subscription_loses_nothing(space: Space, version: Version) -> None:
    topic = space.topic("a")
    client = space.client(version)
    client.subscribe(topic, qos=1, retain_handling=2)
    publisher = space.client(version)
    for number in range(10):
        publisher.publish(topic, bytes([number]), 1)
        if number % 3 == 0:
            client.subscribe(topic, qos=1, retain_handling=2)
    assert [client.message().payload for _ in range(10)] == [bytes([n]) for n in range(10)]


@pytest.mark.statement(v311="MQTT-3.8.4-5", v5="MQTT-3.8.4-7")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_the_granted_qos(space: Space, version: Version, qos: int) -> None:
    assert space.client(version).subscribe(space.topic("a"), qos=qos) == (qos,)


@pytest.mark.statement("MQTT-3.9.3-2")
def test_codes_of_a_suback_are_legal(space: Space, version: Version) -> None:
    client = space.client(version)
    filters = [space.topic("a"), "#", "$SYS/#", "other", "$share/g/t", space.topic("+/b")]
    reasons = client.subscribe(*filters, qos=2)
    legal = {0, 1, 2, 0x80}
    if version is Version.V5:
        legal |= {0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2}
    assert set(reasons) <= legal
    assert [reason < 0x80 for reason in reasons] == [True, False, False, False, False, True]


@pytest.mark.parametrize("leaf", ["a+", "+a", "a/+b", "#/a", "a/#/b", "a#", "##", "a/##", "++"])
@pytest.mark.statement(v311=("MQTT-4.7.1-2", "MQTT-4.7.1-3"), v5=("MQTT-4.7.1-1", "MQTT-4.7.1-2"))
def test_misplaced_wildcards(space: Space, version: Version, leaf: str) -> None:
    """A filter that the grammar does not have: the packet is malformed, or the filter is named."""
    client = space.client(version)
    client.send(wire.subscribe(version, 1, [(space.topic(leaf), 0)]))
    for packet in client.receive_or_closed():
        if packet.type is Type.SUBACK:
            assert version is Version.V311 or packet.reasons == (Reason.TOPIC_FILTER_INVALID,)
            assert packet.reasons[0] >= FAILURE_311
        else:
            assert packet.type is Type.DISCONNECT
            assert packet.reason in (
                Reason.TOPIC_FILTER_INVALID,
                Reason.MALFORMED_PACKET,
                Reason.PROTOCOL_ERROR,
            )


@pytest.mark.statement(v311="MQTT-3.8.3-2")
@pytest.mark.parametrize("wildcard", ["#", "+", "a/#", "+/a"])
def test_a_device_has_no_wildcards(space: Space, version: Version, wildcard: str) -> None:
    """Law 5; the standard asks a server that does not support them to reject them."""
    client = space.client(version, space.device(group="plain"))
    reasons = client.subscribe(space.topic(wildcard), space.topic("plain"))
    assert reasons == (0x80 if version is Version.V311 else 0xA2, 0)


@pytest.mark.only(Version.V5)
def test_user_properties_on_subscribe(space: Space, version: Version) -> None:
    client = space.client(version)
    pairs = [(Property.USER_PROPERTY, ("a", "b"))] * 3
    client.send(wire.subscribe(version, 1, [(space.topic("a"), 0)], pairs))
    assert client.expect(Type.SUBACK).reasons == (0,)


@pytest.mark.statement("MQTT-3.9.2-1", "MQTT-3.9.2-2")
@pytest.mark.only(Version.V5)
def test_a_suback_fits_the_maximum_packet_size(space: Space, version: Version) -> None:
    client = space.client(version, properties=[(Property.MAXIMUM_PACKET_SIZE, 30)])
    client.send(wire.subscribe(version, 1, [("not/mine", 0)]))
    answer = client.expect(Type.SUBACK)
    assert answer.reasons == (Reason.NOT_AUTHORIZED,)
    assert answer.size <= 30


def test_subscriptions_of_a_session_survive(space: Space, version: Version) -> None:
    who = space.identity()
    client = space.durable(version, who)
    client.subscribe(space.topic("a"), space.topic("b/+"), qos=1)
    client.disconnect()
    again = space.durable(version, who, session=True)
    publisher = space.client(version)
    publisher.publish(space.topic("a"), b"1", 1)
    publisher.publish(space.topic("b/x"), b"2", 1)
    assert [again.message().payload, again.message().payload] == [b"1", b"2"]
