"""Group V: policy changes and revocation, over the path product (law 6)."""

import threading
from collections.abc import Callable

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.client import Client, Closed
from tests.support.deployment import ControlError
from tests.support.space import Identity
from tests.support.wire import Property, Reason, Type, Version

Pairs = list[tuple[int, wire.PropertyValue]]

ENDED = (Reason.ADMINISTRATIVE_ACTION, Reason.NOT_AUTHORIZED)


def _sender(fleet: Fleet) -> tuple[Identity, Callable[[], None]]:
    """A device with a grant of its own, and what takes that grant from it."""
    space = fleet.space
    role = space.role(
        "sender",
        publish=[
            {"topic": "{site}/dev/+/order", "retain": True},
            "{site}/dev/{device}/tel",
        ],
    )
    # One message at a time: the rest waits behind it, in both versions.
    space.role(
        "obeyer",
        subscribe=["{site}/dev/{device}/order", "{site}/dev/{device}/cmd"],
        limits={"inflight": 1},
    )

    def remove() -> None:
        role["publish"] = role["publish"][1:]
        space.plane.apply()

    return space.device("sender", "sender"), remove


def _end(fleet: Fleet, sender: Identity, remove: Callable[[], None], how: str) -> None:
    match how:
        case "right removed":
            remove()
        case "revoked":
            fleet.space.plane.revoke(sender.name)
        case _:
            fleet.space.plane.quarantine(sender.name)


HOW = ["right removed", "revoked", "quarantined"]


@pytest.mark.parametrize("how", HOW)
def test_V1_an_online_subscriber_loses_its_right(fleet: Fleet, how: str) -> None:
    space = fleet.space
    role = space.role("reader", subscribe=["{site}/dev/{device}/cmd", "{site}/dev/{device}/ok"])
    reader = space.device("reader", "reader")
    topic, other = space.of(reader, "cmd"), space.of(reader, "ok")
    space.role("writer", kind="service", publish=["{site}/dev/#"])
    writer = space.client(fleet.version, space.service("writer", "writer"))
    client = space.client(fleet.version, reader)
    assert client.subscribe(topic, other, qos=1) == (1, 1)
    writer.publish(topic, b"before", 1)
    assert client.message().payload == b"before"

    def remove() -> None:
        role["subscribe"] = role["subscribe"][1:]
        space.plane.apply()

    _end(fleet, reader, remove, how)
    writer.publish(topic, b"after", 1)
    if how == "right removed":
        writer.publish(other, b"still granted", 1)
        assert client.message().payload == b"still granted"
        client.expect_nothing()
    else:
        client.expect_closed(*ENDED)


def test_V2_a_durable_subscription_is_checked_on_resume(fleet: Fleet) -> None:
    space = fleet.space
    role = space.role("reader", subscribe=["{site}/dev/{device}/cmd", "{site}/dev/{device}/ok"])
    reader = space.device("reader", "reader")
    client = space.durable(fleet.version, reader)
    client.subscribe(space.of(reader, "cmd"), space.of(reader, "ok"), qos=1)
    client.cut()
    writer = fleet.service()
    writer.publish(space.of(reader, "cmd"), b"queued before", 1)
    role["subscribe"] = role["subscribe"][1:]
    space.plane.apply()
    writer.publish(space.of(reader, "cmd"), b"sent after", 1)
    again = space.durable(fleet.version, reader, session=True)
    again.expect_nothing()
    writer.publish(space.of(reader, "cmd"), b"live", 1)
    again.expect_nothing()
    # Granting it again brings no message back that it was not allowed to have.
    role["subscribe"].append({"topic": "{site}/dev/{device}/cmd", "qos": 2, "line": 50})
    space.plane.apply()
    again.expect_nothing()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("path", ["offline queue", "window", "inflight resend"])
def test_V3_what_a_sender_left_behind(fleet: Fleet, how: str, qos: int, path: str) -> None:
    """Queued for an absent reader, behind a full window, or sent and not acknowledged."""
    space = fleet.space
    sender, remove = _sender(fleet)
    reader = space.device("obeyer", "obeyer")
    topic = space.of(reader, "order")
    client = space.durable(fleet.version, reader)
    client.subscribe(topic, space.of(reader, "cmd"), qos=qos)
    if path == "offline queue":
        client.cut()
    publisher = space.client(fleet.version, sender)
    for number in range(30 if path == "window" else 1):
        publisher.publish(topic, b"order %d" % number, qos)
    first = None if path == "offline queue" else client.expect(Type.PUBLISH)
    if path == "inflight resend":
        client.cut()
    _end(fleet, sender, remove, how)
    backend = fleet.service()
    backend.publish(space.of(reader, "cmd"), b"good", qos)
    if path == "window" and first is not None:
        # What was sent before is the reader's own; what waited behind it is withheld.
        client.complete(first)
        found = client.messages_until(b"good")
    else:
        client = space.durable(fleet.version, reader, session=True)
        found = client.messages_until(b"good")
    assert [packet.payload for packet in found] == []


@pytest.mark.parametrize("how", HOW)
def test_V4_a_pubrel_after_the_right_has_ended(fleet: Fleet, how: str) -> None:
    space = fleet.space
    sender, remove = _sender(fleet)
    reader = space.device("obeyer", "obeyer")
    topic = space.of(reader, "order")
    client = space.client(fleet.version, reader)
    client.subscribe(topic, space.of(reader, "cmd"), qos=2)
    publisher = space.durable(fleet.version, sender)
    publisher.send(wire.publish(fleet.version, topic, b"order", qos=2, packet_id=1))
    assert publisher.expect(Type.PUBREC).reason < 0x80
    # A server may deliver at PUBLISH or at PUBREL; what it has delivered by now was allowed.
    early = client.fence()
    assert len(early) <= 1
    _end(fleet, sender, remove, how)
    if how == "right removed":
        publisher.send(wire.acknowledge(fleet.version, Type.PUBREL, 1))
        publisher.expect(Type.PUBCOMP)
    else:
        publisher.expect_closed(*ENDED)
        if how == "quarantined":
            space.plane.release(sender.name)
    client.expect_nothing()


@pytest.mark.only(Version.V5)
def test_V6_an_alias_after_the_right_has_ended(fleet: Fleet) -> None:
    """The alias is resolved, and the topic behind it judged, each time."""
    space = fleet.space
    sender, remove = _sender(fleet)
    reader = space.device("obeyer", "obeyer")
    topic = space.of(reader, "order")
    client = space.client(fleet.version, reader)
    client.subscribe(topic, qos=1)
    publisher = space.client(fleet.version, sender)
    pairs: Pairs = [(Property.TOPIC_ALIAS, 1)]
    assert publisher.publish(topic, b"before", 1, properties=pairs) < 0x80
    assert client.message().payload == b"before"
    remove()
    assert publisher.publish("", b"after", 1, properties=pairs) == Reason.NOT_AUTHORIZED
    client.expect_nothing()


@pytest.mark.only(Version.V5)
@pytest.mark.parametrize("how", HOW)
def test_V7_a_delayed_message_is_authorized_when_its_time_comes(fleet: Fleet, how: str) -> None:
    """Motte delays nothing but wills; this is the delayed will over the offline queue."""
    space = fleet.space
    sender, remove = _sender(fleet)
    reader = space.device("obeyer", "obeyer")
    client = space.durable(fleet.version, reader)
    client.subscribe(space.of(reader, "order"), qos=1)
    client.cut()
    delay: Pairs = [(Property.WILL_DELAY_INTERVAL, 1)]
    will = wire.Will(space.of(reader, "order"), b"late order", 1, properties=delay)
    space.durable(fleet.version, sender, will=will).cut()
    _end(fleet, sender, remove, how)
    space.client(fleet.version, space.device("clock"), keep_alive=1).expect_closed()  # 1.5 s
    space.durable(fleet.version, reader, session=True).expect_nothing()


def test_V8_no_decision_is_cached_beyond_its_policy(fleet: Fleet) -> None:
    space = fleet.space
    sender, remove = _sender(fleet)
    reader = space.device("obeyer", "obeyer")
    topic = space.of(reader, "order")
    client = space.client(fleet.version, reader)
    client.subscribe(topic, qos=1)
    publisher = space.client(fleet.version, sender)
    for number in range(20):
        publisher.publish(topic, bytes([number]), 1)
        assert client.message().payload == bytes([number])
    remove()
    for number in range(5):
        reason = publisher.publish(topic, bytes([number]), 1)
        assert fleet.version is Version.V311 or reason == Reason.NOT_AUTHORIZED
    client.expect_nothing()


def test_V9_every_connection_of_an_identity_ends(fleet: Fleet) -> None:
    space = fleet.space
    space.role(
        "many", subscribe=["{site}/dev/{device}/cmd"], limits={"connections": 5, "sessions": 5}
    )
    who = space.device("many", "many")
    clients = []
    for number in range(5):
        client = space.open(fleet.version, who)
        assert client.connect(f"{who.id}:{number}").reason == 0
        clients.append(client)
    report = space.plane.revoke(who.name)
    assert report["disconnected"]
    for client in clients:
        client.expect_closed(*ENDED)


def test_V9_disconnect_by_an_operator(fleet: Fleet) -> None:
    client = fleet.attacker()
    fleet.space.plane.call("disconnect", identity=fleet.a.name)
    client.expect_closed(Reason.ADMINISTRATIVE_ACTION)
    fleet.attacker()  # it may come back; that is what revoke is for


@pytest.mark.parametrize(
    "broken",
    ["", "{", "[]", '{"format":1}', '{"format":1,"generation":999999,"fleet":"home"}'],
)
def test_V11_a_broken_policy_leaves_the_last_good_one(fleet: Fleet, broken: str) -> None:
    plane = fleet.space.plane
    before = plane.status()["generation"]
    stored = (plane.state / "snapshot.json").read_bytes()
    with pytest.raises(ControlError) as refused:
        plane.call("install", snapshot=broken)
    assert refused.value.error["message"]
    assert refused.value.error["hint"]
    assert plane.status()["generation"] == before
    assert (plane.state / "snapshot.json").read_bytes() == stored
    client = fleet.attacker()
    assert client.subscribe(fleet.b_cmd)[0] >= 0x80
    assert client.subscribe(fleet.a_cmd) == (0,)


def test_V11_an_older_policy_is_refused(fleet: Fleet) -> None:
    """Replaying yesterday's snapshot would bring back whom it did not yet know as revoked."""
    plane = fleet.space.plane
    assert plane.policy is not None
    old = plane.policy.text()
    plane.revoke(fleet.a.name)
    with pytest.raises(ControlError):
        plane.call("install", snapshot=old)
    with pytest.raises((OSError, AssertionError)):
        fleet.attacker()


RACE = 1000
"""Publications that race a revocation."""


def _flood(client: Client, topic: str, qos: int, errors: list[BaseException]) -> None:
    """Publishes as fast as it can, until it is done or thrown out."""
    try:
        for number in range(1, RACE + 1):
            client.send(
                wire.publish(
                    client.version,
                    topic,
                    b"%d" % number,
                    qos=qos,
                    packet_id=number if qos else None,
                )
            )
            if number % 10 == 0:
                client.fence()
    except (OSError, Closed):
        return
    except BaseException as error:  # noqa: BLE001 - the main thread has to hear of it
        errors.append(error)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("qos", [0, 1])
def test_V10_nothing_is_delivered_after_revoke_has_returned(
    fleet: Fleet, how: str, qos: int
) -> None:
    """A thousand publications race the barrier; what comes after it has returned is counted.

    Loopback hands over what was written before the next system call returns, so everything that
    the broker sent before the barrier is in the reader's socket when the command returns.
    """
    space = fleet.space
    sender, remove = _sender(fleet)
    reader = space.device("obeyer", "obeyer")
    topic = space.of(reader, "order")
    client = space.client(fleet.version, reader)
    client.subscribe(topic, space.of(reader, "cmd"), qos=qos)
    publisher = space.client(fleet.version, sender)
    errors: list[BaseException] = []
    thread = threading.Thread(target=_flood, args=(publisher, topic, qos, errors))
    thread.start()
    try:
        seen = [client.message() for _ in range(50)]
        assert len(seen) == 50
        _end(fleet, sender, remove, how)
        for packet in client.read_available():
            client.complete(packet)
        late = client.fence()
    finally:
        thread.join()
    assert errors == []
    assert [packet.payload for packet in late] == []
    fleet.service().publish(space.of(reader, "cmd"), b"canary", 1)
    assert client.messages_until(b"canary") == []
