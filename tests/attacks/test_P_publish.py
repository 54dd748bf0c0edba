"""Group P: authorization of publications, over the path product."""

import time

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.client import Client
from tests.support.space import Identity
from tests.support.wire import Property, Reason, Type, Version

PATHS = ["live", "retained", "offline queue", "alias"]


def _denied(fleet: Fleet, client: Client, topic: str, qos: int, *, retain: bool = False) -> None:
    """A publication that has to be refused: told in 5.0, acknowledged or closed in 3.1.1."""
    packet_id = client.next_id() if qos else None
    client.send(
        wire.publish(fleet.version, topic, b"stolen", qos=qos, packet_id=packet_id, retain=retain)
    )
    if not qos:
        client.expect_nothing()
        return
    answer = client.expect(Type.PUBACK if qos == 1 else Type.PUBREC)
    assert answer.packet_id == packet_id
    if fleet.version is Version.V5:
        assert answer.reason == Reason.NOT_AUTHORIZED
    elif qos == 2:
        client.send(wire.acknowledge(fleet.version, Type.PUBREL, answer.packet_id or 0))
        client.expect(Type.PUBCOMP)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("path", PATHS)
def test_P1_a_command_to_another_device(fleet: Fleet, path: str, qos: int) -> None:
    if path == "alias" and fleet.version is Version.V311:
        path = "live"
    ear = fleet.ear()
    victim = fleet.victim(durable=True)
    if path == "offline queue":
        victim.cut()
    thief = fleet.attacker()
    if path == "alias":
        # A denied message still sets its alias; using the alias alone is denied again.
        pairs: list[tuple[int, wire.PropertyValue]] = [(Property.TOPIC_ALIAS, 3)]
        for topic in (fleet.b_cmd, ""):
            reason = thief.publish(topic, b"stolen", qos, properties=pairs)
            assert reason == (Reason.NOT_AUTHORIZED if qos else 0)
    else:
        _denied(fleet, thief, fleet.b_cmd, qos, retain=path == "retained")
    fleet.evidence(fleet.a, layer="authorization", topic=fleet.b_cmd, client_id=fleet.a.id)
    assert fleet.heard(ear, fleet.b_cmd) == []
    if path == "offline queue":
        victim = fleet.space.durable(fleet.version, fleet.b, session=True)
    assert fleet.heard(victim, fleet.b_cmd)[:1] != [b"stolen"]
    late = fleet.space.client(fleet.version, fleet.space.service())
    late.expect_nothing()
    again = fleet.ear()
    assert b"stolen" not in fleet.heard(again, fleet.b_cmd)


def test_P1_the_whole_matrix(fleet: Fleet) -> None:
    """Each device to each other's every topic: what is the sender's own arrives, nothing else."""
    ear = fleet.ear()
    devices = [fleet.a, fleet.b, fleet.space.device("c")]
    expected = []
    for sender in devices:
        client = fleet.space.client(fleet.version, sender)
        for owner in devices:
            for leaf in ("tel", "cmd", "state"):
                topic = fleet.space.of(owner, leaf)
                reason = client.publish(topic, sender.id.encode(), 1)
                allowed = sender is owner and leaf != "cmd"
                if allowed:
                    expected.append((topic, sender.id.encode()))
                if fleet.version is Version.V5:
                    assert (reason < 0x80) is allowed
        client.disconnect()
    fleet.service().publish(fleet.a_cmd, b"canary", 1)
    own = [packet for packet in ear.messages_until(b"canary") if fleet.space.site in packet.topic]
    assert [(packet.topic, packet.payload) for packet in own] == expected


DOLLAR = [
    "$SYS/broker/version",
    "$CONTROL/dynamic-security/v1",
    "$share/g/t",
    "$queue/t",
    "$LINK/x",
    "$MQTT/deliver/pubrel",
    "$own/x",
    "$",
    "$/x",
    "$anything",
]


@pytest.mark.parametrize("topic", DOLLAR)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_P2_topics_that_begin_with_a_dollar(fleet: Fleet, topic: str, qos: int) -> None:
    client = fleet.attacker()
    _denied(fleet, client, topic, qos)
    fleet.evidence(fleet.a, layer="authorization", topic=topic)


@pytest.mark.parametrize("topic", ["#", "+", "{site}/dev/+/cmd", "{site}/dev/#", ""])
def test_P3_wildcards_and_nothing_as_a_topic(fleet: Fleet, topic: str) -> None:
    victim = fleet.victim()
    client = fleet.attacker()
    client.send(wire.publish(fleet.version, topic.format(site=fleet.space.site), b"stolen"))
    client.expect_closed()
    assert fleet.heard(victim, fleet.b_cmd) == []


INJECTED = ["+", "#", "a/#", "%2B", "%23", "a%2F%23", "$a", "$SYS", "a b", "%00", "a%0Ab", "é"]


@pytest.mark.parametrize("name", INJECTED)
@pytest.mark.parametrize("place", ["id", "attribute"])
def test_P4_identities_cannot_hold_pattern_characters(fleet: Fleet, name: str, place: str) -> None:
    """Law 9: even the fleet's own authority cannot issue an id that widens a grant."""
    site = fleet.space.site
    if place == "id":
        uri = f"spiffe://home/group/device/site/{site}/device/{name}"
    else:
        uri = f"spiffe://home/group/device/site/{name}/device/x"
    try:
        credential = fleet.space.plane.authority.issue("x", uris=[uri])
    except ValueError:
        # A URI of a certificate is ASCII: such a name cannot even be written down.
        assert not name.isascii()
        return
    client: Client | None = None
    try:
        client = fleet.space.open(fleet.version, Identity("device", "x", uri, credential))
        packet = client.connect("x")
    except (OSError, AssertionError):
        return
    assert packet.reason != 0


@pytest.mark.parametrize("name", [".*", "a-z", "[abc]", "a|b", "(a)", "a.c", "-", "_"])
def test_P5_ids_are_no_regular_expressions(fleet: Fleet, name: str) -> None:
    """Where the alphabet lets such an id exist, it means itself and nothing else."""
    uri = f"spiffe://home/group/device/site/{fleet.space.site}/device/{name}"
    who = Identity("device", name, uri, fleet.space.plane.authority.issue("x", uris=[uri]))
    victim = fleet.victim()
    try:
        client = fleet.space.open(fleet.version, who)
        if client.connect(name).reason != 0:
            return
    except (OSError, AssertionError):
        return
    for topic in (fleet.b_tel, fleet.b_cmd):
        client.publish(topic, b"stolen", 1)
    assert client.subscribe(fleet.b_cmd)[0] >= 0x80
    assert fleet.heard(victim, fleet.b_cmd) == []


def test_P6_an_id_cannot_leave_its_subtree(fleet: Fleet) -> None:
    uri = f"spiffe://home/group/device/site/{fleet.space.site}/device/b/x"
    credential = fleet.space.plane.authority.issue("x", uris=[uri])
    try:
        client = fleet.space.open(fleet.version, Identity("device", "b/x", uri, credential))
        assert client.connect("b/x").reason != 0
    except (OSError, AssertionError):
        return


def test_P7_no_user_name_is_no_special_case(fleet: Fleet) -> None:
    client = fleet.attacker()
    assert client.publish(fleet.a_tel, b"x", 1) < 0x80
    _denied(fleet, client, fleet.b_tel, 1)


@pytest.mark.parametrize("prefix", ["$delayed/5/", "$exclusive/", "$file/", "$queue/", "/", "./"])
def test_P8_a_prefix_opens_no_topic(fleet: Fleet, prefix: str) -> None:
    victim = fleet.victim()
    client = fleet.attacker()
    _denied(fleet, client, prefix + fleet.b_cmd, 1)
    assert fleet.heard(victim, fleet.b_cmd) == []


@pytest.mark.parametrize(
    ("leaf", "qos", "retain", "allowed"),
    [
        ("once", 0, False, True),
        ("once", 1, False, False),
        ("once", 2, False, False),
        ("once", 0, True, False),
        ("tel", 2, False, True),
        ("tel", 0, True, False),
        ("tel", 1, True, False),
        ("state", 2, True, True),
    ],
)
def test_P10_qos_and_retain_are_rights_of_their_own(
    fleet: Fleet, leaf: str, qos: int, retain: bool, allowed: bool
) -> None:
    topic = fleet.space.of(fleet.a, leaf)
    backend = fleet.service()
    assert backend.subscribe(topic, qos=2) == (2,)
    client = fleet.attacker()
    if allowed:
        assert client.publish(topic, b"x", qos, retain=retain) < 0x80
        assert backend.message().payload == b"x"
    else:
        _denied(fleet, client, topic, qos, retain=retain)
        backend.expect_nothing()
        fleet.evidence(fleet.a, layer="authorization", topic=topic)
    late = fleet.space.client(fleet.version, fleet.space.service())
    late.subscribe(topic)
    assert len(late.fence()) == (1 if allowed and retain else 0)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_P12_a_denial_is_told_and_always_logged(fleet: Fleet, qos: int) -> None:
    client = fleet.attacker()
    _denied(fleet, client, fleet.b_cmd, qos)
    record = fleet.evidence(fleet.a, kind="refused", layer="authorization")
    assert record["client_id"] == fleet.a.id
    assert record["topic"] == fleet.b_cmd
    assert record["at_unix_ms"] / 1000 == pytest.approx(time.time(), abs=60)
