"""Group N: malformed packets; every one is closed on, and the broker stays as it was."""

import contextlib
import random
import ssl
from pathlib import Path

import pytest

from tests.attacks import corpus
from tests.support import wire
from tests.support.catalogue import Fleet
from tests.support.client import Client, Closed, Silent
from tests.support.space import Space
from tests.support.wire import Reason, Type, Version

ENDS = (
    Reason.MALFORMED_PACKET,
    Reason.PROTOCOL_ERROR,
    Reason.PACKET_TOO_LARGE,
    Reason.TOPIC_ALIAS_INVALID,
    Reason.TOPIC_NAME_INVALID,
    Reason.TOPIC_FILTER_INVALID,
    Reason.BAD_AUTHENTICATION_METHOD,
)


def _cases() -> list[tuple[Version, str]]:
    return [(version, name) for version, found in corpus.AFTER_CONNECT.items() for name in found]


@pytest.mark.parametrize(
    ("spoken", "name"), _cases(), ids=[f"{version}: {name}" for version, name in _cases()]
)
def test_N1_to_N6_after_a_good_connect(space: Space, spoken: Version, name: str) -> None:
    client = space.client(spoken, space.device())
    # A PINGREQ behind it must not be answered: nothing after a malformed packet is read.
    client.send(corpus.AFTER_CONNECT[spoken][name], wire.PINGREQ)
    client.expect_closed(*ENDS)


@pytest.mark.parametrize("name", corpus.first_packets(Version.V5))
def test_N7_instead_of_a_good_connect(space: Space, version: Version, name: str) -> None:
    client = space.open(version, space.device())
    client.send(corpus.first_packets(version)[name])
    raw = b""
    with contextlib.suppress(OSError):
        while data := client.connection.recv(4096):
            raw += data
    # Nothing, or one CONNACK that refuses, in the form of either version.
    assert raw == b"" or (raw[0] == 0x20 and raw[3] != 0 and len(raw) == raw[1] + 2), raw


def test_N6_the_connack_of_cve_2021_28166(space: Space) -> None:
    client = space.open(Version.V5, space.device())
    client.send(corpus.CVE_2021_28166)
    assert client.expect(Type.CONNACK).reason == 0
    client.expect_closed(Reason.PROTOCOL_ERROR, Reason.MALFORMED_PACKET)


@pytest.mark.parametrize("name", ["remaining length of five bytes", "type 0"])
def test_N1_evidence_of_a_malformed_packet(fleet: Fleet, name: str) -> None:
    client = fleet.attacker()
    client.send(corpus.AFTER_CONNECT[fleet.version][name])
    client.expect_closed(*ENDS)
    record = fleet.evidence(fleet.a, layer="protocol")
    assert record["client_id"] == fleet.a.id


def test_N1_the_whole_corpus_leaks_nothing(space: Space, version: Version) -> None:
    """Memory and descriptors after a second and a third round are those after the first."""
    process = space.plane.process
    assert process is not None

    def round_of_all() -> None:
        # From an address of its own: so many failures earn a ban.
        own = Space(space.plane)
        for packet in corpus.AFTER_CONNECT[version].values():
            client = own.client(version, own.device())
            client.send(packet)
            client.drain()
        own.close()

    def memory() -> int:
        status = Path(f"/proc/{process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])

    round_of_all()
    before = memory()
    for _ in range(2):
        round_of_all()
    assert memory() - before < 4 * 1024, "KiB"


def test_N9_two_parties_speak_nonsense_at_once(space: Space, version: Version) -> None:
    """Random legal packets, torn and swapped, from two clients that share topics and sessions."""
    seed = 20_261_123 + int(version)
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    topics = [space.topic(leaf) for leaf in ("a", "b", "a/b", "+/b", "#")]
    names = [space.identity("left"), space.identity("right")]
    clients: list[Client | None] = [None, None]
    for _ in range(600):
        side = chance.randrange(2)
        client = clients[side]
        try:
            if client is None:
                client = clients[side] = space.open(version, names[side])
                will = wire.Will(topics[0], b"w", chance.randrange(3))
                client.connect(
                    names[side].id,
                    clean_start=chance.random() < 0.3,
                    will=will if chance.random() < 0.5 else None,
                )
                continue
            client.send(_nonsense(chance, version, topics))
            client.read_available()
            if chance.random() < 0.05:
                client.cut()
                clients[side] = None
        except (OSError, Closed, Silent):
            clients[side] = None
    fresh = space.client(version)
    fresh.subscribe(space.topic("after"), qos=2)
    fresh.publish(space.topic("after"), b"x", 2)
    assert fresh.message().payload == b"x"


def _nonsense(chance: random.Random, version: Version, topics: list[str]) -> bytes:
    number = chance.randrange(1, 6)
    qos = chance.randrange(3)
    packets = [
        wire.publish(
            version,
            chance.choice(topics[:3]),
            b"x" * chance.randrange(50),
            qos=qos,
            packet_id=number if qos else None,
            dup=qos > 0 and chance.random() < 0.5,
            retain=chance.random() < 0.5,
        ),
        wire.subscribe(version, number, [(chance.choice(topics), qos)]),
        wire.unsubscribe(version, number, [chance.choice(topics)]),
        wire.acknowledge(version, Type.PUBACK, number),
        wire.acknowledge(version, Type.PUBREC, number),
        wire.acknowledge(version, Type.PUBREL, number),
        wire.acknowledge(version, Type.PUBCOMP, number),
        wire.PINGREQ,
        wire.disconnect(version),
        wire.connect(version, "somebody"),
    ]
    packet = bytearray(chance.choices(packets, weights=[9, 5, 4, 4, 4, 4, 4, 2, 1, 1])[0])
    if chance.random() < 0.1:
        packet[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
    if chance.random() < 0.03:
        del packet[chance.randrange(len(packet)) :]
    return bytes(packet)


def test_N3_a_clean_close_of_tls_is_enough(space: Space, version: Version) -> None:
    """close_notify without DISCONNECT ends a connection like a broken one: the will is sent."""
    watcher = space.client(version)
    watcher.subscribe(space.topic("w"))
    client = space.client(version, will=wire.Will(space.topic("w"), b"w"))
    assert isinstance(client.connection, ssl.SSLSocket)
    with contextlib.suppress(OSError):
        client.connection.unwrap()
    client.cut()
    assert watcher.message().payload == b"w"
