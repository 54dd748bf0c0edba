"""Flow control, request and response, errors (4.8 to 4.13)."""

import pytest

from tests.support import wire
from tests.support.policy import LIMITS
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version


@pytest.mark.statement("MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-3.3.4-9")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("maximum", [1, 2, 5])
@pytest.mark.parametrize("qos", [1, 2])
def test_the_server_keeps_to_the_clients_receive_maximum(
    space: Space, version: Version, maximum: int, qos: int
) -> None:
    client = space.client(version, properties=[(Property.RECEIVE_MAXIMUM, maximum)])
    client.subscribe(space.topic("a"), qos=qos)
    publisher = space.client(version)
    for number in range(maximum + 3):
        publisher.publish(space.topic("a"), bytes([number]), qos)
    window = client.fence()
    assert [packet.payload[0] for packet in window] == list(range(maximum))
    client.complete(window[0])
    assert [packet.payload[0] for packet in client.fence()] == [maximum]


@pytest.mark.statement("MQTT-4.9.0-3", "MQTT-3.3.4-10")
@pytest.mark.only(Version.V5)
def test_a_full_window_stops_nothing_else(space: Space, version: Version) -> None:
    client = space.client(version, properties=[(Property.RECEIVE_MAXIMUM, 1)])
    client.subscribe(space.topic("a"), qos=1)
    client.subscribe(space.topic("b"), qos=0)
    publisher = space.client(version)
    for number in range(3):
        publisher.publish(space.topic("a"), bytes([number]), 1)
    assert len(client.fence()) == 1
    publisher.publish(space.topic("b"), b"qos 0")
    assert client.expect(Type.PUBLISH).payload == b"qos 0"
    assert client.publish(space.topic("c"), b"x", 2) < Reason.UNSPECIFIED
    assert client.subscribe(space.topic("d")) == (0,)
    assert client.unsubscribe(space.topic("d")) == (0,)


@pytest.mark.statement("MQTT-4.9.0-2")
@pytest.mark.only(Version.V5)
def test_a_negative_pubrec_frees_the_window(space: Space, version: Version) -> None:
    client = space.client(version, properties=[(Property.RECEIVE_MAXIMUM, 1)])
    client.subscribe(space.topic("a"), qos=2)
    publisher = space.client(version)
    for payload in (b"1", b"2"):
        publisher.publish(space.topic("a"), payload, 2)
    (first,) = client.fence()
    assert first.packet_id is not None
    client.send(wire.acknowledge(version, Type.PUBREC, first.packet_id, 0x80))
    assert client.message().payload == b"2"


@pytest.mark.statement("MQTT-4.9.0-2")
@pytest.mark.only(Version.V5)
def test_a_pubrec_does_not_free_the_window(space: Space, version: Version) -> None:
    client = space.client(version, properties=[(Property.RECEIVE_MAXIMUM, 1)])
    client.subscribe(space.topic("a"), qos=2)
    publisher = space.client(version)
    for payload in (b"1", b"2"):
        publisher.publish(space.topic("a"), payload, 2)
    (first,) = client.fence()
    assert first.packet_id is not None
    client.send(wire.acknowledge(version, Type.PUBREC, first.packet_id))
    assert [packet.type for packet in client.fence()] == [Type.PUBREL]
    client.send(wire.acknowledge(version, Type.PUBCOMP, first.packet_id))
    assert client.message().payload == b"2"


@pytest.mark.statement("MQTT-4.9.0-1", "MQTT-3.3.4-7")
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("order", ["qos 2", "mixed"])
def test_more_than_the_servers_receive_maximum(space: Space, version: Version, order: str) -> None:
    """QoS 2 messages whose PUBREL is missing count; one more of either kind is too many."""
    client = space.client(version)
    maximum = LIMITS["inflight"]
    for number in range(1, maximum + 1):
        client.send(wire.publish(version, space.topic("a"), qos=2, packet_id=number))
        client.expect(Type.PUBREC)
    qos = 2 if order == "qos 2" else 1
    client.send(wire.publish(version, space.topic("a"), qos=qos, packet_id=maximum + 1))
    client.expect_closed(Reason.RECEIVE_MAXIMUM_EXCEEDED)


@pytest.mark.statement("MQTT-4.9.0-1")
@pytest.mark.only(Version.V5)
def test_an_acknowledged_message_no_longer_counts(space: Space, version: Version) -> None:
    client = space.client(version)
    maximum = LIMITS["inflight"]
    for number in range(1, 2 * maximum):
        client.publish(space.topic("a"), b"x", 2 - number % 2)
    client.expect_nothing()


@pytest.mark.statement(v311="MQTT-4.3.3-2")
@pytest.mark.only(Version.V311)
def test_3_1_1_has_a_bound_too(space: Space, version: Version) -> None:
    """3.1.1 has no Receive Maximum; what one identity can hold open is bounded all the same."""
    client = space.client(version)
    bound = 0
    for number in range(1, 1_000):
        client.send(wire.publish(version, space.topic("a"), qos=2, packet_id=number))
        bound = number
        try:
            client.expect(Type.PUBREC)
        except AssertionError:
            break
    assert bound <= LIMITS["inflight"] + 1


@pytest.mark.statement("MQTT-3.3.2-15", "MQTT-3.3.2-16")
@pytest.mark.only(Version.V5)
def test_a_request_and_its_response(space: Space, version: Version) -> None:
    responder = space.client(version)
    responder.subscribe(space.topic("request"), qos=1)
    requester = space.client(version)
    answers = space.topic("answers")
    requester.subscribe(answers, qos=1)
    pairs: list[tuple[int, wire.PropertyValue]] = [
        (Property.RESPONSE_TOPIC, answers),
        (Property.CORRELATION_DATA, b"\0 7"),
    ]
    requester.publish(space.topic("request"), b"ask", 1, properties=pairs)
    request = responder.message()
    topic = request.text(Property.RESPONSE_TOPIC)
    correlation = request.data(Property.CORRELATION_DATA)
    assert topic == answers
    assert correlation is not None
    back = [(Property.CORRELATION_DATA, correlation)]
    responder.publish(topic, b"told", 1, properties=back)
    response = requester.message()
    assert (response.payload, response.data(Property.CORRELATION_DATA)) == (b"told", b"\0 7")


@pytest.mark.statement(v311=("MQTT-4.8.0-1", "MQTT-4.8.0-2"), v5=("MQTT-4.13.1-1", "MQTT-4.13.2-1"))
@pytest.mark.parametrize(
    "garbage",
    [b"\xff" * 64, b"\x00" * 64, b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)), b"\x30\xff\xff\x7f"],
    ids=["ff", "zeros", "http", "all bytes", "endless"],
)
def test_garbage_on_a_connection(space: Space, version: Version, garbage: bytes) -> None:
    client = space.client(version)
    client.send(garbage)
    client.expect_closed(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR, Reason.PACKET_TOO_LARGE)
