"""Clients that keep MQTT's promises over every cut, and a checker of what the broker made of them.

A `Publisher` sends numbered messages and sends again what was not acknowledged; a `Reader` takes
them and remembers, as a QoS 2 receiver has to, which identifiers it has seen. Both come back until
they are told to stop. Neither ever crashes: whatever is lost or doubled, the broker did.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tests.support import wire
from tests.support.client import Client, Closed, Silent
from tests.support.deployment import wait_until
from tests.support.space import Identity, Space
from tests.support.wire import Packet, Reason, Type, Version

WINDOW = 10
"""Messages that a publisher has under way at once."""
BEAT = 0.02
"""Seconds after which a client that hears nothing looks whether it is to stop."""
PATIENCE = 30.0
"""Seconds for what must happen after the last crash; only a failing test waits that long."""


@dataclass
class Party:
    """What publishers and readers have in common: a thread, a session and a broker that dies."""

    space: Space
    identity: Identity
    version: Version
    stopping: threading.Event = field(default_factory=threading.Event)
    failure: BaseException | None = None

    def start(self) -> None:
        """Begins on a thread of its own."""
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Ends it when its work is done; raises what it died of."""
        self.stopping.set()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), f"{self.identity.id} does not come to an end: {self}"
        if self.failure is not None:
            raise self.failure

    def _work(self) -> None:
        try:
            while not self.is_done():
                # What a broker that dies looks like from here.
                with contextlib.suppress(Closed, ConnectionError, ssl.SSLError, socket.timeout):
                    self._live()
        except BaseException as error:  # noqa: BLE001 - told where the test waits for it
            self.failure = error

    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.stopping.is_set()

    def _live(self) -> None:
        """One connection, to its end."""
        properties = []
        if self.version is Version.V5:
            properties = [(wire.Property.SESSION_EXPIRY_INTERVAL, 600)]
        with Client(self.space.plane.tls(self.identity.credential), self.version) as client:
            connack = client.connect(self.identity.id, clean_start=False, properties=properties)
            assert connack.reason == 0, connack
            self.resumed(client, present=connack.session_present)
            while not self.is_done():
                self.speak(client)
                with contextlib.suppress(Silent):
                    self.hear(client, client.receive(BEAT))

    def resumed(self, client: Client, *, present: bool) -> None:
        """The session is there, or begins."""

    def speak(self, client: Client) -> None:
        """What there is to say by itself."""

    def hear(self, client: Client, packet: Packet) -> None:
        """What has come."""


@dataclass
class Publisher(Party):
    """Sends `<name> <number>` to its topic, one QoS for all."""

    topic: str = ""
    qos: int = 1
    sent: int = 0
    under_way: OrderedDict[int, bytes] = field(default_factory=OrderedDict)
    """By packet identifier, oldest first."""
    released: set[int] = field(default_factory=set)
    acknowledged: list[bytes] = field(default_factory=list)
    """In the order of their sending."""

    def is_done(self) -> bool:
        """Everything that was begun is finished first."""
        return self.stopping.is_set() and not self.under_way

    def resumed(self, client: Client, *, present: bool) -> None:
        """Sends again what was not acknowledged, in order (MQTT-4.4.0-1)."""
        assert present or not self.acknowledged, "a session with acknowledged messages is gone"
        for packet_id, payload in self.under_way.items():
            if packet_id in self.released:
                client.send(wire.acknowledge(self.version, Type.PUBREL, packet_id))
            else:
                client.send(self._publish(packet_id, payload, dup=True))

    def speak(self, client: Client) -> None:
        """Fills its window."""
        batch = []
        while len(self.under_way) < WINDOW and not self.stopping.is_set():
            self.sent += 1
            packet_id = self.sent % 60_000 + 1
            payload = f"{self.identity.id} {self.sent}".encode()
            self.under_way[packet_id] = payload
            batch.append(self._publish(packet_id, payload, dup=False))
        if batch:
            client.send(*batch)

    def _publish(self, packet_id: int, payload: bytes, *, dup: bool) -> bytes:
        return wire.publish(
            self.version, self.topic, payload, qos=self.qos, packet_id=packet_id, dup=dup
        )

    def hear(self, client: Client, packet: Packet) -> None:
        """PUBACK; or PUBREC, from which on the broker has the message, and PUBCOMP."""
        packet_id = packet.packet_id or 0
        if packet.type is Type.PUBREC:
            assert packet.reason in {0, Reason.NO_MATCHING_SUBSCRIBERS}, packet
            if packet_id not in self.released and packet_id in self.under_way:
                self.released.add(packet_id)
                self.acknowledged.append(self.under_way[packet_id])
            client.send(wire.acknowledge(self.version, Type.PUBREL, packet_id))
        elif packet.type is Type.PUBACK:
            assert packet.reason in {0, Reason.NO_MATCHING_SUBSCRIBERS}, packet
            self.acknowledged.append(self.under_way.pop(packet_id))
        elif packet.type is Type.PUBCOMP:
            self.under_way.pop(packet_id, None)
            self.released.discard(packet_id)
        else:
            raise AssertionError(f"{self.identity.id} got {packet}")


@dataclass
class Reader(Party):
    """Takes everything that its filter matches."""

    topics: Sequence[str] = ()
    received: list[tuple[int, bytes]] = field(default_factory=list)
    """QoS and payload of each message that is new to a client that keeps the rules."""
    seen: dict[bytes, None] = field(default_factory=dict)
    """The same payloads, once each, in the order of their first coming."""
    unreleased: set[int] = field(default_factory=set)
    """Identifiers of QoS 2 messages that were received and not released."""

    def hear(self, client: Client, packet: Packet) -> None:
        """A message, or the release of one."""
        packet_id = packet.packet_id or 0
        if packet.type is Type.PUBREL:
            self.unreleased.discard(packet_id)
            client.send(wire.acknowledge(self.version, Type.PUBCOMP, packet_id))
            return
        assert packet.type is Type.PUBLISH, f"{self.identity.id} got {packet}"
        if packet.qos == 1:
            self._take(packet)
            client.send(wire.acknowledge(self.version, Type.PUBACK, packet_id))
            return
        if packet_id not in self.unreleased:
            self.unreleased.add(packet_id)
            self._take(packet)
        client.send(wire.acknowledge(self.version, Type.PUBREC, packet_id))

    def _take(self, packet: Packet) -> None:
        self.received.append((packet.qos, packet.payload))
        self.seen[packet.payload] = None


def judge(publishers: Sequence[Publisher], readers: Sequence[Reader]) -> None:
    """Law 7: acknowledged means delivered, QoS 2 means once, and the order is kept."""
    for reader in readers:
        counts = Counter(reader.received)
        first: dict[str, list[int]] = defaultdict(list)
        for payload in reader.seen:
            name, number = payload.decode().split()
            first[name].append(int(number))
        for publisher in publishers:
            missing = [payload for payload in publisher.acknowledged if payload not in reader.seen]
            where = f"from {publisher.identity.id} (QoS {publisher.qos}) to {reader.identity.id}"
            assert not missing, f"{len(missing)} acknowledged messages lost {where}: {missing[:5]}"
            numbers = first[publisher.identity.id]
            assert numbers == sorted(numbers), f"out of order {where}"
        doubled = [payload for (qos, payload), count in counts.items() if qos == 2 and count > 1]
        assert not doubled, f"QoS 2 twice to {reader.identity.id}: {doubled[:5]}"


def acknowledged(publishers: Sequence[Publisher], goal: int) -> Callable[[], bool]:
    """Whether so many messages are acknowledged; raises what a publisher died of."""

    def reached() -> bool:
        _raise_failure(publishers)
        return sum(len(publisher.acknowledged) for publisher in publishers) >= goal

    return reached


def _raise_failure(parties: Sequence[Party]) -> None:
    for party in parties:
        if party.failure is not None:
            raise party.failure


def await_the_rest(publishers: Sequence[Publisher], readers: Sequence[Reader]) -> None:
    """Until each reader has what was acknowledged, for as long as it comes nearer to that."""
    wanted = {payload for publisher in publishers for payload in publisher.acknowledged}
    for reader in readers:
        while len(reader.seen) < len(wanted) or not wanted <= reader.seen.keys():
            before = len(reader.received)

            def progressed(reader: Reader = reader, before: int = before) -> bool:
                _raise_failure([reader])
                return len(reader.received) > before

            missing = len(wanted - reader.seen.keys())
            wait_until(progressed, f"the rest, {missing} for {reader.identity.id},", PATIENCE)


@contextlib.contextmanager
def running(parties: Sequence[Party]) -> Iterator[None]:
    """All of them at work."""
    for party in parties:
        party.start()
    try:
        yield
    finally:
        for party in parties:
            party.stopping.set()
