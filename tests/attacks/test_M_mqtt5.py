"""Group M: features of MQTT 5.0, and what 3.1.1 has of them."""

import pytest

from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.policy import LIMITS
from tests.support.space import Space
from tests.support.wire import Property, Reason, Type, Version

Pairs = list[tuple[int, wire.PropertyValue]]
FIVE = pytest.mark.only(Version.V5)


@FIVE
@pytest.mark.parametrize("alias", [0, LIMITS["topic_aliases"] + 1, 0xFFFF, "unknown"])
def test_M1_aliases_that_are_none(fleet: Fleet, alias: int | str) -> None:
    client = fleet.attacker()
    ear = fleet.ear()
    if alias == "unknown":
        packet = wire.publish(fleet.version, "", b"x", properties=[(Property.TOPIC_ALIAS, 5)])
    else:
        pairs: Pairs = [(Property.TOPIC_ALIAS, alias)]
        packet = wire.publish(fleet.version, fleet.a_tel, b"x", properties=pairs)
    client.send(packet)
    client.expect_closed(Reason.TOPIC_ALIAS_INVALID, Reason.PROTOCOL_ERROR)
    assert fleet.heard(ear, fleet.a_tel) == []


@FIVE
@pytest.mark.parametrize("where", ["CONNECT", "PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "DISCONNECT"])
def test_M3_ten_thousand_user_properties(fleet: Fleet, where: str) -> None:
    pairs: Pairs = [(Property.USER_PROPERTY, ("a", "b"))] * 10_000
    version = fleet.version
    if where == "CONNECT":
        client = fleet.space.open(version, fleet.a)
        client.send(wire.connect(version, fleet.a.id, properties=pairs))
        packets = client.drain()
        assert all(packet.type is Type.CONNACK and packet.reason for packet in packets)
        return
    client = fleet.attacker()
    client.send(
        {
            "PUBLISH": wire.publish(version, fleet.a_tel, properties=pairs),
            "SUBSCRIBE": wire.subscribe(version, 1, [(fleet.a_cmd, 0)], pairs),
            "UNSUBSCRIBE": wire.unsubscribe(version, 1, [fleet.a_cmd], pairs),
            "DISCONNECT": wire.disconnect(version, 0, pairs),
        }[where]
    )
    client.expect_closed()


@FIVE
@pytest.mark.parametrize("path", ["live", "retained", "offline queue"])
def test_M4_the_backend_is_not_an_attackers_deputy(fleet: Fleet, path: str) -> None:
    """A response topic that its sender may not read would make whoever answers write there."""
    topic = fleet.space.of(fleet.a, "state")
    backend = fleet.space.durable(fleet.version, fleet.backend)
    backend.subscribe(topic, qos=1)
    if path == "offline queue":
        backend.cut()
    client = fleet.attacker()
    for response in (fleet.b_cmd, fleet.b_tel, "$SYS/x", "anything"):
        pairs: Pairs = [(Property.RESPONSE_TOPIC, response)]
        reason = client.publish(topic, b"ask", 1, retain=path == "retained", properties=pairs)
        assert reason == Reason.NOT_AUTHORIZED
        fleet.evidence(fleet.a, layer="authorization")
    own: Pairs = [(Property.RESPONSE_TOPIC, fleet.space.of(fleet.a, "reply"))]
    assert client.publish(topic, b"good", 1, properties=own) == 0
    if path == "offline queue":
        backend = fleet.space.durable(fleet.version, fleet.backend, session=True)
    assert backend.message().payload == b"good"


@FIVE
def test_M6_a_subscription_identifier_from_a_client(fleet: Fleet) -> None:
    ear = fleet.ear()
    client = fleet.attacker()
    pairs: Pairs = [(Property.SUBSCRIPTION_IDENTIFIER, 1)]
    client.send(wire.publish(fleet.version, fleet.a_tel, b"x", properties=pairs))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET)
    assert fleet.heard(ear, fleet.a_tel) == []


@FIVE
@pytest.mark.parametrize(
    "pair",
    [
        (Property.RECEIVE_MAXIMUM, 0),
        (Property.MAXIMUM_PACKET_SIZE, 0),
        (Property.REQUEST_PROBLEM_INFORMATION, 2),
        (Property.REQUEST_RESPONSE_INFORMATION, 255),
    ],
    ids=lambda pair: Property(pair[0]).name,
)
def test_M8_values_that_mean_nothing(
    fleet: Fleet, pair: tuple[Property, wire.PropertyValue]
) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    client.send(wire.connect(fleet.version, fleet.a.id, properties=[pair]))
    client.expect_refused(Reason.PROTOCOL_ERROR)


@FIVE
def test_M8_a_session_for_ever_is_cut_to_the_role(fleet: Fleet) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    pairs: Pairs = [(Property.SESSION_EXPIRY_INTERVAL, 0xFFFFFFFF)]
    connack = client.connect(fleet.a.id, properties=pairs)
    assert connack.number(Property.SESSION_EXPIRY_INTERVAL) == LIMITS["session_expiry"]


@FIVE
def test_M9_qos_1_and_qos_2_share_the_receive_maximum(space: Space, version: Version) -> None:
    space.role("tight", publish=["{site}/dev/{device}/tel"], limits={"inflight": 3})
    who = space.device("tight", "tight")
    client = space.client(version, who)
    assert client.connack is not None
    assert client.connack.number(Property.RECEIVE_MAXIMUM) == 3
    for number in (1, 2, 3):
        client.send(wire.publish(version, space.of(who, "tel"), qos=2, packet_id=number))
        client.expect(Type.PUBREC)
    client.send(wire.publish(version, space.of(who, "tel"), qos=1, packet_id=4))
    client.expect_closed(Reason.RECEIVE_MAXIMUM_EXCEEDED)
    space.plane.await_evidence(identity=who.name, client_id=who.id, kind="refused")


@FIVE
@pytest.mark.parametrize("reason", [0x00, 0x18, 0x19])
def test_M11_auth_where_no_method_was_agreed(fleet: Fleet, reason: int) -> None:
    client = fleet.attacker()
    client.send(wire.auth(reason, [(Property.AUTHENTICATION_METHOD, "other")]))
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.BAD_AUTHENTICATION_METHOD)


@FIVE
def test_M11_a_method_in_connect_is_not_stalled_over(fleet: Fleet) -> None:
    client = fleet.space.open(fleet.version, fleet.a)
    pairs: Pairs = [(Property.AUTHENTICATION_METHOD, "GS2-KRB5")]
    client.send(
        wire.connect(fleet.version, fleet.a.id, properties=pairs),
        wire.auth(0x18, [(Property.AUTHENTICATION_METHOD, "GS2-KRB5")]) * 10,
    )
    client.expect_refused(Reason.BAD_AUTHENTICATION_METHOD)


@FIVE
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_M13_text_that_is_not_text(fleet: Fleet, qos: int) -> None:
    ear = fleet.ear()
    client = fleet.attacker()
    pairs: Pairs = [(Property.PAYLOAD_FORMAT_INDICATOR, 1)]
    packet_id = 1 if qos else None
    client.send(
        wire.publish(
            fleet.version, fleet.a_tel, b"\xc3\x28", qos=qos, packet_id=packet_id, properties=pairs
        )
    )
    for packet in client.receive_or_closed() if qos else []:
        assert packet.reason == Reason.PAYLOAD_FORMAT_INVALID
    assert fleet.heard(ear, fleet.a_tel) == []
