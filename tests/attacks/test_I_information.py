"""Groups I and C as far as they apply: what an attacker can learn, and how far one key reaches."""

import stat
from typing import Any

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.client import Client
from tests.support.wire import Property, Reason, Type, Version

MESSAGES = ("received", "sent", "withheld", "expired", "too-large", "dropped")


@pytest.mark.parametrize(
    "topic", ["$SYS/broker/version", "$SYS/broker/clients/connected", "$SYS/broker/uptime"]
)
def test_I1_the_broker_tells_nothing_about_itself(fleet: Fleet, topic: str) -> None:
    client = fleet.attacker()
    assert client.subscribe(topic)[0] >= 0x80
    ear = fleet.ear()
    assert not [packet for packet in ear.fence() if packet.topic.startswith("$")]


def monitor(fleet: Fleet, *subscribe: str, **more: Any) -> Client:
    """A service that may read some of what the broker says about itself."""
    fleet.space.role("monitor", kind="service", subscribe=subscribe, wildcards=True, **more)
    return fleet.space.client(fleet.version, fleet.space.service("monitor", "monitor"))


def test_I1_a_service_reads_what_its_role_names(fleet: Fleet) -> None:
    client = monitor(fleet, "$SYS/broker/messages/#", "$SYS/broker/clients/connected")
    codes = client.subscribe(
        "$SYS/broker/messages/+", "$SYS/broker/clients/connected", "$SYS/broker/uptime", "$SYS/#"
    )
    assert [code < 0x80 for code in codes] == [True, True, False, False]
    found = {packet.topic: packet for packet in client.fence()}
    assert set(found) == {
        "$SYS/broker/clients/connected",
        *(f"$SYS/broker/messages/{name}" for name in MESSAGES),
    }
    assert all(packet.retain and packet.payload.isdigit() for packet in found.values())


@pytest.mark.parametrize("wide", ["#", "+/broker/uptime", "+/#"])
def test_I1_wildcards_at_the_front_never_reach_it(fleet: Fleet, wide: str) -> None:
    """Not even for a service that may subscribe to everything, the literal grant beside it."""
    client = monitor(fleet, "#", "$SYS/#")
    assert client.subscribe(wide) == (0,)
    assert not [packet for packet in client.fence() if packet.topic.startswith("$")]
    assert client.subscribe("$SYS/broker/uptime") == (0,)
    assert client.message().topic == "$SYS/broker/uptime"


@pytest.mark.parametrize("how", ["publish", "retained", "will", "group"])
def test_I1_nobody_else_speaks_there(fleet: Fleet, how: str) -> None:
    topic = "$SYS/broker/uptime"
    everything = [{"topic": "$SYS/#", "retain": True}]
    client = monitor(fleet, "$SYS/#", publish=everything, share=["all"])
    assert client.subscribe("$SYS/broker/clients/+") == (0,)
    client.fence()
    if how == "will":
        refused = fleet.space.open(fleet.version, fleet.space.service("monitor", "monitor"))
        will = wire.Will(topic, b"1")
        assert refused.connect(refused.client_id, will=will).reason != 0
        return
    if how == "group":
        # A group may divide them, as any other messages.
        assert client.subscribe("$share/all/$SYS/broker/uptime") == (0,)
        return
    code = client.publish(topic, b"1", 1, retain=how == "retained")
    assert code == (0 if fleet.version is Version.V311 else Reason.NOT_AUTHORIZED)
    assert client.subscribe(topic) == (0,)
    (value,) = client.fence()
    assert value.payload.isdigit()


def test_I1_a_reader_whose_grant_goes_reads_no_more(fleet: Fleet) -> None:
    role = fleet.space.role("monitor", kind="service", subscribe=["$SYS/#", "x"], wildcards=True)
    client = fleet.space.client(fleet.version, fleet.space.service("monitor", "monitor"))
    assert client.subscribe("$SYS/#") == (0,)
    assert client.fence()
    role["subscribe"] = role["subscribe"][1:]
    assert fleet.space.plane.apply()["subscriptions_pruned"] == 1
    assert client.subscribe("$SYS/#", "$SYS/broker/uptime")[1] >= 0x80


def test_I2_the_values_are_numbers_without_a_version(fleet: Fleet) -> None:
    client = monitor(fleet, "$SYS/#")
    assert client.subscribe("$SYS/#") == (0,)
    values = client.fence()
    assert len(values) > len(MESSAGES)
    for packet in values:
        assert packet.payload.isdigit(), packet
        assert "version" not in packet.topic


def test_I2_no_answer_names_the_product_or_its_version(fleet: Fleet) -> None:
    """Reason strings name a layer or a rule of the standard, and nothing of the inside."""
    texts: list[str | None] = []
    client = fleet.attacker()
    assert client.connack is not None
    texts.append(client.connack.text(Property.REASON_STRING))
    client.send(
        wire.publish(fleet.version, fleet.b_cmd, b"x", qos=1, packet_id=1),
        wire.subscribe(fleet.version, 2, [("#", 0)]),
        b"\x00\x00",
    )
    texts += [packet.text(Property.REASON_STRING) for packet in client.drain()]
    for text in texts:
        words = (text or "").lower()
        for word in ("motte", "rust", "policy.toml", "panic", ".rs", fleet.b.id):
            assert word not in words


@pytest.mark.parametrize("action", ["publish", "subscribe"])
def test_I5_a_denied_topic_and_one_that_does_not_exist(fleet: Fleet, action: str) -> None:
    """Somebody listens on one of them, one holds a retained message, one is only granted."""
    victim = fleet.victim()
    fleet.service().publish(fleet.space.of(fleet.b, "reply"), b"kept", 1, retain=True)
    client = fleet.attacker()
    topics = [fleet.b_cmd, fleet.space.of(fleet.b, "reply"), fleet.b_tel, "no/such/topic"]
    answers = set()
    for topic in topics:
        if action == "publish":
            packet = wire.publish(fleet.version, topic, b"x", qos=1, packet_id=7)
            kind = Type.PUBACK
        else:
            packet = wire.subscribe(fleet.version, 7, [(topic, 0)])
            kind = Type.SUBACK
        client.send(packet)
        answers.add(client.expect(kind))
    assert len(answers) == 1
    victim.expect_nothing()


def test_I6_what_lies_on_disk_is_private(fleet: Fleet) -> None:
    fleet.attacker()
    for path in fleet.space.plane.state.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_C4_a_walk_over_the_fleet_ends_with_the_connection(fleet: Fleet) -> None:
    """No device is reached, and after a number of denials the walker is thrown out."""
    client = fleet.attacker()
    reached = 0
    asked = 0
    try:
        for number in range(1_000):
            topic = f"{fleet.space.site}/dev/toaster-{number}/cmd"
            reached += client.subscribe(topic)[0] < 0x80
            asked += 1
    except (OSError, AssertionError):
        assert asked < 1_000
    assert reached == 0
    assert asked < 1_000
    fleet.space.plane.await_evidence(identity=fleet.a.name, kind="disconnected")


def test_C7_a_stolen_key_is_its_own_device_and_no_other(fleet: Fleet) -> None:
    """Everything that A may do, whoever holds its key; nothing else."""
    backend = fleet.service()
    backend.subscribe(f"{fleet.space.site}/dev/+/tel", qos=1)
    thief = fleet.attacker()
    assert thief.publish(fleet.a_tel, b"spoofed", 1) < 0x80
    assert backend.message().topic == fleet.a_tel
    assert thief.subscribe(fleet.a_cmd, qos=1) == (1,)
    others = [fleet.space.device("other") for _ in range(5)]
    for other in others:
        for leaf in ("cmd", "tel", "state", "reply"):
            topic = fleet.space.of(other, leaf)
            assert thief.subscribe(topic)[0] >= 0x80
            reason = thief.publish(topic, b"x", 1)
            assert fleet.version is Version.V311 or reason == Reason.NOT_AUTHORIZED
    backend.expect_nothing()
