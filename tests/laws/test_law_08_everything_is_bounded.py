"""Law 8. Everything per client is bounded: at the limit it works, one past it does not.

Bounds that an attack row already meets from outside: connections and sessions (V9, S10), keep
alive (X1), subscriptions (X9), queue (X8), retained messages (R3), rates (X14), will payload (W7).
"""

import contextlib

import pytest

from tests.support import wire
from tests.support.client import Client
from tests.support.policy import LIMITS
from tests.support.space import Identity, Space
from tests.support.wire import Property, Reason, Type, Version

USER_PROPERTIES = 32
FILTERS = 64
TOPIC_LENGTH = 1024
TOPIC_LEVELS = 32
CONNECT_SIZE = 16 * 1024
EITHER = pytest.mark.parametrize("past", [0, 1], ids=["at the limit", "one past it"])


def _bounded(space: Space, version: Version, **limits: int) -> tuple[Client, Identity]:
    """A client of a role with these limits, which may publish its `tel` and read its `cmd`."""
    space.role(
        "bounded",
        publish=[{"topic": "{site}/dev/{device}/tel", "retain": True}],
        subscribe=["{site}/dev/{device}/cmd"],
        limits=limits,
    )
    who = space.device("bounded", "bounded")
    return space.client(version, who), who


def _refused(client: Client, *reasons: int) -> None:
    """A publication was refused: 5.0 says why, 3.1.1 closes, since it was no lack of rights."""
    if client.version is Version.V5:
        assert client.expect(Type.PUBACK).reason in reasons
    else:
        client.expect_closed()


@EITHER
def test_payload(space: Space, version: Version, past: int) -> None:
    client, who = _bounded(space, version, payload=500)
    topic = space.of(who, "tel")
    client.send(wire.publish(version, topic, b"x" * (500 + past), qos=1, packet_id=1))
    if past:
        _refused(client, Reason.PACKET_TOO_LARGE, Reason.QUOTA_EXCEEDED)
        record = space.plane.await_evidence(identity=who.name, kind="refused")
        assert record["layer"] == "protocol"
    else:
        assert client.expect(Type.PUBACK).reason < 0x80


@EITHER
def test_packet(space: Space, version: Version, past: int) -> None:
    """The whole packet, fixed header included; 5.0 was told the number in CONNACK."""
    client, who = _bounded(space, version, payload=2000, packet=2100)
    if version is Version.V5:
        assert client.connack is not None
        assert client.connack.number(Property.MAXIMUM_PACKET_SIZE) == 2100
    filters = [(b"x" * 1000, 0), (b"y" * 1000, 0), (space.of(who, "cmd").encode(), 0), (b"z", 0)]
    missing = 2100 + past - len(wire.subscribe(version, 1, filters))
    filters[-1] = (b"z" * (1 + missing), 0)
    packet = wire.subscribe(version, 1, filters)
    assert len(packet) == 2100 + past
    client.send(packet)
    if past:
        client.expect_closed(Reason.PACKET_TOO_LARGE)
    else:
        assert len(client.expect(Type.SUBACK).reasons) == 4


@EITHER
@pytest.mark.only(Version.V5)
def test_topic_aliases(space: Space, version: Version, past: int) -> None:
    client, who = _bounded(space, version, topic_aliases=3)
    pairs = [(Property.TOPIC_ALIAS, 3 + past)]
    client.send(wire.publish(version, space.of(who, "tel"), qos=1, packet_id=1, properties=pairs))
    if past:
        client.expect_closed(Reason.TOPIC_ALIAS_INVALID)
    else:
        assert client.expect(Type.PUBACK).reason < 0x80


@pytest.mark.only(Version.V5)
def test_no_topic_aliases(space: Space, version: Version) -> None:
    client, who = _bounded(space, version, topic_aliases=0)
    pairs = [(Property.TOPIC_ALIAS, 1)]
    client.send(wire.publish(version, space.of(who, "tel"), properties=pairs))
    client.expect_closed(Reason.TOPIC_ALIAS_INVALID)


@EITHER
def test_messages_in_flight(space: Space, version: Version, past: int) -> None:
    client, who = _bounded(space, version, inflight=4)
    for number in range(1, 5 + past):
        client.send(wire.publish(version, space.of(who, "tel"), qos=2, packet_id=number))
    for _ in range(4):
        client.expect(Type.PUBREC)
    if past:
        client.expect_closed(Reason.RECEIVE_MAXIMUM_EXCEEDED)
    else:
        client.expect_nothing()


@EITHER
def test_queue_bytes(space: Space, version: Version, past: int) -> None:
    size = 100
    role = space.role("bounded", subscribe=["{site}/dev/{device}/cmd"])
    who = space.device("bounded", "bounded")
    topic = space.of(who, "cmd")
    role["limits"]["queue_bytes"] = 5 * (size + len(topic))
    space.plane.apply()
    client = space.durable(version, who)
    client.subscribe(topic, qos=1)
    client.cut()
    writer = space.client(version, space.service())
    for number in range(5 + past):
        writer.publish(topic, bytes([number]) * size, 1)
    assert len(space.durable(version, who, session=True).fence()) == 5


@EITHER
def test_retained_bytes_of_one_message(space: Space, version: Version, past: int) -> None:
    role = space.role("bounded", publish=[{"topic": "{site}/dev/{device}/tel", "retain": True}])
    who = space.device("bounded", "bounded")
    topic = space.of(who, "tel")
    role["limits"]["retained_bytes"] = 100 + len(topic)
    space.plane.apply()
    client = space.client(version, who)
    client.send(wire.publish(version, topic, b"x" * (100 + past), qos=1, packet_id=1, retain=True))
    if past:
        _refused(client, Reason.QUOTA_EXCEEDED)
    else:
        assert client.expect(Type.PUBACK).reason < 0x80


@EITHER
@pytest.mark.only(Version.V5)
def test_session_expiry(space: Space, version: Version, past: int) -> None:
    _, who = _bounded(space, version, session_expiry=100)
    pairs = [(Property.SESSION_EXPIRY_INTERVAL, 100 + past)]
    connack = space.client(version, who, properties=pairs).connack
    assert connack is not None
    told = connack.number(Property.SESSION_EXPIRY_INTERVAL)
    assert told == 100 if past else told in (None, 100)


@EITHER
def test_connections(space: Space, version: Version, past: int) -> None:
    space.role(
        "bounded",
        subscribe=["{site}/dev/{device}/cmd"],
        limits={"connections": 3, "sessions": 10},
    )
    who = space.device("bounded", "bounded")
    codes = []
    for number in range(3 + past):
        client = space.open(version, who)
        codes.append(client.connect(f"{who.id}:{number}").reason)
    assert codes[:3] == [0, 0, 0]
    if past:
        assert codes[3] == (3 if version is Version.V311 else Reason.QUOTA_EXCEEDED)
        record = space.plane.await_evidence(identity=who.name, kind="refused")
        assert record["layer"] == "quota"


@EITHER
@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("kind", ["PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "CONNECT", "will"])
def test_user_properties(space: Space, version: Version, past: int, kind: str) -> None:
    pairs = [(Property.USER_PROPERTY, ("n", "v"))] * (USER_PROPERTIES + past)
    topic = space.topic("a")
    if kind in ("CONNECT", "will"):
        client = space.open(version)
        client.send(
            wire.connect(
                version,
                client.client_id,
                properties=pairs if kind == "CONNECT" else (),
                will=wire.Will(topic, properties=pairs) if kind == "will" else None,
            )
        )
        packet = client.expect(Type.CONNACK)
        assert (packet.reason != 0) == bool(past)
        return
    client = space.client(version)
    client.send(
        {
            "PUBLISH": wire.publish(version, topic, qos=1, packet_id=1, properties=pairs),
            "SUBSCRIBE": wire.subscribe(version, 1, [(topic, 0)], pairs),
            "UNSUBSCRIBE": wire.unsubscribe(version, 1, [topic], pairs),
        }[kind]
    )
    if past:
        client.expect_closed()
    else:
        assert client.receive().type in (Type.PUBACK, Type.SUBACK, Type.UNSUBACK)


@EITHER
@pytest.mark.parametrize("kind", ["SUBSCRIBE", "UNSUBSCRIBE"])
def test_filters_of_one_packet(space: Space, version: Version, past: int, kind: str) -> None:
    client = space.client(version)
    filters = [space.topic(f"{number % 40}") for number in range(FILTERS + past)]
    if kind == "SUBSCRIBE":
        client.send(wire.subscribe(version, 1, [(each, 0) for each in filters]))
    else:
        client.send(wire.unsubscribe(version, 1, filters))
    if past:
        client.expect_closed()
    else:
        packet = client.expect(Type[kind.replace("SCRIBE", "ACK")])
        assert packet.packet_id == 1


@EITHER
@pytest.mark.parametrize("kind", ["PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "will"])
@pytest.mark.parametrize("what", ["length", "levels"])
def test_topics(space: Space, version: Version, past: int, kind: str, what: str) -> None:
    head = space.topic("")
    if what == "length":
        topic = head + "x" * (TOPIC_LENGTH + past - len(head))
    else:
        topic = "/".join([*head.rstrip("/").split("/"), *("x" * (TOPIC_LEVELS + past - 2))])
        assert topic.count("/") + 1 == TOPIC_LEVELS + past
    if kind == "will":
        client = space.open(version)
        client.send(wire.connect(version, client.client_id, will=wire.Will(topic)))
        found = client.receive_or_closed()
        assert bool(found and found[0].reason == 0) is not bool(past)
        return
    client = space.client(version)
    client.send(
        {
            "PUBLISH": wire.publish(version, topic, qos=1, packet_id=1),
            "SUBSCRIBE": wire.subscribe(version, 1, [(topic, 0)]),
            "UNSUBSCRIBE": wire.unsubscribe(version, 1, [topic]),
        }[kind]
    )
    if past:
        client.expect_closed()
    else:
        assert client.receive().type is not Type.DISCONNECT


@EITHER
def test_the_size_of_connect(space: Space, version: Version, past: int) -> None:
    """Before anybody is known, one packet of 16 KiB is the most."""
    client = space.open(version)
    topic = space.topic("w")
    empty = len(wire.connect(version, client.client_id, will=wire.Will(topic)))
    # The Remaining Length takes two bytes more than in the packet without payload, or one.
    payload = b"x" * (CONNECT_SIZE + past - empty - 2)
    packet = wire.connect(version, client.client_id, will=wire.Will(topic, payload))
    payload += b"x" * (CONNECT_SIZE + past - len(packet))
    packet = wire.connect(version, client.client_id, will=wire.Will(topic, payload))
    assert len(packet) == CONNECT_SIZE + past
    client.send(packet)
    if past:
        for found in client.drain():
            assert found.reason == Reason.PACKET_TOO_LARGE
    else:
        assert client.expect(Type.CONNACK).reason == 0


def test_every_limit_of_a_role_is_announced_or_met_here(space: Space) -> None:
    """A limit that is added to the policy has to be added to these tests."""
    met = {
        "messages_per_second", "message_burst", "bytes_per_second", "byte_burst",
        "payload", "packet", "inflight", "queue_messages", "queue_bytes", "subscriptions",
        "retained_messages", "retained_bytes", "session_expiry", "connections", "keep_alive",
        "topic_aliases", "sessions", "message_expiry",
    }  # fmt: skip
    from motte import _core

    assert set(_core.default_limits("device")) == met == set(LIMITS)
    assert space.plane.policy is not None


def test_a_client_that_never_reads_its_answers(space: Space, version: Version) -> None:
    """A hundred thousand PINGREQ without a look at one answer: it is shut out, others are not."""
    client = space.client(version)
    neighbour = space.client(version)
    client.connection.settimeout(2)
    with contextlib.suppress(OSError):
        for _ in range(200):
            client.connection.sendall(wire.PINGREQ * 5000)
    neighbour.expect_nothing()
    client.cut()
    neighbour.expect_nothing()
