"""Strings, integers and pairs (1.5)."""

from collections.abc import Callable

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Property, Reason, Version

ILL_FORMED = {
    "continuation missing": b"\xc3\x28",
    "overlong slash": b"\xc0\xaf",
    "overlong nul": b"\xc0\x80",
    "surrogate": b"\xed\xa0\x80",
    "surrogate pair (CESU-8)": b"\xed\xa0\x81\xed\xb0\x80",
    "beyond U+10FFFF": b"\xf4\x90\x80\x80",
    "lone continuation": b"\x80",
    "cut short": b"\xe2\x82",
    "never a lead byte": b"\xff",
}

PLACES: dict[str, Callable[[Version, bytes], bytes]] = {
    "topic name": wire.publish,
    "filter": lambda version, text: wire.subscribe(version, 1, [(text, 0)]),
    "filter to end": lambda version, text: wire.unsubscribe(version, 1, [text]),
}


@pytest.mark.statement(v311="MQTT-1.5.3-1", v5=("MQTT-1.5.4-1", "MQTT-4.13.1-1"))
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", ILL_FORMED.values(), ids=ILL_FORMED)
def test_ill_formed_utf8_ends_the_connection(
    space: Space, version: Version, place: str, text: bytes
) -> None:
    client = space.client(version)
    client.send(PLACES[place](version, space.topic("").encode() + text))
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement(v311="MQTT-1.5.3-1", v5="MQTT-1.5.4-1")
@pytest.mark.parametrize("field", ["client id", "user name", "will topic"])
def test_ill_formed_utf8_in_connect(space: Space, version: Version, field: str) -> None:
    client = space.open(version)
    bad = b"\xc3\x28"
    client.send(
        wire.connect(
            version,
            bad if field == "client id" else client.client_id,
            username=bad if field == "user name" else None,
            will=wire.Will(bad) if field == "will topic" else None,
        )
    )
    client.expect_refused(Reason.MALFORMED_PACKET)


@pytest.mark.statement(v311=("MQTT-1.5.3-2", "MQTT-4.7.3-2"), v5=("MQTT-1.5.4-2", "MQTT-4.7.3-2"))
@pytest.mark.parametrize("place", PLACES)
def test_the_null_character_ends_the_connection(space: Space, version: Version, place: str) -> None:
    client = space.client(version)
    client.send(PLACES[place](version, space.topic("a\0b").encode()))
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement(v311="MQTT-1.5.3-2", v5="MQTT-1.5.4-2")
def test_the_null_character_in_a_client_id(space: Space, version: Version) -> None:
    client = space.open(version)
    client.send(wire.connect(version, client.client_id + "\0"))
    client.expect_refused(Reason.MALFORMED_PACKET)


@pytest.mark.statement(v311=("MQTT-1.5.3-3", "MQTT-4.7.3-4"), v5=("MQTT-1.5.4-3", "MQTT-4.7.3-4"))
def test_a_byte_order_mark_is_a_character(space: Space, version: Version) -> None:
    client = space.client(version)
    marked, bare = space.topic("\ufeffx"), space.topic("x")
    assert client.subscribe(marked) == (0,)
    client.publish(bare, b"bare")
    client.publish(marked, b"marked")
    message = client.message()
    assert (message.topic, message.payload) == (marked, b"marked")
    client.expect_nothing()


@pytest.mark.parametrize("code", [0x01, 0x0A, 0x1B, 0x1F, 0x7F, 0x9F, 0xFFFE, 0xFFFF, 0x1FFFF])
@pytest.mark.parametrize("place", PLACES)
def test_disallowed_code_points_are_refused(
    space: Space, version: Version, place: str, code: int
) -> None:
    """The standard lets a server refuse them (5.0, 1.5.4 and 5.4.9); Motte does, everywhere."""
    client = space.client(version)
    client.send(PLACES[place](version, space.topic("a" + chr(code)).encode()))
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement("MQTT-1.5.5-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize(
    "packet",
    [
        *{
            "remaining length": b"\xc0\x80\x00",
            "property length": b"\x82\x08\x00\x01\x80\x00\x00\x01a\x00",
            "property identifier": b"\x82\x0a\x00\x01\x03\x8b\x00\x01\x00\x01a\x00",
            "property value": b"\x82\x0a\x00\x01\x03\x0b\x81\x00\x00\x01a\x00",
        }.items()
    ],
    ids=lambda item: item[0],
)
def test_an_integer_longer_than_it_need_be(
    space: Space, version: Version, packet: tuple[str, bytes]
) -> None:
    client = space.client(version)
    client.send(packet[1])
    client.expect_closed(Reason.MALFORMED_PACKET)


@pytest.mark.statement(v311="MQTT-4.8.0-1", v5="MQTT-4.13.1-1")
@pytest.mark.parametrize("first", [0x30, 0x82, 0xC0])
def test_a_remaining_length_of_five_bytes(space: Space, version: Version, first: int) -> None:
    client = space.client(version)
    client.send(bytes([first]) + b"\xff\xff\xff\xff\x01")
    client.expect_closed(Reason.MALFORMED_PACKET, Reason.PACKET_TOO_LARGE)


@pytest.mark.statement("MQTT-1.5.7-1")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("name", [True, False])
@pytest.mark.parametrize("bad", [b"\xc3\x28", b"a\0"])
def test_an_ill_formed_user_property(
    space: Space, version: Version, name: bool, bad: bytes
) -> None:
    client = space.client(version)
    good = wire.text("x")
    pair = wire.text(bad) + good if name else good + wire.text(bad)
    block = bytes([Property.USER_PROPERTY]) + pair
    client.send(
        wire.publish(version, space.topic("a"), properties=wire.variable(len(block)) + block)
    )
    client.expect_closed(Reason.MALFORMED_PACKET)
