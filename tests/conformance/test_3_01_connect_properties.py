"""Properties of CONNECT (5.0, 3.1.2.11)."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version

pytestmark = pytest.mark.only(Version.V5)

Pairs = list[tuple[int, wire.PropertyValue]]


@pytest.mark.statement("MQTT-4.13.1-1", "MQTT-3.1.4-1")
@pytest.mark.parametrize(
    "pairs",
    [
        [(Property.RECEIVE_MAXIMUM, 0)],
        [(Property.MAXIMUM_PACKET_SIZE, 0)],
        [(Property.REQUEST_PROBLEM_INFORMATION, 2)],
        [(Property.REQUEST_RESPONSE_INFORMATION, 2)],
        [(Property.AUTHENTICATION_DATA, b"x")],
        [(Property.SESSION_EXPIRY_INTERVAL, 1)] * 2,
        [(Property.RECEIVE_MAXIMUM, 1)] * 2,
        [(Property.MAXIMUM_PACKET_SIZE, 100)] * 2,
        [(Property.TOPIC_ALIAS_MAXIMUM, 1)] * 2,
        [(Property.REQUEST_PROBLEM_INFORMATION, 1)] * 2,
        [(Property.REQUEST_RESPONSE_INFORMATION, 1)] * 2,
        [(Property.AUTHENTICATION_METHOD, "a")] * 2,
    ],
    ids=[
        *("receive 0", "size 0", "problem 2", "response 2", "data without method", "expiry twice"),
        *(
            "receive twice",
            "size twice",
            "alias twice",
            "problem twice",
            "response twice",
            "method",
        ),
    ],
)
def test_values_that_are_protocol_errors(space: Space, version: Version, pairs: Pairs) -> None:
    client = space.open(version)
    client.send(wire.connect(version, client.client_id, properties=pairs))
    client.expect_refused(Reason.PROTOCOL_ERROR)


@pytest.mark.statement("MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "pairs",
    [
        [(Property.ASSIGNED_CLIENT_IDENTIFIER, "a")],
        [(Property.SERVER_KEEP_ALIVE, 1)],
        [(Property.REASON_STRING, "a")],
        [(Property.MAXIMUM_QOS, 1)],
        [(Property.TOPIC_ALIAS, 1)],
        [(Property.WILL_DELAY_INTERVAL, 1)],
        [(Property.SERVER_REFERENCE, "a")],
    ],
    ids=lambda pairs: Property(pairs[0][0]).name,
)
def test_properties_of_other_packets(space: Space, version: Version, pairs: Pairs) -> None:
    client = space.open(version)
    client.send(wire.connect(version, client.client_id, properties=pairs))
    client.expect_refused(Reason.MALFORMED_PACKET, Reason.PROTOCOL_ERROR)


@pytest.mark.statement("MQTT-4.1.0-2", "MQTT-3.1.2-23")
def test_a_session_ends_when_its_interval_has_passed(space: Space, version: Version) -> None:
    """The will of a neighbour that is delayed for as long tells when the time has come."""
    topic = space.topic("w")
    watcher = space.client(version)
    watcher.subscribe(topic)
    who = space.identity()
    space.durable(version, who, expiry=1).cut()
    delay = [(Property.WILL_DELAY_INTERVAL, 2)]
    clock = wire.Will(topic, b"later", properties=delay)
    space.durable(version, space.identity(), will=clock).cut()
    assert watcher.message().payload == b"later"
    space.durable(version, who, session=False)


@pytest.mark.statement("MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_larger_than_the_client_takes(space: Space, version: Version, qos: int) -> None:
    topic = space.topic("a")
    small = space.client(version, properties=[(Property.MAXIMUM_PACKET_SIZE, 60)])
    large = space.client(version)
    for client in (small, large):
        client.subscribe(topic, qos=qos)
    publisher = space.client(version)
    publisher.publish(topic, b"x" * 60, qos)
    publisher.publish(topic, b"after", qos)
    assert [large.message().payload, large.message().payload] == [b"x" * 60, b"after"]
    assert small.message().payload == b"after"
    small.expect_nothing()


@pytest.mark.statement("MQTT-3.1.2-24")
@pytest.mark.parametrize("excess", [0, 1])
def test_a_message_at_the_size_that_the_client_takes(
    space: Space, version: Version, excess: int
) -> None:
    topic = space.topic("a")
    limit = len(wire.publish(version, topic, b"x" * 30))
    client = space.client(version, properties=[(Property.MAXIMUM_PACKET_SIZE, limit)])
    client.subscribe(topic)
    publisher = space.client(version)
    publisher.publish(topic, b"x" * (30 + excess))
    publisher.publish(topic, b"canary")
    assert len(client.messages_until(b"canary")) == 1 - excess


@pytest.mark.statement("MQTT-3.1.2-24", "MQTT-3.1.2-25")
def test_a_large_message_does_not_hold_up_the_window(space: Space, version: Version) -> None:
    topic = space.topic("a")
    client = space.client(
        version,
        properties=[(Property.MAXIMUM_PACKET_SIZE, 60), (Property.RECEIVE_MAXIMUM, 1)],
    )
    client.subscribe(topic, qos=1)
    publisher = space.client(version)
    for payload in [b"x" * 60, b"one", b"x" * 60, b"x" * 60, b"two"]:
        publisher.publish(topic, payload, 1)
    assert [client.message().payload, client.message().payload] == [b"one", b"two"]


@pytest.mark.statement("MQTT-3.1.2-27", "MQTT-3.1.2-26", "MQTT-3.3.2-11")
@pytest.mark.parametrize("maximum", [None, 0, 1, 3])
def test_aliases_of_the_server_stay_within_the_maximum(
    space: Space, version: Version, maximum: int | None
) -> None:
    pairs = [] if maximum is None else [(Property.TOPIC_ALIAS_MAXIMUM, maximum)]
    client = space.client(version, properties=pairs)
    client.subscribe(space.topic("#"))
    publisher = space.client(version)
    topics = [space.topic(f"a/{number}") for number in range(5)] * 2
    for topic in topics:
        publisher.publish(topic, b"x")
    known: dict[int, str] = {}
    seen = []
    for _ in topics:
        message = client.message()
        alias = message.number(Property.TOPIC_ALIAS)
        if alias is not None:
            assert 1 <= alias <= (maximum or 0)
            if message.topic:
                known[alias] = message.topic
        seen.append(message.topic or known[alias or 0])
    assert seen == topics


@pytest.mark.statement("MQTT-3.1.2-28")
@pytest.mark.parametrize("asked", [None, 0])
def test_response_information_only_on_request(
    space: Space, version: Version, asked: int | None
) -> None:
    pairs = [] if asked is None else [(Property.REQUEST_RESPONSE_INFORMATION, asked)]
    client = space.client(version, properties=pairs)
    assert client.connack is not None
    assert client.connack.text(Property.RESPONSE_INFORMATION) is None


@pytest.mark.statement("MQTT-3.1.2-29")
def test_no_problem_information_where_it_is_not_wanted(space: Space, version: Version) -> None:
    client = space.client(version, properties=[(Property.REQUEST_PROBLEM_INFORMATION, 0)])
    client.send(
        wire.publish(version, "not/mine", b"x", qos=1, packet_id=1),
        wire.publish(version, "not/mine", b"x", qos=2, packet_id=2),
        wire.subscribe(version, 3, [("not/mine", 0)]),
        wire.unsubscribe(version, 4, ["not/mine"]),
        wire.acknowledge(version, Type.PUBREL, 5),
    )
    answers = client.fence()
    assert [answer.packet_id for answer in answers] == [1, 2, 3, 4, 5]
    assert all(answer.properties == () for answer in answers)


@pytest.mark.statement("MQTT-3.1.2-29")
def test_problem_information_by_default(space: Space, version: Version) -> None:
    client = space.client(version)
    client.send(wire.publish(version, "not/mine", b"x", qos=1, packet_id=1))
    answer = client.expect(Type.PUBACK)
    assert answer.reason == Reason.NOT_AUTHORIZED
    assert answer.text(Property.REASON_STRING)


@pytest.mark.statement("MQTT-4.12.0-1")
def test_an_authentication_method_that_is_not_supported(space: Space, version: Version) -> None:
    client = space.open(version)
    pairs: Pairs = [(Property.AUTHENTICATION_METHOD, "SCRAM-SHA-1")]
    client.send(wire.connect(version, client.client_id, properties=pairs))
    client.expect_refused(Reason.BAD_AUTHENTICATION_METHOD)


@pytest.mark.statement("MQTT-4.13.1-1")
def test_user_properties_may_repeat(space: Space, version: Version) -> None:
    space.client(version, properties=[(Property.USER_PROPERTY, ("a", "b"))] * 5)
