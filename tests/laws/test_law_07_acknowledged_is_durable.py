"""Law 7. What was acknowledged is on disk: a process that is killed at any moment loses none of it.

Here one state after the other is killed and looked at again; `tests/faults` kills at random under
load, and breaks the disk.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.deployment import FLEET, DataPlane
from tests.support.policy import Policy, standard_roles
from tests.support.space import Identity, Space
from tests.support.wire import Type, Version


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Space]:
    """A space on a data plane that the test may kill."""
    plane = DataPlane(tmp_path / "plane", Policy(FLEET, standard_roles()))
    space = Space(plane.start())
    yield space
    space.close()
    plane.stop()


def kill_and_start(space: Space) -> None:
    for client in space.clients:
        client.cut()
    space.clients.clear()
    space.plane.stop(signal.SIGKILL)
    space.plane.start()


def test_sessions_subscriptions_and_queues(own: Space, version: Version) -> None:
    reader, writer = own.identity(), own.identity()
    client = own.durable(version, reader, session=False)
    client.subscribe(own.topic("a"), own.topic("b"), qos=2)
    kill_and_start(own)
    # Subscribed before, offline now: the queue begins in the second process.
    sender = own.client(version, writer)
    for number, qos in enumerate([1, 2, 1, 2]):
        assert sender.publish(own.topic("a"), b"%d" % number, qos) == 0
    kill_and_start(own)
    client = own.durable(version, reader, session=True)
    found = [client.message() for _ in range(4)]
    assert [packet.payload for packet in found] == [b"0", b"1", b"2", b"3"]
    assert [packet.qos for packet in found] == [1, 2, 1, 2]
    client.expect_nothing()
    # What was acknowledged by the reader is gone for good.
    kill_and_start(own)
    own.durable(version, reader, session=True).expect_nothing()


def test_what_was_sent_and_not_acknowledged_comes_again(own: Space, version: Version) -> None:
    reader, writer = own.identity(), own.identity()
    client = own.durable(version, reader)
    client.subscribe(own.topic("a"), qos=2)
    sender = own.client(version, writer)
    for qos in (1, 2):
        sender.publish(own.topic("a"), b"q%d" % qos, qos)
    sent = {packet.payload: packet for packet in (client.receive(), client.receive())}
    assert not any(packet.dup for packet in sent.values())
    kill_and_start(own)
    client = own.durable(version, reader, session=True)
    again = {packet.payload: packet for packet in (client.receive(), client.receive())}
    # The same identifier, or a QoS 2 receiver would take it for another message.
    assert again[b"q2"].packet_id == sent[b"q2"].packet_id
    assert again[b"q2"].dup
    for packet in again.values():
        client.complete(packet)
    client.expect_nothing()


def test_a_message_is_not_sent_to_a_client_that_has_received_it(
    own: Space, version: Version
) -> None:
    reader, writer = own.identity(), own.identity()
    client = own.durable(version, reader)
    client.subscribe(own.topic("a"), qos=2)
    own.client(version, writer).publish(own.topic("a"), b"once", 2)
    packet = client.receive()
    client.send(wire.acknowledge(version, Type.PUBREC, packet.packet_id or 0))
    client.expect(Type.PUBREL)
    kill_and_start(own)
    client = own.durable(version, reader, session=True)
    assert client.expect(Type.PUBREL).packet_id == packet.packet_id
    client.send(wire.acknowledge(version, Type.PUBCOMP, packet.packet_id or 0))
    client.expect_nothing()


def test_a_held_message_is_released_once(own: Space, version: Version) -> None:
    reader, writer = own.identity(), own.identity()
    own.durable(version, reader).subscribe(own.topic("a"), qos=2)
    sender = own.durable(version, writer)
    sender.send(wire.publish(version, own.topic("a"), b"held", qos=2, packet_id=7))
    sender.expect(Type.PUBREC)
    kill_and_start(own)
    sender = own.durable(version, writer, session=True)
    # The client did not see the PUBREC: it begins again, and it is the same message.
    again = wire.publish(version, own.topic("a"), b"held", qos=2, packet_id=7, dup=True)
    sender.send(again)
    sender.expect(Type.PUBREC)
    sender.send(wire.acknowledge(version, Type.PUBREL, 7))
    sender.expect(Type.PUBCOMP)
    kill_and_start(own)
    sender = own.durable(version, writer, session=True)
    sender.send(wire.acknowledge(version, Type.PUBREL, 7))
    sender.expect(Type.PUBCOMP)
    client = own.durable(version, reader, session=True)
    assert client.message().payload == b"held"
    client.expect_nothing()


def test_retained_messages(own: Space, version: Version) -> None:
    sender = own.client(version)
    sender.publish(own.topic("kept"), b"1", 1, retain=True)
    sender.publish(own.topic("replaced"), b"1", 1, retain=True)
    sender.publish(own.topic("replaced"), b"2", 1, retain=True)
    sender.publish(own.topic("removed"), b"1", 1, retain=True)
    sender.publish(own.topic("removed"), b"", 1, retain=True)
    kill_and_start(own)
    client = own.client(version)
    client.subscribe(own.topic("kept"), own.topic("replaced"), own.topic("removed"), qos=1)
    assert sorted(packet.payload for packet in (client.message(), client.message())) == [
        b"1",
        b"2",
    ]
    client.expect_nothing()


def test_the_will_of_a_client_that_was_connected_is_published(own: Space, version: Version) -> None:
    reader, writer = own.identity(), own.identity()
    own.durable(version, reader).subscribe(own.topic("w"), qos=1)
    will = wire.Will(own.topic("w"), b"gone", qos=1)
    own.client(version, writer, will=will)
    kill_and_start(own)
    client = own.durable(version, reader, session=True)
    assert client.message().payload == b"gone"
    client.expect_nothing()
    kill_and_start(own)
    # Once, not after every start.
    own.durable(version, reader, session=True).expect_nothing()


@pytest.mark.only(Version.V5)
def test_a_delayed_will_keeps_its_moment(own: Space, version: Version) -> None:
    reader, writer = own.identity(), own.identity()
    own.durable(version, reader).subscribe(own.topic("w"), qos=1)
    pairs = [(wire.Property.WILL_DELAY_INTERVAL, 2)]
    will = wire.Will(own.topic("w"), b"late", qos=1, properties=pairs)
    own.durable(version, writer, will=will).cut()
    own.plane.await_evidence(kind="disconnected", client_id=writer.id)
    kill_and_start(own)
    client = own.durable(version, reader, session=True)
    assert client.message(within=10).payload == b"late"


def test_a_revocation_between_two_lives_holds(own: Space, version: Version) -> None:
    reader, thief, victim = own.identity(), own.identity(), own.identity()
    own.durable(version, reader).subscribe(own.topic("a"), qos=1)
    own.durable(version, victim).subscribe(own.topic("a"), qos=1)
    own.client(version, thief).publish(own.topic("a"), b"stolen", 1, retain=True)
    for client in own.clients:
        client.cut()
    own.plane.stop(signal.SIGKILL)
    assert own.plane.policy is not None
    own.plane.policy.exceptions["revoked"] += [thief.name, victim.name]
    own.plane.start()
    client = own.durable(version, reader, session=True)
    client.expect_nothing()
    client.subscribe(own.topic("a"), qos=1)
    client.expect_nothing()
    own.plane.policy.exceptions["revoked"].remove(victim.name)
    own.plane.apply()
    own.durable(version, victim, session=False)


def test_a_good_stop_keeps_the_same(own: Space, version: Version) -> None:
    reader: Identity = own.identity()
    own.durable(version, reader).subscribe(own.topic("a"), qos=1)
    own.client(version).publish(own.topic("a"), b"x", 1)
    own.plane.stop()
    own.plane.start()
    client = own.durable(version, reader, session=True)
    assert client.message().payload == b"x"
