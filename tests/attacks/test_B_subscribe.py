"""Group B: authorization of subscriptions."""

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.wire import Reason, Type, Version

FAILURE_311 = 0x80


def _code(fleet: Fleet, reason: Reason) -> int:
    return FAILURE_311 if fleet.version is Version.V311 else reason


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_B1_everything(fleet: Fleet, qos: int) -> None:
    client = fleet.attacker()
    expected = _code(fleet, Reason.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED)
    assert client.subscribe("#", qos=qos) == (expected,)
    fleet.evidence(fleet.a, layer="authorization", topic="#")
    fleet.service().publish(fleet.b_cmd, b"secret", qos)
    client.expect_nothing()


WIDE = ["+", "+/+", "+/#", "/#", "{site}/dev/+/cmd", "{site}/dev/#", "{site}/#", "+/+/+/+"]


@pytest.mark.parametrize("topic_filter", WIDE)
def test_B2_other_ways_to_say_everything(fleet: Fleet, topic_filter: str) -> None:
    client = fleet.attacker()
    asked = topic_filter.format(site=fleet.space.site)
    expected = _code(fleet, Reason.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED)
    assert client.subscribe(asked, qos=1) == (expected,)
    fleet.evidence(fleet.a, layer="authorization", topic=asked)
    fleet.service().publish(fleet.b_cmd, b"secret", 1)
    client.expect_nothing()


@pytest.mark.parametrize("topic_filter", ["$SYS/#", "$+/#", "$SYS/+", "$CONTROL/#", "$own/#"])
def test_B2_dollar_topics_with_wildcards(fleet: Fleet, topic_filter: str) -> None:
    client = fleet.attacker()
    if topic_filter == "$+/#":
        client.send(wire.subscribe(fleet.version, 1, [(topic_filter, 0)]))
        packets = client.drain()
        assert all(packet.reason or packet.reasons[0] for packet in packets)
        return
    assert client.subscribe(topic_filter)[0] >= FAILURE_311


def test_B2_a_device_has_no_wildcard_even_over_its_own_topics(fleet: Fleet) -> None:
    """Law 5: the role does not say `wildcards = true`, so the shape alone decides."""
    fleet.space.role("own", subscribe=["{site}/own/{device}/#"])
    who = fleet.space.device("own", "own")
    client = fleet.space.client(fleet.version, who)
    below = f"{fleet.space.site}/own/{who.id}"
    expected = _code(fleet, Reason.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED)
    assert client.subscribe(f"{below}/#", f"{below}/+", f"{below}/x") == (expected, expected, 0)


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("dev/A/x", True),
        ("dev/A/+", True),
        ("dev/A/#", False),
        ("dev/A", False),
        ("dev/A/x/y", False),
        ("dev/+/x", False),
        ("x/1/y", True),
        ("x/+/y", True),
        ("x/#", False),
        ("x/+/+", False),
        ("x/+/y/#", False),
        ("deep/#", True),
        ("deep/a/#", True),
        ("deep/+/b", True),
        ("deep", True),
        ("+/a", False),
    ],
)
def test_B3_a_filter_is_not_a_topic(fleet: Fleet, asked: str, granted: bool) -> None:
    """Granted are dev/A/+, x/+/y and deep/#, with wildcards: containment decides, not matching."""
    grants = ["{site}/dev/A/+", "{site}/x/+/y", "{site}/deep/#"]
    fleet.space.role("wide", kind="service", subscribe=grants, wildcards=True)
    client = fleet.space.client(fleet.version, fleet.space.service("wide", "wide"))
    (code,) = client.subscribe(f"{fleet.space.site}/{asked}")
    assert (code < FAILURE_311) is granted


def test_B4_every_filter_of_a_packet_is_checked(fleet: Fleet) -> None:
    client = fleet.attacker()
    codes = client.subscribe(fleet.a_cmd, fleet.b_cmd, fleet.space.of(fleet.a, "reply"), qos=1)
    assert codes == (1, _code(fleet, Reason.NOT_AUTHORIZED), 1)
    fleet.evidence(fleet.a, layer="authorization", topic=fleet.b_cmd)
    backend = fleet.service()
    backend.publish(fleet.b_cmd, b"secret", 1)
    backend.publish(fleet.a_cmd, b"mine", 1)
    assert client.message().payload == b"mine"
    client.expect_nothing()


@pytest.mark.parametrize("path", ["live", "retained", "resumed"])
@pytest.mark.parametrize("share", ["", "$share/g/"])
def test_B5_a_denied_filter_is_not_installed(fleet: Fleet, path: str, share: str) -> None:
    backend = fleet.service()
    if path == "retained":
        backend.publish(fleet.b_cmd, b"secret", 1, retain=True)
    client = fleet.space.durable(fleet.version, fleet.a)
    assert client.subscribe(share + fleet.b_cmd, qos=2)[0] >= FAILURE_311
    if path == "resumed":
        client.cut()
        backend.publish(fleet.b_cmd, b"secret", 1)
        client = fleet.space.durable(fleet.version, fleet.a, session=True)
    elif path == "live":
        backend.publish(fleet.b_cmd, b"secret", 1)
    client.expect_nothing()


@pytest.mark.parametrize(
    "topic_filter",
    ["$share/g/{site}/dev/{b}/cmd", "$share/g/#", "$share/g/{site}/dev/{a}/cmd", "$queue/x"],
)
def test_B6_a_share_is_no_way_around_a_denial(fleet: Fleet, topic_filter: str) -> None:
    """A device has no group; its refusal does not depend on the inner filter."""
    client = fleet.attacker()
    asked = topic_filter.format(site=fleet.space.site, a=fleet.a.id, b=fleet.b.id)
    shared = asked.startswith("$share")
    reason = Reason.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED if shared else Reason.NOT_AUTHORIZED
    assert client.subscribe(asked) == (_code(fleet, reason),)
    backend = fleet.service()
    backend.publish(fleet.b_cmd, b"secret", 1)
    backend.publish(fleet.a_cmd, b"mine", 1)
    client.expect_nothing()


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("$share/g/{site}/c/+", True),
        ("$share/g/{site}/a/+", False),
        ("$share/g/{site}/a/x", True),
        ("$share/g/{site}/a/#", False),
        ("$share/g/{site}/a/secret", False),
        ("$share/g/{site}/b", False),
        ("$share/g/#", False),
        ("$share/h/{site}/a/x", False),
        ("$queue/{site}/a/x", False),
        ("$share/g/$share/g/{site}/a/x", False),
        ("$share/g/$queue/{site}/a/x", False),
    ],
)
def test_B6_the_inner_filter_and_the_group_are_both_judged(
    fleet: Fleet, asked: str, granted: bool
) -> None:
    fleet.space.role(
        "sharing",
        kind="service",
        subscribe=["{site}/a/+", "{site}/b", "{site}/c/+"],
        deny=["{site}/b", "{site}/a/secret"],
        wildcards=True,
        share=["g"],
    )
    client = fleet.space.client(fleet.version, fleet.space.service("sharing", "sharing"))
    (code,) = client.subscribe(asked.format(site=fleet.space.site))
    assert (code < FAILURE_311) is granted


@pytest.mark.parametrize(
    "topic_filter",
    ["$share/g", "$share//f", "$share/#/t", "$share/+/t", "$share/", "$share///////", "$share"],
)
def test_B7_malformed_shares(fleet: Fleet, topic_filter: str) -> None:
    client = fleet.attacker()
    client.send(wire.subscribe(fleet.version, 1, [(topic_filter, 0)]))
    packets = client.fence() if topic_filter == "$share" else client.receive_or_closed()
    for packet in packets:
        if packet.type is Type.SUBACK:
            assert packet.reasons[0] >= FAILURE_311
        else:
            assert packet.type is Type.DISCONNECT


@pytest.mark.parametrize("path", ["live", "retained", "queued"])
def test_B8_allow_wide_and_deny_narrow(fleet: Fleet, path: str) -> None:
    """A filter that touches the denial is refused whole; the rest can be asked for by name."""
    space = fleet.space
    space.role(
        "narrow",
        kind="service",
        publish=[{"topic": "{site}/a/#", "retain": True}],
        subscribe=["{site}/a/#"],
        wildcards=True,
    )
    role = space.role(
        "denied",
        kind="service",
        subscribe=["{site}/a/#"],
        deny=["{site}/a/secret"],
        wildcards=True,
    )
    assert role["deny"]
    writer = space.client(fleet.version, space.service("writer", "narrow"))
    secret, open_topic = f"{space.site}/a/secret", f"{space.site}/a/open"
    if path == "retained":
        writer.publish(secret, b"secret", 1, retain=True)
    who = space.service("reader", "denied")
    reader = space.durable(fleet.version, who)
    codes = reader.subscribe(f"{space.site}/a/#", f"{space.site}/a/+", secret, open_topic, qos=1)
    assert [code < FAILURE_311 for code in codes] == [False, False, False, True]
    if path == "queued":
        reader.cut()
    if path != "retained":
        writer.publish(secret, b"secret", 1)
    writer.publish(open_topic, b"open", 1)
    if path == "queued":
        reader = space.durable(fleet.version, who, session=True)
    assert reader.message().payload == b"open"
    reader.expect_nothing()


INTERNAL = ["$MQTT.>", "$MQTT/deliver/pubrel", "$CONTROL/x", "$LINK/x", "$SYS", "$SYS/broker"]


@pytest.mark.parametrize("topic_filter", INTERNAL)
def test_B9_internal_names(fleet: Fleet, topic_filter: str) -> None:
    client = fleet.attacker()
    assert client.subscribe(topic_filter) == (_code(fleet, Reason.NOT_AUTHORIZED),)


@pytest.mark.parametrize("code", ["\r", "\n", "\t", "\0", "\x1b"])
def test_B11_control_characters(fleet: Fleet, code: str) -> None:
    client = fleet.attacker()
    client.send(wire.subscribe(fleet.version, 1, [(fleet.a_cmd + code, 0)]))
    client.expect_closed(Reason.MALFORMED_PACKET)


def test_B11_a_space_is_a_character_of_its_own(fleet: Fleet) -> None:
    client = fleet.attacker()
    codes = client.subscribe(fleet.a_cmd + " ", " " + fleet.a_cmd)
    assert codes == (_code(fleet, Reason.NOT_AUTHORIZED),) * 2


@pytest.mark.parametrize(
    "text", [b"\xc3\x28", b"\xc0\xaf", b"\xed\xa0\x80", b"\xef\xbf\xbf", b"\xf0\x9f\xbf\xbf"]
)
def test_B12_text_that_is_none(fleet: Fleet, text: bytes) -> None:
    client = fleet.attacker()
    client.send(wire.subscribe(fleet.version, 1, [(fleet.a_cmd.encode() + text, 0)]))
    client.expect_closed(Reason.MALFORMED_PACKET)


def test_B12_an_overlong_slash_does_not_reach_another_level(fleet: Fleet) -> None:
    victim = fleet.victim()
    client = fleet.attacker()
    topic = fleet.b_cmd.encode().replace(b"/", b"\xc0\xaf")
    client.send(wire.publish(fleet.version, topic, b"stolen"))
    client.expect_closed(Reason.MALFORMED_PACKET)
    assert fleet.heard(victim, fleet.b_cmd) == []


def test_B14_levels_are_exact(fleet: Fleet) -> None:
    """Empty levels, case and a mark at the front make another topic, which is not granted."""
    client = fleet.attacker()
    site, own = fleet.space.site, fleet.a.id
    variants = [
        f"{site}/dev//{own}/cmd",
        f"/{site}/dev/{own}/cmd",
        f"{site}/dev/{own}/cmd/",
        f"{site}/DEV/{own}/cmd",
        f"{site}/dev/{own.upper()}/cmd",
        f"{site}/dev/{own}/CMD",
        f"\ufeff{site}/dev/{own}/cmd",
        f"{site}/dev/./{own}/cmd",
        f"{site}/dev/../dev/{own}/cmd",
    ]
    denied = _code(fleet, Reason.NOT_AUTHORIZED)
    assert client.subscribe(*variants) == (denied,) * len(variants)
    assert client.subscribe(fleet.a_cmd) == (0,)


@pytest.mark.parametrize("topic_filter", ["a+", "dev+/x", "a/#/b", "##", "+a", "a/b#", "#/"])
def test_B15_illegal_wildcards(fleet: Fleet, topic_filter: str) -> None:
    client = fleet.attacker()
    client.send(wire.subscribe(fleet.version, 1, [(topic_filter, 0)]))
    for packet in client.receive_or_closed():
        reason = packet.reasons[0] if packet.type is Type.SUBACK else packet.reason
        if fleet.version is Version.V5:
            assert reason in (
                Reason.TOPIC_FILTER_INVALID,
                Reason.MALFORMED_PACKET,
                Reason.PROTOCOL_ERROR,
            )
        else:
            assert reason >= FAILURE_311


def test_B16_a_wide_filter_is_refused_when_it_is_asked_for(fleet: Fleet) -> None:
    """Not filtered message by message at delivery: there is no subscription at all."""
    before = fleet.space.plane.status()["subscriptions"]
    client = fleet.attacker()
    client.subscribe("#", "+/#", f"{fleet.space.site}/#")
    assert fleet.space.plane.status()["subscriptions"] == before
