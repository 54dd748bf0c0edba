"""MQTT packets as an auditor needs them: anything can be written, answers are read carefully.

Source: OASIS MQTT 3.1.1 and 5.0. Builders check nothing. The reader believes nothing: whatever a
broker sends becomes an `Answer` or a `WireError`, and takes no more memory than `MAXIMUM_ANSWER`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

__all__ = [
    "PINGREQ",
    "REFUSED",
    "V5",
    "V311",
    "Answer",
    "Kind",
    "Will",
    "WireError",
    "acknowledge",
    "connect",
    "frame",
    "publish",
    "read_answer",
    "reason_name",
    "subscribe",
    "utf8",
]

V311: Final = 4
"""Protocol level of MQTT 3.1.1."""
V5: Final = 5
"""Protocol level of MQTT 5.0."""
MAXIMUM_ANSWER: Final = 1 << 20
"""Bytes of one packet that the auditor reads at most; answers to its probes are far smaller."""
REFUSED: Final = 0x80
"""Reason codes from here on are failures (5.0, 2.4)."""
_LENGTH_BYTES: Final = 4
"""Bytes of a Variable Byte Integer at most (5.0, 1.5.5)."""


class WireError(Exception):
    """A broker sent something that is no MQTT packet."""


class Kind(IntEnum):
    """Control packet types (5.0, 2.1.2)."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


_NAMES: Final = {
    0x00: "success",
    0x10: "no matching subscribers",
    0x80: "unspecified error",
    0x81: "malformed packet",
    0x82: "protocol error",
    0x83: "implementation specific error",
    0x84: "unsupported protocol version",
    0x85: "client identifier not valid",
    0x86: "bad user name or password",
    0x87: "not authorized",
    0x88: "server unavailable",
    0x89: "server busy",
    0x8A: "banned",
    0x8C: "bad authentication method",
    0x8E: "session taken over",
    0x8F: "topic filter invalid",
    0x90: "topic name invalid",
    0x95: "packet too large",
    0x97: "quota exceeded",
    0x98: "administrative action",
    0x9A: "retain not supported",
    0x9B: "QoS not supported",
    0x9E: "shared subscriptions not supported",
    0x9F: "connection rate exceeded",
    0xA2: "wildcard subscriptions not supported",
}
_CONNACK_311: Final = (
    "accepted",
    "unacceptable protocol version",
    "identifier rejected",
    "server unavailable",
    "bad user name or password",
    "not authorized",
)


def reason_name(code: int) -> str:
    """A reason code as people read it: ``0x87 not authorized``."""
    return f"{code:#04x} {_NAMES.get(code, '')}".rstrip()


@dataclass(frozen=True, slots=True)
class Will:
    """The will of a CONNECT."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One packet from the broker."""

    kind: Kind
    flags: int
    body: bytes
    version: int

    @property
    def code(self) -> int:
        """The reason or return code of CONNACK, PUBACK, PUBREC and DISCONNECT; 0 if left out."""
        position = {Kind.CONNACK: 1, Kind.DISCONNECT: 0}.get(self.kind, 2)
        return self.body[position] if len(self.body) > position else 0

    @property
    def accepted(self) -> bool:
        """Whether a CONNACK, PUBACK or PUBREC says yes."""
        if self.kind is Kind.CONNACK and self.version == V311:
            return self.code == 0
        return self.code < REFUSED

    @property
    def codes(self) -> tuple[int, ...]:
        """The codes of a SUBACK or UNSUBACK, one for each filter."""
        return tuple(self.body[self._after_properties(2) :])

    @property
    def packet_id(self) -> int:
        """The packet identifier of an acknowledgement."""
        return int.from_bytes(self.body[:2], "big")

    @property
    def qos(self) -> int:
        """Quality of service of a PUBLISH."""
        return self.flags >> 1 & 3

    @property
    def retained(self) -> bool:
        """Whether a PUBLISH comes from the store of retained messages."""
        return bool(self.flags & 1)

    @property
    def topic(self) -> str:
        """Topic name of a PUBLISH."""
        end = 2 + int.from_bytes(self.body[:2], "big")
        return self.body[2:end].decode(errors="replace")

    @property
    def message_id(self) -> int:
        """Packet identifier of a PUBLISH with QoS 1 or 2."""
        start = 2 + int.from_bytes(self.body[:2], "big")
        return int.from_bytes(self.body[start : start + 2], "big")

    @property
    def payload(self) -> bytes:
        """What a PUBLISH carries."""
        start = 2 + int.from_bytes(self.body[:2], "big") + (2 if self.qos else 0)
        return self.body[self._after_properties(start) :]

    def _after_properties(self, start: int) -> int:
        if self.version != V5:
            return start
        size, used = _read_variable(self.body[start:]) or (0, 0)
        return start + used + size

    def __str__(self) -> str:
        if self.kind is Kind.CONNACK and self.version == V311:
            known = self.code < len(_CONNACK_311)
            return f"CONNACK {self.code} {_CONNACK_311[self.code] if known else ''}".rstrip()
        if self.kind in {Kind.CONNACK, Kind.PUBACK, Kind.PUBREC, Kind.DISCONNECT}:
            return f"{self.kind.name} {reason_name(self.code)}"
        if self.kind is Kind.SUBACK:
            said = ", ".join(
                f"granted QoS {code}" if code < REFUSED else reason_name(code)
                for code in self.codes
            )
            return f"SUBACK {said}"
        if self.kind is Kind.PUBLISH:
            stored = ", retained" if self.retained else ""
            return f"PUBLISH {self.topic} ({len(self.payload)} bytes{stored})"
        return self.kind.name


def utf8(value: str | bytes) -> bytes:
    """A UTF-8 string; bytes go in as they are, so that ill-formed text can be sent."""
    data = value.encode() if isinstance(value, str) else value
    return len(data).to_bytes(2, "big") + data


def frame(first: int, body: bytes) -> bytes:
    """A packet from its first byte and what follows the Remaining Length."""
    return bytes([first]) + _variable(len(body)) + body


def connect(
    version: int,
    client_id: str | bytes,
    *,
    username: str | None = None,
    password: bytes | None = None,
    clean: bool = True,
    will: Will | None = None,
    keep_alive: int = 30,
) -> bytes:
    """CONNECT; the session ends with the connection. ``keep_alive`` in seconds."""
    properties = b"\0" if version == V5 else b""
    flags = 0x02 if clean else 0
    payload = utf8(client_id)
    if will is not None:
        flags |= 0x04 | (0x20 if will.retain else 0)
        payload += properties + utf8(will.topic) + utf8(will.payload)
    if username is not None:
        flags |= 0x80
        payload += utf8(username)
    if password is not None:
        flags |= 0x40
        payload += utf8(password)
    head = utf8("MQTT") + bytes([version, flags]) + keep_alive.to_bytes(2, "big")
    return frame(0x10, head + properties + payload)


def subscribe(version: int, packet_id: int, filters: Sequence[str | bytes]) -> bytes:
    """SUBSCRIBE with QoS 1; in 5.0 without the retained messages of others (Retain Handling 2)."""
    return _subscribe(version, packet_id, filters, 0x21 if version == V5 else 0x01)


def subscribe_with_retained(version: int, packet_id: int, filters: Sequence[str | bytes]) -> bytes:
    """SUBSCRIBE with QoS 1 that asks for retained messages."""
    return _subscribe(version, packet_id, filters, 0x01)


def _subscribe(version: int, packet_id: int, filters: Sequence[str | bytes], options: int) -> bytes:
    head = packet_id.to_bytes(2, "big") + (b"\0" if version == V5 else b"")
    return frame(0x82, head + b"".join(utf8(each) + bytes([options]) for each in filters))


def publish(
    version: int,
    topic: str | bytes,
    payload: bytes,
    *,
    packet_id: int | None = None,
    retain: bool = False,
) -> bytes:
    """PUBLISH with QoS 1, or QoS 0 where there is no packet identifier."""
    first = 0x30 | (0x02 if packet_id is not None else 0) | (0x01 if retain else 0)
    identifier = b"" if packet_id is None else packet_id.to_bytes(2, "big")
    return frame(first, utf8(topic) + identifier + (b"\0" if version == V5 else b"") + payload)


def acknowledge(packet_id: int) -> bytes:
    """PUBACK."""
    return frame(0x40, packet_id.to_bytes(2, "big"))


def read_answer(data: bytes, version: int) -> tuple[Answer, int] | None:
    """The first packet and its size in bytes, or ``None`` while it is incomplete."""
    if len(data) < 2:  # noqa: PLR2004 (a fixed header has two bytes at least)
        return None
    try:
        kind = Kind(data[0] >> 4)
    except ValueError:
        raise WireError(f"a packet of the reserved type {data[0] >> 4}") from None
    found = _read_variable(data[1:])
    if found is None:
        return None
    size, used = found
    if size > MAXIMUM_ANSWER:
        raise WireError(f"{kind.name} of {size} bytes")
    start = 1 + used
    if len(data) < start + size:
        return None
    return Answer(kind, data[0] & 0x0F, data[start : start + size], version), start + size


def _variable(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004 (seven bits to a byte)
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def _read_variable(data: bytes) -> tuple[int, int] | None:
    value = 0
    for position, byte in enumerate(data[:_LENGTH_BYTES]):
        value |= (byte & 0x7F) << (7 * position)
        if not byte & 0x80:
            return value, position + 1
    if len(data) >= _LENGTH_BYTES:
        raise WireError("a length that does not end")
    return None


PINGREQ: Final = frame(0xC0, b"")
"""Asks whether the other side is there."""
DISCONNECT: Final = frame(0xE0, b"")
"""Says good-bye; the will is dropped."""
