"""PUBREC, PUBREL and PUBCOMP (3.5 to 3.7)."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Reason, Type, Version


@pytest.mark.statement(v311="MQTT-2.3.1-6", v5=("MQTT-2.2.1-5", "MQTT-3.5.2-1", "MQTT-3.7.2-1"))
def test_the_four_packets(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.publish(version, space.topic("a"), b"x", qos=2, packet_id=77))
    received = client.expect(Type.PUBREC)
    assert received.packet_id == 77
    assert received.reason < Reason.UNSPECIFIED
    client.send(wire.acknowledge(version, Type.PUBREL, 77))
    complete = client.expect(Type.PUBCOMP)
    assert (complete.packet_id, complete.reason) == (77, 0)


@pytest.mark.statement("MQTT-3.6.1-1")
def test_the_server_sets_the_flags_of_pubrel(space: Space, version: Version) -> None:
    """The parser refuses a PUBREL with other flags; here the server has to send one."""
    client = space.client(version)
    client.subscribe(space.topic("a"), qos=2)
    space.client(version).publish(space.topic("a"), b"x", 2)
    message = client.expect(Type.PUBLISH)
    assert message.packet_id is not None
    client.send(wire.acknowledge(version, Type.PUBREC, message.packet_id))
    assert client.expect(Type.PUBREL).packet_id == message.packet_id


@pytest.mark.statement(v5="MQTT-3.7.2-1", v311="MQTT-4.3.3-2")
def test_a_pubrel_for_an_unknown_identifier(space: Space, version: Version) -> None:
    """5.0 tells that there is none; 3.1.1 has only the one answer."""
    client = space.client(version)
    client.send(wire.acknowledge(version, Type.PUBREL, 4711))
    answer = client.expect(Type.PUBCOMP)
    assert answer.packet_id == 4711
    if version is Version.V5:
        assert answer.reason == Reason.PACKET_IDENTIFIER_NOT_FOUND


@pytest.mark.statement("MQTT-3.6.2-1")
@pytest.mark.only(Version.V5)
def test_a_pubrec_for_an_unknown_identifier(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.acknowledge(version, Type.PUBREC, 4711))
    answer = client.expect(Type.PUBREL)
    assert (answer.packet_id, answer.reason) == (4711, Reason.PACKET_IDENTIFIER_NOT_FOUND)


def test_a_pubcomp_that_nothing_waits_for(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.acknowledge(version, Type.PUBCOMP, 4711))
    client.expect_nothing()


@pytest.mark.statement("MQTT-4.4.0-2", "MQTT-4.3.3-4")
@pytest.mark.only(Version.V5)
def test_a_negative_pubrec_ends_the_delivery(space: Space, version: Version) -> None:
    who = space.identity()
    topic = space.topic("a")
    client = space.durable(version, who)
    client.subscribe(topic, qos=2)
    publisher = space.client(version)
    publisher.publish(topic, b"unwanted", 2)
    message = client.expect(Type.PUBLISH)
    assert message.packet_id is not None
    client.send(wire.acknowledge(version, Type.PUBREC, message.packet_id, Reason.UNSPECIFIED))
    client.expect_nothing()
    client.cut()
    again = space.durable(version, who, session=True)
    again.expect_nothing()
    publisher.publish(topic, b"next", 2)
    assert again.message().payload == b"next"


@pytest.mark.statement("MQTT-4.3.3-9")
@pytest.mark.only(Version.V5)
def test_after_a_negative_pubrec_the_identifier_is_free(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.publish(version, "not/mine", b"x", qos=2, packet_id=5))
    assert client.expect(Type.PUBREC).reason == Reason.NOT_AUTHORIZED
    topic = space.topic("a")
    client.subscribe(topic)
    client.send(wire.publish(version, topic, b"mine", qos=2, packet_id=5))
    assert client.answer(Type.PUBREC).reason == Reason.SUCCESS
    client.send(wire.acknowledge(version, Type.PUBREL, 5))
    client.answer(Type.PUBCOMP)
    assert client.message().payload == b"mine"


def test_a_puback_does_not_answer_a_qos_2_message(space: Space, version: Version) -> None:
    """The wrong answer is an error or is passed over; the message is not taken as delivered."""
    who = space.identity()
    topic = space.topic("a")
    client = space.durable(version, who)
    client.subscribe(topic, qos=2)
    space.client(version).publish(topic, b"x", 2)
    message = client.expect(Type.PUBLISH)
    assert message.packet_id is not None
    client.send(wire.acknowledge(version, Type.PUBACK, message.packet_id))
    client.cut()
    again = space.durable(version, who, session=True)
    assert again.message().payload == b"x"


def test_a_pubrec_does_not_answer_a_qos_1_message(space: Space, version: Version) -> None:
    who = space.identity()
    topic = space.topic("a")
    client = space.durable(version, who)
    client.subscribe(topic, qos=1)
    space.client(version).publish(topic, b"x", 1)
    message = client.expect(Type.PUBLISH)
    assert message.packet_id is not None
    client.send(wire.acknowledge(version, Type.PUBREC, message.packet_id))
    client.cut()
    again = space.durable(version, who, session=True)
    assert again.message().payload == b"x"
