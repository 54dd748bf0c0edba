"""Group R: retained messages."""

import time

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.client import Client
from tests.support.wire import Property, Reason, Type, Version


@pytest.mark.parametrize("how", ["revoked", "quarantined", "right removed", "no role"])
def test_R1_a_retained_message_of_a_revoked_sender(fleet: Fleet, how: str) -> None:
    space = fleet.space
    grant = {"topic": "{site}/dev/{device}/order", "retain": True}
    role = space.role("sender", publish=[grant, "{site}/dev/{device}/x"])
    sender = space.device("sender", "sender")
    topic = space.of(sender, "order")
    client = space.client(fleet.version, sender)
    assert client.publish(topic, b"old command", 1, retain=True) < 0x80
    assert topic in {packet.topic for packet in _retained(fleet)}
    policy = space.plane.policy
    assert policy is not None
    match how:
        case "revoked":
            space.plane.revoke(sender.name)
        case "quarantined":
            space.plane.quarantine(sender.name)
        case "right removed":
            role["publish"] = role["publish"][1:]
            space.plane.apply()
        case _:
            policy.roles.remove(role)
            space.plane.apply()
    assert topic not in {packet.topic for packet in _retained(fleet)}


def _retained(fleet: Fleet) -> list[wire.Packet]:
    """What a new subscriber to everything is sent; others' messages may be among it."""
    listener = fleet.space.client(fleet.version, fleet.space.service("late", "observer"))
    listener.subscribe("#")
    return [packet for packet in listener.fence() if packet.type is Type.PUBLISH]


def test_R1_a_rotated_key_takes_nothing_back(fleet: Fleet) -> None:
    """A serial ends a credential, not the trust in its identity: what it said stays said."""
    topic = fleet.space.of(fleet.a, "state")
    client = fleet.attacker()
    client.publish(topic, b"state", 1, retain=True)
    policy = fleet.space.plane.policy
    assert policy is not None
    policy.exceptions["revoked_serials"].append(fleet.a.credential.serial_hex)
    fleet.space.plane.apply()
    client.expect_closed(Reason.ADMINISTRATIVE_ACTION, Reason.NOT_AUTHORIZED)
    assert topic in {packet.topic for packet in _retained(fleet)}


def test_R1_quarantine_is_undone_by_a_release(fleet: Fleet) -> None:
    """Withheld is not deleted, where it was a quarantine: the operator may have been wrong."""
    topic = fleet.space.of(fleet.a, "state")
    fleet.attacker().publish(topic, b"good", 1, retain=True)
    fleet.space.plane.quarantine(fleet.a.name)
    assert topic not in {packet.topic for packet in _retained(fleet)}
    fleet.space.plane.release(fleet.a.name)
    found = [packet.payload for packet in _retained(fleet) if packet.topic == topic]
    assert found in ([b"good"], [])


def test_R2_every_retained_message_is_checked_for_its_reader(fleet: Fleet) -> None:
    """A subscription that was good when it was made meets a denial that came later."""
    space = fleet.space
    space.role("writer", kind="service", publish=[{"topic": "{site}/r/#", "retain": True}])
    role = space.role(
        "reader", kind="service", subscribe=["{site}/r/+", "{site}/s/+"], wildcards=True
    )
    writer = space.client(fleet.version, space.service("writer", "writer"))
    for leaf in ("open", "secret"):
        writer.publish(f"{space.site}/r/{leaf}", leaf.encode(), 1, retain=True)
    who = space.service("reader", "reader")
    reader = space.durable(fleet.version, who)
    assert reader.subscribe(f"{space.site}/r/+") == (0,)
    assert len(reader.fence()) == 2
    role["deny"] = [{"topic": "{site}/r/secret", "actions": ["publish", "subscribe"], "line": 9}]
    space.plane.apply()
    codes = reader.subscribe(f"{space.site}/r/+", f"{space.site}/r/open", f"{space.site}/r/secret")
    assert [code < 0x80 for code in codes] == [False, True, False]
    assert [packet.payload for packet in reader.fence()] == [b"open"]


@pytest.mark.parametrize("what", ["messages", "bytes"])
def test_R3_retained_messages_of_one_identity_are_bounded(fleet: Fleet, what: str) -> None:
    """Bytes count topic and payload, both of the same length for each message here."""
    space = fleet.space
    role = space.role("hoarder", publish=[{"topic": "{site}/dev/{device}/+", "retain": True}])
    who = space.device("hoarder", "hoarder")
    size = len(space.of(who, "0")) + 100
    role["limits"] |= (
        {"retained_messages": 5} if what == "messages" else {"retained_bytes": 5 * size}
    )
    space.plane.apply()
    client = space.client(fleet.version, who)
    for number in range(5):
        assert client.publish(space.of(who, f"{number}"), b"x" * 100, 1, retain=True) < 0x80
    client.send(
        wire.publish(
            fleet.version, space.of(who, "5"), b"x" * 100, qos=1, packet_id=90, retain=True
        )
    )
    if fleet.version is Version.V5:
        assert client.expect(Type.PUBACK).reason == Reason.QUOTA_EXCEEDED
    else:
        # 3.1.1 cannot say no, and an acknowledgement would be a lie.
        client.expect_closed()
        client = space.client(fleet.version, who)
    fleet.evidence(who, layer="quota")
    kept = {packet.topic for packet in _retained(fleet)}
    assert space.of(who, "5") not in kept
    assert {space.of(who, f"{number}") for number in range(5)} <= kept
    # Replacing and deleting go on, and deleting makes room.
    assert client.publish(space.of(who, "0"), b"y" * 100, 1, retain=True) < 0x80
    assert client.publish(space.of(who, "1"), b"", 1, retain=True) < 0x80
    assert client.publish(space.of(who, "5"), b"x" * 100, 1, retain=True) < 0x80


@pytest.mark.alone
def test_R4_replaying_retained_messages_in_a_loop_starves_nobody(
    fleet: Fleet, bystander: Client
) -> None:
    space = fleet.space
    space.role(
        "big",
        kind="service",
        publish=[{"topic": "{site}/big/+", "retain": True}],
        subscribe=["{site}/big/+"],
        wildcards=True,
        limits={"retained_messages": 1000, "queue_messages": 200},
    )
    client = space.client(fleet.version, space.service("big", "big"))
    for number in range(300):
        client.publish(f"{space.site}/big/{number}", b"x" * 50, 1, retain=True)
    loops = 50
    asked = (f"{space.site}/big/+", wire.options(0))
    for number in range(1, loops):
        client.send(wire.subscribe(fleet.version, number, [asked]))
        client.send(wire.unsubscribe(fleet.version, number, [asked[0]]))
    began = time.monotonic()
    bystander.publish(bystander.health_topic, b"still here", 1)
    assert bystander.message().payload == b"still here"
    assert time.monotonic() - began < 2.0


def test_R5_commands_cannot_be_planted(fleet: Fleet) -> None:
    """Retain is granted topic by topic; a device's telemetry grant does not have it."""
    client = fleet.attacker()
    reason = client.publish(fleet.a_tel, b"planted", 1, retain=True)
    if fleet.version is Version.V5:
        assert reason in (Reason.NOT_AUTHORIZED, Reason.RETAIN_NOT_SUPPORTED)
    assert fleet.a_tel not in {packet.topic for packet in _retained(fleet)}


def test_R7_no_command_waits_longer_than_the_role_allows(fleet: Fleet) -> None:
    """A queued command that was sent without expiry is gone after the cap of its sender's role.

    A retained one stays until it is replaced, unless its sender gave it a time; that is why retain
    is granted topic by topic (row R5).
    """
    space = fleet.space
    space.role(
        "hasty",
        kind="service",
        publish=["{site}/dev/+/cmd"],
        limits={"message_expiry": 1},
    )
    victim = fleet.victim(durable=True)
    victim.cut()
    writer = space.client(fleet.version, space.service("hasty", "hasty"))
    writer.publish(fleet.b_cmd, b"unlock", 1)
    space.client(fleet.version, space.device("clock"), keep_alive=1).expect_closed()  # 1.5 s
    fleet.space.durable(fleet.version, fleet.b, session=True).expect_nothing()


@pytest.mark.only(Version.V5)
def test_R7_a_longer_expiry_is_cut_to_the_cap(fleet: Fleet) -> None:
    fleet.space.role(
        "capped",
        kind="service",
        publish=["{site}/dev/+/cmd"],
        limits={"message_expiry": 50},
    )
    victim = fleet.victim()
    writer = fleet.space.client(fleet.version, fleet.space.service("capped", "capped"))
    pairs = [(Property.MESSAGE_EXPIRY_INTERVAL, 0xFFFFFFFF)]
    writer.publish(fleet.b_cmd, b"x", 1, properties=pairs)
    expiry = victim.message().number(Property.MESSAGE_EXPIRY_INTERVAL)
    assert expiry is not None
    assert expiry <= 50
