"""DISCONNECT (3.14)."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Property, Reason, Version


@pytest.mark.statement("MQTT-3.14.4-3", v311="MQTT-3.14.4-1", v5="MQTT-3.14.4-2")
def test_the_server_closes_after_disconnect(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.disconnect(version))
    assert client.drain() == []


@pytest.mark.statement(v311="MQTT-3.14.4-2", v5="MQTT-3.14.4-1")
def test_nothing_after_disconnect_is_processed(space: Space, version: Version) -> None:
    topic = space.topic("a")
    watcher = space.client(version)
    watcher.subscribe(topic)
    client = space.client(version)
    client.send(wire.disconnect(version), wire.publish(version, topic, b"late"), wire.PINGREQ)
    assert client.drain() == []
    watcher.expect_nothing()


@pytest.mark.statement("MQTT-3.14.0-1")
@pytest.mark.only(Version.V5)
def test_no_disconnect_before_a_connack(space: Space, version: Version) -> None:
    client = space.open(version)
    client.send(wire.frame(0xC1))
    assert client.drain() == []


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("reason", [0x01, 0x87, 0x8B, 0x8E, 0x9C, 0xFF])
def test_reasons_that_a_client_does_not_send(space: Space, version: Version, reason: int) -> None:
    client = space.client(version)
    client.send(wire.disconnect(version, reason))
    client.expect_closed(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)


@pytest.mark.statement("MQTT-3.14.2-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("reason", [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x98, 0x99])
def test_reasons_that_a_client_sends(space: Space, version: Version, reason: int) -> None:
    client = space.client(version)
    client.send(wire.disconnect(version, reason))
    assert client.drain() == []


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.only(Version.V5)
def test_properties_of_the_servers_disconnect(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.disconnect(version, 0, [(Property.SERVER_REFERENCE, "a")]))
    client.expect_closed(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)


@pytest.mark.statement("MQTT-3.1.2-23")
@pytest.mark.only(Version.V5)
def test_disconnect_changes_the_session_expiry(space: Space, version: Version) -> None:
    who = space.identity()
    client = space.durable(version, who, expiry=600)
    client.disconnect(0, [(Property.SESSION_EXPIRY_INTERVAL, 0)])
    client = space.durable(version, who, session=False, expiry=1)
    client.disconnect(0, [(Property.SESSION_EXPIRY_INTERVAL, 600)])
    space.durable(version, who, session=True)


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.only(Version.V5)
def test_a_session_without_expiry_cannot_get_one(space: Space, version: Version) -> None:
    """3.14.2.2.2: a protocol error; the answer is a DISCONNECT, and the session ends."""
    who = space.identity()
    client = space.client(version, who)
    client.send(wire.disconnect(version, 0, [(Property.SESSION_EXPIRY_INTERVAL, 600)]))
    client.expect_closed(Reason.PROTOCOL_ERROR)
    space.durable(version, who, session=False)


@pytest.mark.statement("MQTT-3.14.2-2", "MQTT-3.14.4-1", "MQTT-3.14.2-3", "MQTT-3.14.2-4")
@pytest.mark.only(Version.V5)
def test_the_servers_disconnect(space: Space, version: Version) -> None:
    """The parser refuses a Session Expiry Interval in it; it is small and comes once."""
    client = space.client(version, properties=[(Property.MAXIMUM_PACKET_SIZE, 30)])
    client.send(wire.frame(0xC1))
    last = client.expect_closed(Reason.MALFORMED_PACKET)
    assert last is not None
    assert last.size <= 30


@pytest.mark.statement(v311="MQTT-4.8.0-1", v5="MQTT-4.13.2-1")
def test_an_error_ends_only_its_own_connection(space: Space, version: Version) -> None:
    neighbour = space.client(version)
    topic = space.topic("a")
    neighbour.subscribe(topic)
    client = space.client(version)
    client.send(wire.frame(0x00))
    client.expect_closed()
    neighbour.publish(topic, b"x")
    assert neighbour.message().payload == b"x"


@pytest.mark.only(Version.V5)
def test_user_properties_and_reason_of_a_disconnect(space: Space, version: Version) -> None:
    client = space.client(version)
    pairs: list[tuple[int, wire.PropertyValue]] = [
        (Property.REASON_STRING, "good night"),
        (Property.USER_PROPERTY, ("a", "b")),
    ]
    client.send(wire.disconnect(version, 0, pairs))
    assert client.drain() == []
