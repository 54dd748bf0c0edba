"""A synchronous raw MQTT client over TLS: every wait has a deadline, nothing is hidden.

The client never answers by itself. A test sees each packet, and it says each packet; the helpers
for whole QoS flows are made of the same two steps. "Nothing arrives" is shown with a fence: what
the server had to say stands before the answer to a PINGREQ.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections import deque
from types import TracebackType
from typing import Self

import pytest

from tests.support import wire
from tests.support.wire import Packet, Property, Reason, Type, Version

DEADLINE = 5.0
"""Seconds that a test waits for what must happen; only a failing test waits that long."""


class Closed(AssertionError):  # noqa: N818 - what the server did, which tests wait for
    """The server closed the connection while a packet was expected."""


class Silent(AssertionError):  # noqa: N818 - what the server did
    """The deadline passed and nothing came."""


class Client:
    """One connection. Messages that arrive while something else is awaited are kept in order."""

    def __init__(self, connection: ssl.SSLSocket | socket.socket, version: Version) -> None:
        self.connection = connection
        self.version = version
        self.client_id = ""
        self.health_topic = ""
        self.connack: Packet | None = None
        self._buffer = b""
        self._kept: deque[Packet] = deque()
        self._next_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cut()

    # --- bytes -----------------------------------------------------------------------------------

    def send(self, *packets: bytes) -> None:
        """Sends bytes as they are, in one write."""
        self.connection.settimeout(DEADLINE)
        self.connection.sendall(b"".join(packets))

    def cut(self) -> None:
        """Ends the connection without a DISCONNECT, as a pulled plug does."""
        with contextlib.suppress(OSError):
            self.connection.close()

    def _read(self, until: float) -> Packet:
        while True:
            found = wire.parse(self.version, self._buffer)
            if found is not None:
                packet, size = found
                self._buffer = self._buffer[size:]
                return packet
            left = until - time.monotonic()
            if left <= 0:
                raise Silent(f"no packet came in time (unparsed: {self._buffer!r})")
            self.connection.settimeout(left)
            try:
                data = self.connection.recv(65536)
            except TimeoutError as error:
                raise Silent(f"no packet came in time (unparsed: {self._buffer!r})") from error
            except OSError as error:
                raise Closed(f"the connection was reset: {error}") from error
            if not data:
                if self._buffer:
                    raise Closed(f"closed in the middle of a packet: {self._buffer!r}")
                raise Closed("the server closed the connection")
            self._buffer += data

    # --- packets ---------------------------------------------------------------------------------

    def receive(self, within: float = DEADLINE) -> Packet:
        """The next packet, kept ones first."""
        if self._kept:
            return self._kept.popleft()
        return self._read(time.monotonic() + within)

    def expect(self, kind: Type, within: float = DEADLINE) -> Packet:
        """The next packet, which must be of this type."""
        packet = self.receive(within)
        assert packet.type is kind, f"expected {kind.name}, got {packet}"
        return packet

    def answer(self, kind: Type, packet_id: int | None = None) -> Packet:
        """The next packet that is not a message; messages that come first are kept."""
        until = time.monotonic() + DEADLINE
        skipped: list[Packet] = []
        while True:
            packet = self._kept.popleft() if self._kept else self._read(until)
            if packet.type is Type.PUBLISH:
                skipped.append(packet)
                continue
            assert packet.type is kind, f"expected {kind.name}, got {packet}"
            if packet_id is not None:
                assert packet.packet_id == packet_id
            self._kept.extendleft(reversed(skipped))
            return packet

    def expect_closed(self, *reasons: int, within: float = DEADLINE) -> Packet | None:
        """The server ends the connection; in 5.0 with a DISCONNECT that has one of ``reasons``.

        Without reasons any DISCONNECT, or none, will do. Returns the DISCONNECT.
        """
        until = time.monotonic() + within
        last: Packet | None = None
        try:
            while True:
                packet = self._kept.popleft() if self._kept else self._read(until)
                assert packet.type is Type.DISCONNECT, f"expected the end, got {packet}"
                assert last is None, "a second DISCONNECT"
                last = packet
        except Closed:
            pass
        if last is not None:
            assert self.version is Version.V5
            if reasons:
                shown = ", ".join(f"{reason:#04x}" for reason in reasons)
                assert last.reason in reasons, f"DISCONNECT {last.reason:#04x}, expected {shown}"
        elif reasons and self.version is Version.V5:
            raise AssertionError("closed without a DISCONNECT")
        return last

    def expect_refused(self, *reasons: int, code: int | None = None) -> Packet | None:
        """The CONNECT is refused and the connection ends.

        5.0: a CONNACK with one of ``reasons``, or none where there are none. 3.1.1: a CONNACK with
        the return code ``code``, or none where the packet is malformed (there MQTT-3.1.4-1).
        """
        if code is None if self.version is Version.V311 else not reasons:
            with pytest.raises(Closed):
                self.receive()
            return None
        connack = self.expect(Type.CONNACK)
        expected = reasons if self.version is Version.V5 else (code,)
        assert connack.reason in expected, f"CONNACK {connack.reason:#04x}, expected {expected}"
        assert not connack.session_present
        with pytest.raises(Closed):
            self.receive()
        return connack

    def fence(self) -> list[Packet]:
        """Everything that the server has to say by now.

        UNSUBSCRIBE is answered once everything that was recorded before is durable, and QoS 2
        messages may have waited for that. The answer may overtake messages that are ready at the
        same moment, but not those of an earlier one; so a round is closed by a second one, sent
        after the first was answered, and the fence is complete when a round brings nothing new.
        """
        out = self._round()
        while found := self._round():
            out += found
        return out

    def _round(self) -> list[Packet]:
        """What comes before the answer to one UNSUBSCRIBE from nothing."""
        packet_id = self.next_id()
        self.send(wire.unsubscribe(self.version, packet_id, ["nothing"]))
        out: list[Packet] = []
        until = time.monotonic() + DEADLINE
        while True:
            packet = self._kept.popleft() if self._kept else self._read(until)
            if packet.type is Type.UNSUBACK and packet.packet_id == packet_id:
                return out
            out.append(packet)

    def expect_nothing(self) -> None:
        """Nothing is on its way to this client."""
        assert self.fence() == []

    def read_available(self) -> list[Packet]:
        """Takes what has already arrived at this side, without waiting for more."""
        self.connection.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError, BlockingIOError):
            while data := self.connection.recv(65536):
                self._buffer += data
        out = list(self._kept)
        self._kept.clear()
        while (found := wire.parse(self.version, self._buffer)) is not None:
            packet, size = found
            self._buffer = self._buffer[size:]
            out.append(packet)
        return out

    def drain_or_fence(self) -> list[Packet]:
        """What comes until a PINGREQ is answered, or until the server has closed."""
        try:
            return self.fence()
        except (Closed, OSError):
            return []

    def receive_or_closed(self) -> list[Packet]:
        """One packet, or none where the server closes instead of answering."""
        try:
            return [self.receive()]
        except Closed:
            return []

    # --- whole exchanges -------------------------------------------------------------------------

    def connect(
        self,
        client_id: str,
        *,
        clean_start: bool = True,
        keep_alive: int = 60,
        will: wire.Will | None = None,
        username: str | None = None,
        password: bytes | None = None,
        properties: wire.Properties = (),
    ) -> Packet:
        """CONNECT; returns the CONNACK, whatever it says."""
        self.send(
            wire.connect(
                self.version,
                client_id,
                clean_start=clean_start,
                keep_alive=keep_alive,
                will=will,
                username=username,
                password=password,
                properties=properties,
            )
        )
        self.client_id = client_id
        packet = self.expect(Type.CONNACK)
        self.connack = packet
        return packet

    def next_id(self) -> int:
        """A packet identifier that this connection has not used yet."""
        self._next_id += 1
        return self._next_id

    def publish(
        self,
        topic: str,
        payload: bytes = b"",
        qos: int = 0,
        *,
        retain: bool = False,
        properties: wire.Properties = (),
    ) -> int:
        """A whole publication; returns the reason code of PUBACK or PUBREC, 0 in 3.1.1.

        QoS 0 has no answer, so a PINGREQ behind it shows that the server has handled it.
        """
        packet_id = self.next_id() if qos else None
        self.send(
            wire.publish(
                self.version,
                topic,
                payload,
                qos=qos,
                packet_id=packet_id,
                retain=retain,
                properties=properties,
            )
        )
        if packet_id is None:
            self._kept.extend(self._round())
            return 0
        if qos == 1:
            return self.answer(Type.PUBACK, packet_id).reason
        reason = self.answer(Type.PUBREC, packet_id).reason
        if reason < Reason.UNSPECIFIED:
            self.send(wire.acknowledge(self.version, Type.PUBREL, packet_id))
            assert self.answer(Type.PUBCOMP, packet_id).reason == 0
        return reason

    def subscribe(
        self,
        *filters: str,
        qos: int = 0,
        no_local: bool = False,
        retain_as_published: bool = False,
        retain_handling: int = 0,
        identifier: int | None = None,
    ) -> tuple[int, ...]:
        """SUBSCRIBE; returns the codes of the SUBACK."""
        option = wire.options(
            qos,
            no_local=no_local,
            retain_as_published=retain_as_published,
            retain_handling=retain_handling,
        )
        packet_id = self.next_id()
        pairs = [] if identifier is None else [(Property.SUBSCRIPTION_IDENTIFIER, identifier)]
        named = [(topic_filter, option) for topic_filter in filters]
        self.send(wire.subscribe(self.version, packet_id, named, pairs))
        return self.answer(Type.SUBACK, packet_id).reasons

    def unsubscribe(self, *filters: str) -> tuple[int, ...]:
        """UNSUBSCRIBE; returns the codes of the UNSUBACK, none in 3.1.1."""
        packet_id = self.next_id()
        self.send(wire.unsubscribe(self.version, packet_id, filters))
        return self.answer(Type.UNSUBACK, packet_id).reasons

    def message(self, within: float = DEADLINE) -> Packet:
        """The next message, acknowledged as its QoS asks."""
        packet = self.expect(Type.PUBLISH, within)
        self.complete(packet)
        return packet

    def complete(self, packet: Packet) -> None:
        """Takes ownership of a received message: PUBACK, or PUBREC, PUBREL and PUBCOMP."""
        if packet.packet_id is None:
            return
        kind = Type.PUBACK if packet.qos == 1 else Type.PUBREC
        self.send(wire.acknowledge(self.version, kind, packet.packet_id))
        if packet.qos == 2:
            self.answer(Type.PUBREL, packet.packet_id)
            self.send(wire.acknowledge(self.version, Type.PUBCOMP, packet.packet_id))

    def messages_until(self, canary: bytes) -> list[Packet]:
        """Messages before the one whose payload is ``canary``, which has to come."""
        out: list[Packet] = []
        while True:
            packet = self.message()
            if packet.payload == canary:
                return out
            out.append(packet)

    def disconnect(self, reason: int | None = None, properties: wire.Properties = ()) -> None:
        """DISCONNECT, then wait for the server to close as well."""
        self.send(wire.disconnect(self.version, reason, properties or None))
        self.drain()

    def drain(self) -> list[Packet]:
        """Reads until the server has closed; returns what came before."""
        until = time.monotonic() + DEADLINE
        out = list(self._kept)
        self._kept.clear()
        try:
            while True:
                out.append(self._read(until))
        except Closed:
            self.cut()
            return out
