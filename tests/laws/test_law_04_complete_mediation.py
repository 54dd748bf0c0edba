"""Law 4. Every delivery is judged by the policy of its moment, for reader and sender.

A seeded random walk: two senders and two readers publish, subscribe, leave and come back while
their rights come and go; once each reader for itself, and once as members of a group, where what
one may no longer have goes to the other. A model holds the rights alone. Whatever is delivered, on
whatever path, must be allowed to its reader and to its sender at that moment, and what is delivered
live while everything was allowed all along has to arrive.
"""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support import wire
from tests.support.client import Client
from tests.support.space import Identity, Space
from tests.support.wire import Packet, Property, Version

LEAVES = ("a", "b", "c")
STEPS = 500


@dataclass
class Party:
    """A sender or reader, the role that is its alone and its connection if it has one."""

    identity: Identity
    role: dict[str, Any]
    client: Client | None = None
    allowed: set[str] = field(default_factory=lambda: set(LEAVES))
    quarantined: bool = False


class Walk:
    """The system under test and the model of who may do what."""

    def __init__(self, space: Space, version: Version, seed: int, *, shared: bool) -> None:
        self.space = space
        self.shared = shared
        self.version = version
        self.chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self.senders = [self._party(f"sender{number}") for number in range(2)]
        self.readers = [self._party(f"reader{number}") for number in range(2)]
        self.delivered = 0

    def _party(self, name: str) -> Party:
        grants: list[dict[str, Any]] = [
            {"topic": f"{{site}}/m/{leaf}", "retain": True} for leaf in LEAVES
        ]
        # Devices have no groups.
        kind = "service" if self.shared and name.startswith("reader") else "device"
        role = self.space.role(
            name,
            kind=kind,
            share=["crew"] if kind == "service" else (),
            publish=grants if name.startswith("sender") else (),
            subscribe=[grant["topic"] for grant in grants] if name.startswith("reader") else (),
        )
        return Party(self.space.identity(name, kind=kind, group=name), role)

    def topic(self, leaf: str) -> str:
        return f"{self.space.site}/m/{leaf}"

    def filter(self, leaf: str) -> str:
        return ("$share/crew/" if self.shared else "") + self.topic(leaf)

    def judge(self, reader: Party, packets: list[Packet]) -> None:
        """Law 4 itself."""
        for packet in packets:
            if packet.type is not wire.Type.PUBLISH:
                continue
            self.delivered += 1
            leaf = packet.topic.rsplit("/", 1)[1]
            sender = self.senders[int(packet.payload.split(b":")[0])]
            assert leaf in reader.allowed, f"{packet} for {reader.identity.name}"
            assert not reader.quarantined
            assert leaf in sender.allowed, f"{packet} of {sender.identity.name}"
            assert not sender.quarantined

    def settle(self) -> None:
        """Takes what is on its way under the rights that now hold, before they change.

        An acknowledgement makes room for more, with members of a group for more of another one.
        """
        while self.take():
            pass

    def take(self) -> int:
        """What each reader is sent, mostly acknowledged; how much that was."""
        count = 0
        for reader in self.readers:
            if reader.client is not None:
                packets = reader.client.fence()
                count += len(packets)
                self.judge(reader, packets)
                for packet in packets:
                    if packet.type is wire.Type.PUBLISH and self.chance.random() < 0.7:
                        reader.client.complete(packet)
        return count

    # --- steps -----------------------------------------------------------------------------------

    def publish(self) -> None:
        number = self.chance.randrange(len(self.senders))
        sender = self.senders[number]
        if sender.client is None:
            return
        leaf = self.chance.choice(LEAVES)
        payload = b"%d:%d" % (number, self.chance.randrange(1000))
        sender.client.publish(
            self.topic(leaf),
            payload,
            self.chance.randrange(3),
            retain=self.chance.random() < 0.3,
        )

    def subscribe(self) -> None:
        reader = self.chance.choice(self.readers)
        if reader.client is not None:
            leaf = self.chance.choice(LEAVES)
            codes = reader.client.subscribe(self.filter(leaf), qos=self.chance.randrange(3))
            assert (codes[0] < 0x80) is (leaf in reader.allowed)

    def come_and_go(self) -> None:
        party = self.chance.choice(self.senders + self.readers)
        if party.client is not None:
            if party in self.readers:
                self.judge(party, party.client.fence())
            party.client.cut()
            party.client = None
        elif not party.quarantined:
            pairs = [(Property.RECEIVE_MAXIMUM, 2)] if self.version is Version.V5 else []
            party.client = self.space.durable(self.version, party.identity, properties=pairs)
            if party in self.readers:
                self.judge(party, party.client.fence())

    def change(self) -> None:
        """A right comes or goes, or an identity is put into quarantine or let out of it."""
        self.settle()
        party = self.chance.choice(self.senders + self.readers)
        policy = self.space.plane.policy
        assert policy is not None
        if party.quarantined or self.chance.random() < 0.2:
            party.quarantined = not party.quarantined
            names = policy.exceptions["quarantined"]
            if party.quarantined:
                names.append(party.identity.name)
            else:
                names.remove(party.identity.name)
        else:
            gone = sorted(set(LEAVES) - party.allowed)
            # Rights come back more often than they go, or nothing would be delivered before long.
            leaf = self.chance.choice(gone if gone and self.chance.random() < 0.7 else LEAVES)
            party.allowed ^= {leaf}
            key = "publish" if party in self.senders else "subscribe"
            party.role[key] = [
                {"topic": f"{{site}}/m/{each}", "qos": 2, "line": 7}
                | ({"retain": True, "will": True} if key == "publish" else {})
                for each in sorted(party.allowed)
            ]
        self.space.plane.apply()
        if party.quarantined and party.client is not None:
            party.client.expect_closed()
            party.client = None
        for reader in self.readers:
            if reader.client is not None:
                self.judge(reader, reader.client.fence())


@pytest.mark.parametrize("shared", [False, True], ids=["plain", "shared"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_delivery_against_the_policy_of_its_moment(
    space: Space, version: Version, seed: int, shared: bool
) -> None:
    walk = Walk(space, version, seed, shared=shared)
    for party in walk.senders + walk.readers:
        party.client = space.durable(version, party.identity)
    for reader in walk.readers:
        assert reader.client is not None
        reader.client.subscribe(*map(walk.filter, LEAVES), qos=2)
    steps = [walk.publish, walk.subscribe, walk.come_and_go, walk.change]
    for _ in range(STEPS):
        walk.chance.choices(steps, weights=[12, 3, 3, 1])[0]()
    walk.settle()
    policy = space.plane.policy
    assert policy is not None
    for party in walk.senders + walk.readers:
        if party.quarantined:
            policy.exceptions["quarantined"].remove(party.identity.name)
    # A walk in which nothing is delivered would show nothing.
    assert walk.delivered > 20
