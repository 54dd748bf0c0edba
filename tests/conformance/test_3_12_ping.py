"""PINGREQ and PINGRESP (3.12, 3.13)."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Reason, Type, Version


@pytest.mark.statement("MQTT-3.12.4-1")
def test_a_ping_is_answered(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.PINGREQ)
    assert client.expect(Type.PINGRESP).size == 2


@pytest.mark.statement("MQTT-3.12.4-1")
def test_every_ping_is_answered_once(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.PINGREQ * 7)
    for _ in range(7):
        client.expect(Type.PINGRESP)
    client.expect_nothing()


@pytest.mark.statement(v311="MQTT-2.2.2-2", v5="MQTT-2.1.3-1")
@pytest.mark.parametrize("flags", [1, 2, 4, 8])
def test_a_ping_with_flags_ends_the_connection(space: Space, version: Version, flags: int) -> None:
    client = space.client(version)
    client.send(wire.frame(0xC0 | flags))
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement(v311="MQTT-4.8.0-1", v5="MQTT-4.13.1-1")
def test_a_ping_with_a_body_ends_the_connection(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.frame(0xC0, b"\0"))
    client.expect_closed(Reason.MALFORMED_PACKET)
