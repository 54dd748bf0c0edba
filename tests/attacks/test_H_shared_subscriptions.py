"""Group H: shared subscriptions."""

from __future__ import annotations

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.client import Client
from tests.support.space import Identity
from tests.support.wire import Reason, Type, Version

FAILURE_311 = 0x80


def group(fleet: Fleet) -> str:
    """What the back ends of the fleet divide among themselves."""
    return f"$share/backend/{fleet.space.site}/dev/+/tel"


def member(fleet: Fleet, name: str = "member") -> tuple[Identity, Client]:
    who = fleet.space.service(name)
    client = fleet.space.durable(fleet.version, who)
    assert client.subscribe(group(fleet), qos=1) == (1,)
    return who, client


def telemetry(fleet: Fleet, count: int) -> list[bytes]:
    device = fleet.space.client(fleet.version, fleet.b)
    payloads = [b"%d" % number for number in range(count)]
    for payload in payloads:
        device.publish(fleet.space.of(fleet.b, "tel"), payload, 1)
    return payloads


@pytest.mark.parametrize("own", [False, True], ids=["others", "own"])
def test_H1_a_device_joins_the_group_of_the_back_end(fleet: Fleet, own: bool) -> None:
    """Not even for its own topics: a share of the messages would be missing at the back end."""
    _, backend = member(fleet)
    attacker = fleet.attacker()
    topic = fleet.a_cmd if own else fleet.space.of(fleet.b, "tel")
    reason = Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
    expected = FAILURE_311 if fleet.version is Version.V311 else reason
    for name in ("backend", "mine"):
        assert attacker.subscribe(f"$share/{name}/{topic}", qos=1) == (expected,)
    fleet.evidence(fleet.a, layer="authorization", topic=f"$share/backend/{topic}")
    sent = telemetry(fleet, 4)
    assert [backend.message().payload for _ in sent] == sent
    attacker.expect_nothing()


def test_H1_a_service_joins_a_group_that_is_not_its_own(fleet: Fleet) -> None:
    """It may read all of that topic, and has a group of its own."""
    _, backend = member(fleet)
    fleet.space.role(
        "reader",
        kind="service",
        subscribe=["{site}/dev/+/tel"],
        wildcards=True,
        share=["readers"],
    )
    reader = fleet.space.client(fleet.version, fleet.space.service("reader", "reader"))
    expected = FAILURE_311 if fleet.version is Version.V311 else Reason.NOT_AUTHORIZED
    assert reader.subscribe(group(fleet)) == (expected,)
    assert reader.subscribe(group(fleet).replace("backend", "readers")) == (0,)
    sent = telemetry(fleet, 4)
    assert [backend.message().payload for _ in sent] == sent
    assert [reader.message().payload for _ in sent] == sent


@pytest.mark.parametrize("end", ["cut", "stays"])
def test_H2_a_member_that_never_acknowledges(fleet: Fleet, end: str) -> None:
    """It gets its window (20) and no more; what it lost with its connection goes to the other."""
    _, good = member(fleet, "good")
    _, bad = member(fleet, "bad")
    device = fleet.space.client(fleet.version, fleet.b)
    got: list[bytes] = []
    for number in range(60):
        device.publish(fleet.space.of(fleet.b, "tel"), b"%d" % number, 1)
        for packet in good.fence():
            got.append(packet.payload)
            good.complete(packet)
    swallowed = [packet.payload for packet in bad.fence()]
    assert len(swallowed) == 20
    assert len(got) == 40
    if end == "cut":
        bad.cut()
        got += [good.message().payload for _ in swallowed]
        assert sorted(got) == sorted(b"%d" % number for number in range(60))
    good.expect_nothing()


def test_H2_a_member_that_loses_the_group_mid_flight(fleet: Fleet) -> None:
    """Law 6: after the change nothing reaches it, and nothing is lost for the others."""
    space = fleet.space
    shared = group(fleet).replace("backend", "crew")
    roles, clients = [], []
    for name in ("stays", "leaves"):
        grants = ["{site}/dev/+/tel"]
        role = space.role(name, kind="service", subscribe=grants, wildcards=True, share=["crew"])
        who = space.service(name, name)
        clients.append((who, space.durable(fleet.version, who)))
        roles.append(role)
    for _, client in clients:
        assert client.subscribe(shared, qos=1) == (1,)
    (_, stays), (who, leaves) = clients
    sent = telemetry(fleet, 8)
    assert len(leaves.fence()) == 4
    roles[1]["share"] = []
    assert space.plane.apply()["subscriptions_pruned"] == 1
    sent += telemetry(fleet, 2)
    leaves.expect_nothing()
    leaves.cut()
    assert sorted(stays.message().payload for _ in sent) == sorted(sent)
    # It may read the topic still; what came by the group is not sent to it again.
    space.durable(fleet.version, who, session=True).expect_nothing()


def test_H4_no_local(fleet: Fleet) -> None:
    """5.0 makes it a protocol error; 3.1.1 has no such option, and its reserved bits are one."""
    client = fleet.space.client(fleet.version, fleet.space.service())
    options = wire.options(no_local=True)
    client.send(wire.subscribe(fleet.version, 1, [(group(fleet), options)]))
    client.expect_closed(Reason.PROTOCOL_ERROR)


def test_H4_no_local_takes_no_message_away(fleet: Fleet) -> None:
    _, backend = member(fleet)
    test_H4_no_local(fleet)
    sent = telemetry(fleet, 2)
    assert [backend.message().payload for _ in sent] == sent


@pytest.mark.parametrize("path", ["live", "queue", "resend"])
def test_H1_a_revoked_sender_reaches_no_member(fleet: Fleet, path: str) -> None:
    """The sender's right at the moment of delivery (law 4), on the shared path as on any other."""
    who, client = member(fleet)
    if path == "queue":
        client.cut()
    telemetry(fleet, 2)
    if path != "queue":
        assert len([packet for packet in client.fence() if packet.type is Type.PUBLISH]) == 2
        client.cut()
    fleet.space.plane.revoke(fleet.b.name)
    _, other = member(fleet, "other")
    other.expect_nothing()
    fleet.space.durable(fleet.version, who, session=True).expect_nothing()
