"""Group S: client ids and sessions."""

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.space import Identity, Space
from tests.support.wire import Property, Reason, Type, Version


def _as_victim(fleet: Fleet, *, clean_start: bool) -> None:
    """A, with its own certificate, says that it is B."""
    client = fleet.space.open(fleet.version, fleet.a)
    client.send(wire.connect(fleet.version, fleet.b.id, clean_start=clean_start))
    client.expect_refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, code=2)
    record = fleet.evidence(fleet.a, layer="identity", rule="identity.client-id")
    assert record["client_id"] == fleet.b.id


@pytest.mark.parametrize("clean_start", [True, False])
def test_S1_a_client_id_of_somebody_who_is_online(fleet: Fleet, clean_start: bool) -> None:
    victim = fleet.victim()
    _as_victim(fleet, clean_start=clean_start)
    assert fleet.heard(victim, fleet.b_cmd) == []


def test_S2_a_session_is_not_handed_to_another_identity(fleet: Fleet) -> None:
    fleet.victim(durable=True).cut()
    fleet.service().publish(fleet.b_cmd, b"queued", 1)
    _as_victim(fleet, clean_start=False)
    back = fleet.space.durable(fleet.version, fleet.b, session=True)
    assert back.message().payload == b"queued"


def test_S2_the_same_id_of_another_kind_is_another_session(fleet: Fleet) -> None:
    """A service may be called like a device; their sessions have nothing in common."""
    fleet.victim(durable=True).cut()
    uri = f"spiffe://home/group/backend/site/{fleet.space.site}/service/{fleet.b.id}"
    credential = fleet.space.plane.authority.issue(fleet.b.id, uris=[uri])
    namesake = Identity("service", fleet.b.id, uri, credential)
    other = fleet.space.durable(fleet.version, namesake, session=False)
    fleet.service().publish(fleet.b_cmd, b"queued", 1)
    other.expect_nothing()
    back = fleet.space.durable(fleet.version, fleet.b, session=True)
    assert back.message().payload == b"queued"
    other.expect_nothing()


def test_S3_a_session_is_not_destroyed_by_another_identity(fleet: Fleet) -> None:
    fleet.victim(durable=True).cut()
    _as_victim(fleet, clean_start=True)
    fleet.space.durable(fleet.version, fleet.b, session=True)


@pytest.mark.parametrize("step", ["PUBLISH", "PUBREL"])
def test_S4_messages_in_flight_are_not_handed_over(fleet: Fleet, step: str) -> None:
    victim = fleet.victim(durable=True)
    fleet.service().publish(fleet.b_cmd, b"secret", 2)
    message = victim.expect(Type.PUBLISH)
    assert message.packet_id is not None
    if step == "PUBREL":
        victim.send(wire.acknowledge(fleet.version, Type.PUBREC, message.packet_id))
        victim.expect(Type.PUBREL)
    victim.cut()
    _as_victim(fleet, clean_start=False)
    back = fleet.space.durable(fleet.version, fleet.b, session=True)
    assert back.receive().type is Type[step]


@pytest.mark.parametrize("step", ["PUBLISH", "queue"])
def test_S4_every_resend_is_authorized_again(fleet: Fleet, step: str) -> None:
    """The reader's right ends while it is away: what is in flight or queued stays behind."""
    space = fleet.space
    role = space.role("reader", subscribe=["{site}/dev/{device}/cmd", "{site}/dev/{device}/ok"])
    reader = space.device("reader", "reader")
    topic, other = space.of(reader, "cmd"), space.of(reader, "ok")
    pairs = [(Property.RECEIVE_MAXIMUM, 1)] if fleet.version is Version.V5 else []
    client = space.durable(fleet.version, reader, properties=pairs)
    client.subscribe(topic, other, qos=1)
    writer = space.client(fleet.version, space.service())
    if step == "queue":
        client.cut()
    writer.publish(topic, b"secret", 1)
    if step == "PUBLISH":
        assert client.expect(Type.PUBLISH).payload == b"secret"
        client.cut()
    role["subscribe"] = role["subscribe"][1:]
    space.plane.apply()
    back = space.durable(fleet.version, reader, session=True)
    back.expect_nothing()


@pytest.mark.only(Version.V5)
def test_S5_assigned_client_ids_cannot_be_guessed(fleet: Fleet) -> None:
    seen = []
    for _ in range(8):
        client = fleet.space.open(fleet.version, fleet.a)
        assigned = client.connect("").text(Property.ASSIGNED_CLIENT_IDENTIFIER)
        assert assigned is not None
        assert assigned.startswith(f"{fleet.a.id}:")
        seen.append(assigned.partition(":")[2])
        client.disconnect()
    assert len(set(seen)) == len(seen)
    assert all(len(suffix) >= 16 for suffix in seen)
    # Not a counter: no two share more than chance allows at the front.
    assert len({suffix[:8] for suffix in seen}) == len(seen)


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString", "null", "NaN", "0"])
def test_S7_names_that_some_language_knows(space: Space, version: Version, name: str) -> None:
    """As an id of a certificate or a topic they are strings like any other."""
    unique = f"{name}-{space.site}"
    uri = f"spiffe://home/group/tester/site/{space.site}/service/{unique}"
    who = Identity("service", unique, uri, space.plane.authority.issue(unique, uris=[uri]))
    client = space.client(version, who)
    topic = space.topic(name)
    client.subscribe(topic)
    client.publish(topic, b"x")
    assert client.message().topic == topic


@pytest.mark.parametrize(
    "name",
    ["<img onerror=alert(1)>", "a b", "a\u202eb", "é", "a,b", '"', "a" * 65535, "../a", "-a'--"],
    ids=lambda name: ascii(name[:12]),
)
def test_S8_hostile_client_ids(fleet: Fleet, name: str) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    client.send(wire.connect(fleet.version, name))
    if len(name) > 10_000:
        # Larger than what a peer may send before it is known; closed, or told so.
        answer = client.drain()
        assert [packet.reason for packet in answer] in ([], [Reason.PACKET_TOO_LARGE])
        return
    client.expect_refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, code=2)
    fleet.evidence(fleet.a, layer="identity")
    lines = fleet.space.plane.evidence_path.read_bytes().splitlines()
    assert all(
        (line.startswith(b"{") and line.isascii()) or b"\xe2\x80\xae" not in line for line in lines
    )


@pytest.mark.parametrize("code", ["\r\n", "\x1b[2J", "\0", "\x7f", "\u0085"])
def test_S8_control_characters_in_client_ids(fleet: Fleet, code: str) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    client.send(wire.connect(fleet.version, f"a{code}b"))
    client.expect_refused(Reason.MALFORMED_PACKET)
    for line in fleet.space.plane.evidence_path.read_bytes().splitlines():
        assert b"\x1b" not in line


def test_S10_random_client_ids_make_no_sessions(fleet: Fleet) -> None:
    before = fleet.space.plane.status()["sessions"]
    for number in range(50):
        client = fleet.space.open(fleet.version, fleet.a)
        pairs = [(Property.SESSION_EXPIRY_INTERVAL, 0xFFFFFFFF)]
        five = fleet.version is Version.V5
        client.send(
            wire.connect(
                fleet.version,
                f"random-{number}",
                clean_start=False,
                properties=pairs if five else (),
            )
        )
        client.expect_refused(Reason.CLIENT_IDENTIFIER_NOT_VALID, code=2)
    assert fleet.space.plane.status()["sessions"] <= before


def test_S10_sessions_of_one_identity_are_bounded(space: Space, version: Version) -> None:
    """A role with several connections allows suffixes; the number of its sessions is its own."""
    space.role(
        "many",
        subscribe=["{site}/dev/{device}/cmd"],
        limits={"connections": 10, "sessions": 3},
    )
    who = space.device("many", "many")
    pairs = [(Property.SESSION_EXPIRY_INTERVAL, 600)] if version is Version.V5 else []
    for number in range(3):
        client = space.open(version, who)
        name = f"{who.id}:{number}"
        assert client.connect(name, clean_start=False, properties=pairs).reason == 0
        client.cut()
    client = space.open(version, who)
    connack = client.connect(f"{who.id}:3", clean_start=False, properties=pairs)
    assert connack.reason in (Reason.QUOTA_EXCEEDED, 3)
    # The three that exist go on.
    client = space.open(version, who)
    assert client.connect(f"{who.id}:1", clean_start=False, properties=pairs).session_present


def test_S11_two_holders_of_one_key_take_turns_and_nothing_leaks(
    space: Space, version: Version
) -> None:
    """Flap detection comes with layer 7; here each take-over is told, logged and ends one side."""
    who = space.device()
    watcher = space.client(version, space.service())
    watcher.subscribe(f"{space.site}/dev/+/tel")
    previous = space.durable(version, who)
    for _ in range(10):
        current = space.durable(version, who)
        previous.expect_closed(Reason.SESSION_TAKEN_OVER)
        previous = current
    space.plane.await_evidence(identity=who.name, kind="session_taken_over")
    watcher.expect_nothing()
