"""AUTH and enhanced authentication (5.0, 3.15 and 4.12): Motte has none and says so."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Property, Reason, Version

pytestmark = pytest.mark.only(Version.V5)

METHOD = (Property.AUTHENTICATION_METHOD, "SCRAM-SHA-256")


@pytest.mark.statement("MQTT-4.12.0-1", "MQTT-4.12.0-6")
@pytest.mark.parametrize("data", [True, False])
def test_a_method_is_refused(space: Space, version: Version, data: bool) -> None:
    client = space.open(version)
    pairs: list[tuple[int, wire.PropertyValue]] = [METHOD]
    if data:
        pairs.append((Property.AUTHENTICATION_DATA, b"n,,n=user"))
    client.send(wire.connect(version, client.client_id, properties=pairs))
    client.expect_refused(Reason.BAD_AUTHENTICATION_METHOD)


@pytest.mark.statement("MQTT-4.12.0-7", "MQTT-4.13.1-1")
@pytest.mark.parametrize("reason", [0x00, 0x18, 0x19])
def test_auth_without_a_method_in_connect(space: Space, version: Version, reason: int) -> None:
    client = space.client(version)
    client.send(wire.auth(reason, [METHOD]))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.BAD_AUTHENTICATION_METHOD)


@pytest.mark.statement("MQTT-4.12.1-1")
def test_re_authentication_without_a_method(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.frame(0xF0))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.BAD_AUTHENTICATION_METHOD)


@pytest.mark.statement("MQTT-3.15.2-1", "MQTT-4.13.1-1")
@pytest.mark.parametrize("reason", [0x01, 0x80, 0xFF])
def test_reasons_that_auth_does_not_have(space: Space, version: Version, reason: int) -> None:
    client = space.client(version)
    client.send(wire.auth(reason, [METHOD]))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-4.13.1-1")
def test_properties_that_auth_does_not_have(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.auth(0x18, [METHOD, (Property.RECEIVE_MAXIMUM, 1)]))
    client.expect_closed(
        Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET, Reason.BAD_AUTHENTICATION_METHOD
    )
