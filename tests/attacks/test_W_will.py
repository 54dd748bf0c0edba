"""Group W: will messages."""

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.policy import LIMITS
from tests.support.wire import Property, Reason, Type, Version

Pairs = list[tuple[int, wire.PropertyValue]]


def _will(
    fleet: Fleet, topic: str, *, qos: int = 0, retain: bool = False, delay: int = 0
) -> wire.Will:
    pairs: Pairs = []
    if delay and fleet.version is Version.V5:
        pairs.append((Property.WILL_DELAY_INTERVAL, delay))
    return wire.Will(topic, b"stolen", qos, retain, pairs)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("delay", [0, 1])
def test_W1_a_will_for_another_device(fleet: Fleet, qos: int, retain: bool, delay: int) -> None:
    victim = fleet.victim()
    client = fleet.space.open(fleet.version, fleet.a)
    will = _will(fleet, fleet.b_cmd, qos=qos, retain=retain, delay=delay)
    client.send(wire.connect(fleet.version, fleet.a.id, will=will))
    client.expect_refused(Reason.NOT_AUTHORIZED, code=5)
    fleet.evidence(fleet.a, layer="authorization", topic=fleet.b_cmd)
    assert fleet.heard(victim, fleet.b_cmd) == []


@pytest.mark.parametrize("topic", ["$SYS/x", "$CONTROL/x", "{site}/dev/#", "+", "a\0b", ""])
@pytest.mark.parametrize("retain", [False, True])
def test_W2_a_will_is_checked_like_a_publication(fleet: Fleet, topic: str, retain: bool) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    named = topic.format(site=fleet.space.site)
    client.send(wire.connect(fleet.version, fleet.a.id, will=_will(fleet, named, retain=retain)))
    packets = client.drain()
    assert all(packet.type is Type.CONNACK and packet.reason for packet in packets)
    if topic.startswith("$"):
        assert packets
        fleet.evidence(fleet.a, layer="authorization", topic=named)


@pytest.mark.parametrize("payload", [b"stolen", b""])
def test_W3_a_retained_will_is_authorized_before_it_is_stored(fleet: Fleet, payload: bytes) -> None:
    """Neither written to B's commands nor used to delete what is retained there."""
    backend = fleet.service()
    backend.publish(fleet.b_cmd, b"kept", 1, retain=True)
    client = fleet.space.open(fleet.version, fleet.a)
    will = wire.Will(fleet.b_cmd, payload, retain=True)
    client.send(wire.connect(fleet.version, fleet.a.id, will=will))
    client.expect_refused(Reason.NOT_AUTHORIZED, code=5)
    victim = fleet.victim()
    assert victim.message().payload == b"kept"
    victim.expect_nothing()


def test_W3_retain_is_a_right_of_its_own(fleet: Fleet) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    will = _will(fleet, fleet.a_tel, retain=True)
    client.send(wire.connect(fleet.version, fleet.a.id, will=will))
    client.expect_refused(Reason.NOT_AUTHORIZED, Reason.RETAIN_NOT_SUPPORTED, code=5)


def test_W3_a_will_is_a_right_of_its_own(fleet: Fleet) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    will = _will(fleet, fleet.space.of(fleet.a, "once"))
    client.send(wire.connect(fleet.version, fleet.a.id, will=will))
    client.expect_refused(Reason.NOT_AUTHORIZED, code=5)


@pytest.mark.parametrize("delay", [0, 1])
@pytest.mark.parametrize("how", ["right removed", "revoked", "quarantined"])
def test_W4_a_right_that_ended_before_the_will_fires(fleet: Fleet, how: str, delay: int) -> None:
    space = fleet.space
    role = space.role(
        "willing",
        publish=["{site}/dev/{device}/will", "{site}/dev/{device}/other"],
        limits={"session_expiry": 600},
    )
    ear = fleet.ear()
    who = space.device("willing", "willing")
    topic = space.of(who, "will")
    pairs: Pairs = []
    if fleet.version is Version.V5:
        pairs = [(Property.SESSION_EXPIRY_INTERVAL, 600)]
    client = space.client(
        fleet.version, who, will=_will(fleet, topic, delay=delay), properties=pairs
    )
    if pairs and delay:
        client.cut()  # the delayed will is waiting while the right ends
    match how:
        case "right removed":
            role["publish"] = role["publish"][1:]
            space.plane.apply()
        case "revoked":
            space.plane.revoke(who.name)
        case _:
            space.plane.quarantine(who.name)
    client.cut()
    if delay and fleet.version is Version.V5:
        # Another will with the same delay, that may fire, shows that the time has come.
        clock = space.device("clock")
        space.client(
            fleet.version,
            clock,
            will=_will(fleet, space.of(clock, "tel"), delay=1),
            properties=pairs,
        ).cut()
        while ear.message().topic != space.of(clock, "tel"):
            pass
    assert fleet.heard(ear, topic) == []
    if how == "quarantined":
        space.plane.release(who.name)
        assert fleet.heard(ear, topic) == []


def test_W5_nobody_else_can_make_a_victims_will_fire(fleet: Fleet) -> None:
    ear = fleet.ear()
    victim = fleet.space.client(fleet.version, fleet.b, will=_will(fleet, fleet.b_tel))
    for clean in (True, False):
        client = fleet.space.open(fleet.version, fleet.a)
        client.send(wire.connect(fleet.version, fleet.b.id, clean_start=clean))
        client.expect_refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, code=2)
    assert fleet.heard(ear, fleet.b_tel) == []
    victim.expect_nothing()


@pytest.mark.parametrize("excess", [0, 1])
def test_W7_the_payload_limit_holds_for_wills(fleet: Fleet, excess: int) -> None:
    limit = 1000
    fleet.space.role(
        "small", publish=["{site}/dev/{device}/tel"], limits=LIMITS | {"payload": limit}
    )
    who = fleet.space.device("small", "small")
    client = fleet.space.open(fleet.version, who)
    will = wire.Will(fleet.space.of(who, "tel"), b"x" * (limit + excess))
    client.send(wire.connect(fleet.version, who.id, will=will))
    if excess:
        client.expect_refused(Reason.PACKET_TOO_LARGE, Reason.QUOTA_EXCEEDED, code=5)
        fleet.evidence(who, layer="protocol")
    else:
        assert client.expect(Type.CONNACK).reason == 0


@pytest.mark.only(Version.V5)
def test_W7_the_response_topic_of_a_will_is_checked(fleet: Fleet) -> None:
    pairs: Pairs = [(Property.RESPONSE_TOPIC, fleet.b_cmd)]
    client = fleet.space.open(fleet.version, fleet.a)
    will = wire.Will(fleet.a_tel, b"x", properties=pairs)
    client.send(wire.connect(fleet.version, fleet.a.id, will=will))
    client.expect_refused(Reason.NOT_AUTHORIZED)
