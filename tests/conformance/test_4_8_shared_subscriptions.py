"""Shared subscriptions (5.0, section 4.8.2); 3.1.1 clients may have them as well."""

from __future__ import annotations

import pytest

from tests.support import wire
from tests.support.client import Client
from tests.support.space import Identity, Space
from tests.support.wire import Property, Reason, Type, Version

FAILURE_311 = 0x80


def shared(space: Space, rest: str = "a", group: str = "crew") -> str:
    return f"$share/{group}/" + space.topic(rest)


def crew(space: Space, version: Version, size: int, qos: int) -> list[tuple[Identity, Client]]:
    """Members with lasting sessions, in the order of their turns."""
    members = []
    for number in range(size):
        who = space.identity(f"member-{number}")
        client = space.durable(version, who)
        assert client.subscribe(shared(space), qos=qos) == (qos,)
        members.append((who, client))
    return members


@pytest.mark.statement(v5=("MQTT-4.8.2-1", "MQTT-4.8.2-2"))
@pytest.mark.parametrize(
    "malformed", ["$share/", "$share//a", "$share/g", "$share/g/", "$share/+/a", "$share/a#/b"]
)
def test_what_is_malformed(space: Space, version: Version, malformed: str) -> None:
    client = space.client(version)
    client.send(wire.subscribe(version, 1, [(malformed, 0)]))
    for packet in client.receive_or_closed():
        reason = packet.reasons[0] if packet.type is Type.SUBACK else packet.reason
        assert reason in (
            FAILURE_311,
            Reason.TOPIC_FILTER_INVALID,
            Reason.MALFORMED_PACKET,
            Reason.PROTOCOL_ERROR,
        )


@pytest.mark.statement(v5=("MQTT-4.8.2-1", "MQTT-4.8.2-2"))
def test_the_group_is_a_name_of_any_length(space: Space, version: Version) -> None:
    space.role("named", kind="service", subscribe=["x/{site}/#"], share=["g", "g" * 64])
    client = space.client(version, space.service("named", "named"))
    topic = f"x/{space.site}/a"
    assert client.subscribe(f"$share/g/{topic}", f"$share/{'g' * 64}/{topic}") == (0, 0)


@pytest.mark.statement("MQTT-3.8.3-4")
@pytest.mark.only(Version.V5)
def test_no_local(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.subscribe(version, 1, [(shared(space), wire.options(no_local=True))]))
    client.expect_closed(Reason.PROTOCOL_ERROR)


@pytest.mark.only(Version.V5)
def test_the_codes_of_a_refusal(space: Space, version: Version) -> None:
    """No right to any group: 0x9E, as CONNACK has said. No right to this one: 0x87."""
    member, plain = space.client(version), space.client(version, space.device("plain", "plain"))
    for client, available in ((member, None), (plain, 0)):
        assert client.connack is not None
        assert client.connack.number(Property.SHARED_SUBSCRIPTION_AVAILABLE) == available
    assert member.subscribe(
        shared(space), shared(space, group="theirs"), "$share/crew/not/mine", "$share/crew/#"
    ) == (0, Reason.NOT_AUTHORIZED, Reason.NOT_AUTHORIZED, Reason.NOT_AUTHORIZED)
    assert plain.subscribe(shared(space)) == (Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_each_message_goes_to_one_member_in_turn(space: Space, version: Version, qos: int) -> None:
    members = [client for _, client in crew(space, version, 3, qos)]
    publisher = space.client(version)
    for number in range(6):
        publisher.publish(space.topic("a"), b"%d" % number, qos)
    for number, member in enumerate(members):
        payloads = [member.message().payload, member.message().payload]
        assert payloads == [b"%d" % number, b"%d" % (number + 3)]
        member.expect_nothing()


def test_each_group_and_each_plain_subscription_has_its_copy(
    space: Space, version: Version
) -> None:
    client, other = space.client(version), space.client(version)
    filters = (shared(space), shared(space, "+"), shared(space, group="other"), space.topic("a"))
    assert client.subscribe(*filters) == (0, 0, 0, 0)
    assert other.subscribe(shared(space, group="other")) == (0,)
    space.client(version).publish(space.topic("a"), b"x")
    assert len(client.fence()) + len(other.fence()) == len(filters)


@pytest.mark.statement(v5="MQTT-4.8.2-3")
def test_each_member_has_its_own_qos(space: Space, version: Version) -> None:
    members = [space.client(version) for _ in range(3)]
    for qos, member in enumerate(members):
        assert member.subscribe(shared(space), qos=qos) == (qos,)
    publisher = space.client(version)
    for _ in members:
        publisher.publish(space.topic("a"), b"x", 2)
    assert [member.message().qos for member in members] == [0, 1, 2]


@pytest.mark.only(Version.V5)
def test_each_member_has_its_own_identifier(space: Space, version: Version) -> None:
    members = [space.client(version) for _ in range(2)]
    for number, member in enumerate(members):
        assert member.subscribe(shared(space), identifier=number + 1) == (0,)
    publisher = space.client(version)
    for _ in members:
        publisher.publish(space.topic("a"), b"x")
    found = [member.message().all(Property.SUBSCRIPTION_IDENTIFIER) for member in members]
    assert found == [[1], [2]]


@pytest.mark.parametrize("handling", [0, 1])
def test_retained_messages_are_not_sent(space: Space, version: Version, handling: int) -> None:
    space.client(version).publish(space.topic("a"), b"old", 1, retain=True)
    client = space.client(version)
    handling = handling if version is Version.V5 else 0
    assert client.subscribe(shared(space), qos=1, retain_handling=handling) == (1,)
    client.expect_nothing()


@pytest.mark.statement(v5="MQTT-4.8.2-4")
@pytest.mark.parametrize("received", [False, True], ids=["published", "received"])
def test_qos_2_is_completed_with_its_receiver(
    space: Space, version: Version, received: bool
) -> None:
    (who, first), (_, second) = crew(space, version, 2, 2)
    space.client(version).publish(space.topic("a"), b"x", 2)
    message = first.expect(Type.PUBLISH)
    assert message.packet_id is not None
    if received:
        first.send(wire.acknowledge(version, Type.PUBREC, message.packet_id))
        first.expect(Type.PUBREL)
    first.cut()
    second.expect_nothing()
    again = space.durable(version, who, session=True)
    if received:
        assert again.expect(Type.PUBREL).packet_id == message.packet_id
        again.send(wire.acknowledge(version, Type.PUBCOMP, message.packet_id))
    else:
        assert again.message().payload == b"x"
    again.expect_nothing()
    second.expect_nothing()


@pytest.mark.statement(v5="MQTT-4.8.2-5")
def test_qos_2_ends_with_the_session_of_its_receiver(space: Space, version: Version) -> None:
    (who, first), (_, second) = crew(space, version, 2, 2)
    publisher = space.client(version)
    publisher.publish(space.topic("a"), b"x", 2)
    first.expect(Type.PUBLISH)
    first.cut()
    space.client(version, who, session=False)
    publisher.publish(space.topic("a"), b"next", 2)
    assert second.message().payload == b"next"
    second.expect_nothing()


def test_qos_1_goes_to_another_member_when_the_connection_breaks(
    space: Space, version: Version
) -> None:
    (who, first), (_, second) = crew(space, version, 2, 1)
    space.client(version).publish(space.topic("a"), b"x", 1)
    first.expect(Type.PUBLISH)
    first.cut()
    moved = second.message()
    assert (moved.payload, moved.dup) == (b"x", False)
    space.durable(version, who, session=True).expect_nothing()


@pytest.mark.statement("MQTT-4.8.2-6")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize(("qos", "kind"), [(1, Type.PUBACK), (2, Type.PUBREC)])
def test_a_refused_message_is_sent_to_nobody_else(
    space: Space, version: Version, qos: int, kind: Type
) -> None:
    (_, first), (_, second) = crew(space, version, 2, qos)
    publisher = space.client(version)
    publisher.publish(space.topic("a"), b"x", qos)
    message = first.expect(Type.PUBLISH)
    assert message.packet_id is not None
    first.send(wire.acknowledge(version, kind, message.packet_id, Reason.UNSPECIFIED))
    first.expect_nothing()
    first.cut()
    publisher.publish(space.topic("a"), b"next", qos)
    assert second.message().payload == b"next"
    second.expect_nothing()


def test_who_unsubscribes_is_in_the_group_no_more(space: Space, version: Version) -> None:
    (_, first), (_, second) = crew(space, version, 2, 1)
    first.unsubscribe(shared(space))
    publisher = space.client(version)
    for number in range(3):
        publisher.publish(space.topic("a"), b"%d" % number, 1)
    assert [second.message().payload for _ in range(3)] == [b"0", b"1", b"2"]
    first.expect_nothing()
