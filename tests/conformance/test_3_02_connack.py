"""CONNACK (3.2)."""

import pytest

from tests.support import wire
from tests.support.policy import LIMITS
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version


@pytest.mark.statement("MQTT-3.2.0-1")
def test_connack_comes_first(space: Space, version: Version) -> None:
    """Even where messages of a session are waiting."""
    who = space.identity()
    topic = space.topic("a")
    first = space.durable(version, who)
    first.subscribe(topic, qos=1)
    first.cut()
    space.client(version).publish(topic, b"waiting", 1)
    second = space.open(version, who)
    second.send(wire.connect(version, who.id, clean_start=False))
    assert second.receive().type is Type.CONNACK
    assert second.message().payload == b"waiting"


@pytest.mark.statement("MQTT-3.2.0-2")
@pytest.mark.only(Version.V5)
def test_there_is_one_connack(space: Space, version: Version) -> None:
    client = space.client(version)
    client.expect_nothing()
    client.send(wire.connect(version, client.client_id))
    client.expect_closed(Reason.PROTOCOL_ERROR)


@pytest.mark.statement(v311=("MQTT-3.2.2-4", "MQTT-3.2.2-5"), v5=("MQTT-3.2.2-6", "MQTT-3.2.2-7"))
def test_a_refusal_says_no_session_and_closes(space: Space, version: Version) -> None:
    """A session exists, and a refusal by the user name does not reveal it."""
    who = space.identity()
    space.durable(version, who).cut()
    client = space.open(version, who)
    client.send(wire.connect(version, who.id, clean_start=False, username="somebody-else"))
    client.expect_refused(Reason.NOT_AUTHORIZED, code=5)
    space.durable(version, who, session=True)


@pytest.mark.statement(v311="MQTT-3.2.2-1", v5=("MQTT-3.2.2-1", "MQTT-3.2.2-2"))
def test_session_present_is_0_for_a_clean_start(space: Space, version: Version) -> None:
    who = space.identity()
    space.durable(version, who, session=False).cut()
    space.durable(version, who, session=True).cut()
    space.durable(version, who, clean_start=True, session=False)


@pytest.mark.only(Version.V5)
def test_what_the_server_takes(space: Space, version: Version) -> None:
    client = space.client(version)
    connack = client.connack
    assert connack is not None
    assert connack.number(Property.RECEIVE_MAXIMUM) == LIMITS["inflight"]
    assert connack.number(Property.TOPIC_ALIAS_MAXIMUM) == LIMITS["topic_aliases"]
    assert connack.number(Property.MAXIMUM_PACKET_SIZE) == LIMITS["packet"]
    assert connack.number(Property.SHARED_SUBSCRIPTION_AVAILABLE) in (None, 1)
    assert connack.number(Property.MAXIMUM_QOS) is None
    assert connack.number(Property.RETAIN_AVAILABLE) in (None, 1)
    assert connack.number(Property.SUBSCRIPTION_IDENTIFIERS_AVAILABLE) in (None, 1)
    assert connack.text(Property.ASSIGNED_CLIENT_IDENTIFIER) is None
    assert connack.text(Property.AUTHENTICATION_METHOD) is None


@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("granted", [True, False])
def test_wildcards_are_announced_by_role(space: Space, version: Version, granted: bool) -> None:
    who = space.identity() if granted else space.device(group="plain")
    connack = space.client(version, who).connack
    assert connack is not None
    assert (connack.number(Property.WILDCARD_SUBSCRIPTION_AVAILABLE) in (None, 1)) is granted


@pytest.mark.statement("MQTT-3.2.2-21")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (LIMITS["keep_alive"], None),
        (LIMITS["keep_alive"] + 1, LIMITS["keep_alive"]),
        (65535, LIMITS["keep_alive"]),
        (0, LIMITS["keep_alive"]),
    ],
)
def test_server_keep_alive(space: Space, version: Version, asked: int, told: int | None) -> None:
    connack = space.client(version, keep_alive=asked).connack
    assert connack is not None
    assert connack.number(Property.SERVER_KEEP_ALIVE) == told


@pytest.mark.only(Version.V5)
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (LIMITS["session_expiry"], None),
        (LIMITS["session_expiry"] + 1, LIMITS["session_expiry"]),
        (0xFFFFFFFF, LIMITS["session_expiry"]),
    ],
)
def test_the_session_expiry_is_capped_and_told(
    space: Space, version: Version, asked: int, told: int | None
) -> None:
    pairs = [(Property.SESSION_EXPIRY_INTERVAL, asked)]
    connack = space.client(version, properties=pairs).connack
    assert connack is not None
    assert connack.number(Property.SESSION_EXPIRY_INTERVAL) in (told, told or asked)


@pytest.mark.statement("MQTT-3.2.2-16", "MQTT-3.1.3-6")
@pytest.mark.only(Version.V5)
def test_assigned_client_identifiers_differ(space: Space, version: Version) -> None:
    who = space.identity()
    seen = set()
    for _ in range(5):
        client = space.open(version, who)
        seen.add(client.connect("").text(Property.ASSIGNED_CLIENT_IDENTIFIER))
        client.disconnect()
    assert len(seen) == 5


@pytest.mark.statement("MQTT-3.2.2-19", "MQTT-3.2.2-20")
@pytest.mark.only(Version.V5)
def test_a_refusal_fits_the_clients_maximum_packet_size(space: Space, version: Version) -> None:
    client = space.open(version)
    pairs = [(Property.MAXIMUM_PACKET_SIZE, 20)]
    client.send(wire.connect(version, "somebody-else", properties=pairs))
    connack = client.expect_refused(Reason.CLIENT_IDENTIFIER_NOT_VALID)
    assert connack is not None
    assert connack.size <= 20


@pytest.mark.statement(v5="MQTT-3.2.2-15")
@pytest.mark.parametrize("excess", [0, 1])
def test_a_packet_larger_than_the_server_takes(space: Space, version: Version, excess: int) -> None:
    client = space.client(version)
    packet = wire.publish(version, space.topic("a"))
    room = LIMITS["packet"] + excess - len(packet)
    # The Remaining Length of so large a packet takes two bytes more.
    client.send(wire.publish(version, space.topic("a"), b"x" * (room - 2)))
    if excess:
        client.expect_closed(Reason.PACKET_TOO_LARGE)
    else:
        # The decoder takes it. That the payload is above the role's own limit has no answer here.
        client.expect_nothing()


@pytest.mark.statement("MQTT-3.2.2-17", "MQTT-3.2.2-18", "MQTT-3.3.2-9", "MQTT-3.3.2-12")
@pytest.mark.only(Version.V5)
def test_the_topic_alias_maximum_holds(space: Space, version: Version) -> None:
    client = space.client(version)
    maximum = LIMITS["topic_aliases"]
    for alias in range(1, maximum + 1):
        client.publish(space.topic("a"), b"x", properties=[(Property.TOPIC_ALIAS, alias)])
    over = [(Property.TOPIC_ALIAS, maximum + 1)]
    client.send(wire.publish(version, space.topic("a"), properties=over))
    client.expect_closed(Reason.TOPIC_ALIAS_INVALID)
