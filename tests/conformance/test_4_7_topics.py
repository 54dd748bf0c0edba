"""Topic names and topic filters (4.7)."""

import pytest

from tests.support import wire
from tests.support.space import Space
from tests.support.wire import Reason, Type, Version

MATCHES = [
    # filter, topic, matches
    ("a/#", "a", True),
    ("a/#", "a/b", True),
    ("a/#", "a/b/c/d", True),
    ("a/#", "a/", True),
    ("a/#", "ab", False),
    ("a/#", "A/b", False),
    ("a/+", "a", False),
    ("a/+", "a/b", True),
    ("a/+", "a/", True),
    ("a/+", "a/b/c", False),
    ("+/b", "a/b", True),
    ("+/b", "/b", True),
    ("+/+", "/b", True),
    ("+", "a", True),
    ("+", "a/b", False),
    ("a/+/c", "a/b/c", True),
    ("a/+/c", "a//c", True),
    ("a/+/c", "a/c", False),
    ("+/+/#", "a/b", True),
    ("+/+/#", "a", False),
    ("a/b", "a/b", True),
    ("a/b", "a/b/", False),
    ("a/b/", "a/b", False),
    ("a//b", "a/b", False),
    ("a//b", "a//b", True),
    ("A", "a", False),
    ("é", "é", True),
    ("é", "e\u0301", False),
    ("a b", "a b", True),
    ("a/$b", "a/$b", True),
    ("a/+", "a/$b", True),
]


@pytest.mark.statement(
    "MQTT-4.7.1-2",
    "MQTT-4.7.3-4",
    v311=("MQTT-4.7.1-3", "MQTT-3.3.2-3"),
    v5=("MQTT-4.7.1-1", "MQTT-3.3.2-3"),
)
@pytest.mark.parametrize(("topic_filter", "topic", "matches"), MATCHES)
@pytest.mark.parametrize("path", ["live", "retained"])
def test_matching(
    space: Space, version: Version, topic_filter: str, topic: str, matches: bool, path: str
) -> None:
    reader = space.client(version)
    publisher = space.client(version)
    if path == "retained":
        publisher.publish(space.topic(topic), b"x", retain=True)
    assert reader.subscribe(space.topic(topic_filter)) == (0,)
    if path == "live":
        publisher.publish(space.topic(topic), b"x")
    assert [packet.payload for packet in reader.fence()] == [b"x"] * matches


@pytest.mark.statement("MQTT-4.7.2-1")
@pytest.mark.parametrize("path", ["live", "retained"])
@pytest.mark.parametrize("topic_filter", ["#", "+/#", "+/+", "+/+/x"])
def test_wildcards_at_the_front_do_not_match_dollar_topics(
    space: Space, version: Version, topic_filter: str, path: str
) -> None:
    """The observer may hear everything, and one role owns topics that begin with `$own`."""
    owner = space.client(version, space.service("owner", "dollar"))
    topics = (f"$own/{space.site}", f"$own/{space.site}/x")
    owner.subscribe(*topics)
    observer = space.client(version, space.service("observer", "observer"))
    for topic in topics:
        owner.publish(topic, topic.encode(), retain=path == "retained")
    assert observer.subscribe(topic_filter) == (0,)
    for topic in topics:
        owner.publish(topic, topic.encode(), retain=path == "retained")
    assert [owner.message().topic for _ in range(4)] == [*topics, *topics]
    assert all(not packet.topic.startswith("$") for packet in observer.fence())


@pytest.mark.statement("MQTT-4.7.3-3", "MQTT-4.7.3-1")
def test_topics_at_the_length_limit(space: Space, version: Version) -> None:
    """The standard's bound is 65,535 bytes; Motte's own is 1,024, and one past it is refused."""
    client = space.client(version)
    longest = space.topic("x" * (1024 - len(space.topic(""))))
    assert client.subscribe(longest) == (0,)
    client.publish(longest, b"x")
    assert client.message().topic == longest
    client.send(wire.publish(version, longest + "x", b"y"))
    client.expect_closed(
        Reason.TOPIC_NAME_INVALID, Reason.MALFORMED_PACKET, Reason.IMPLEMENTATION_SPECIFIC
    )


@pytest.mark.statement(v311="MQTT-4.7.3-4", v5="MQTT-4.7.3-4")
def test_empty_levels_are_levels(space: Space, version: Version) -> None:
    client = space.client(version)
    names = ["", "/", "//", "a/", "/a", "a//b"]
    for leaf in names:
        assert client.subscribe(space.topic(leaf)) == (0,)
        client.publish(space.topic(leaf), leaf.encode())
        assert [packet.topic for packet in client.fence()] == [space.topic(leaf)]


@pytest.mark.statement("MQTT-4.7.3-4")
def test_case_matters(space: Space, version: Version) -> None:
    client = space.client(version)
    client.subscribe(space.topic("Abc"))
    for leaf in ("abc", "ABC", "Abc"):
        client.publish(space.topic(leaf), leaf.encode())
    assert [packet.payload for packet in client.fence()] == [b"Abc"]


def test_a_topic_of_many_levels(space: Space, version: Version) -> None:
    """32 levels are the most that Motte takes, in names and in filters."""
    client = space.client(version)
    deep = "/".join(["t", space.site] + ["x"] * 30)
    assert client.subscribe(deep) == (0,)
    client.publish(deep, b"x")
    assert client.message().payload == b"x"
    client.send(wire.subscribe(version, 9, [(deep + "/x", 0)]))
    packet = client.receive() if version is Version.V5 else None
    if packet is None:
        client.expect_closed()
    elif packet.type is Type.SUBACK:
        assert packet.reasons[0] >= Reason.UNSPECIFIED
    else:
        assert packet.type is Type.DISCONNECT
