"""MQTT 3.1.1 and 5.0 on the wire, written from the OASIS texts and independent of Motte's codec.

Builders return bytes and check nothing, so that a test can say anything, malformed or not. The
parser is strict: it reads what a server sent and raises :class:`WireError` where a server has no
right to send it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

PropertyValue: TypeAlias = int | str | bytes | tuple[str, str]
Properties: TypeAlias = Sequence[tuple[int, PropertyValue]]


class WireError(AssertionError):
    """A server sent bytes that the standard does not allow."""


class Version(enum.IntEnum):
    """The protocol level byte of CONNECT."""

    V311 = 4
    V5 = 5

    def __str__(self) -> str:
        return "3.1.1" if self is Version.V311 else "5.0"


class Type(enum.IntEnum):
    """Control packet types (2.1.2)."""

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


class Property(enum.IntEnum):
    """Property identifiers (5.0, table 2-4)."""

    PAYLOAD_FORMAT_INDICATOR = 0x01
    MESSAGE_EXPIRY_INTERVAL = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY_INTERVAL = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY_INTERVAL = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARD_SUBSCRIPTION_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIERS_AVAILABLE = 0x29
    SHARED_SUBSCRIPTION_AVAILABLE = 0x2A


class Reason(enum.IntEnum):
    """Reason codes (5.0, table 2-6) that the tests name."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    RE_AUTHENTICATE = 0x19
    UNSPECIFIED = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


class Kind(enum.Enum):
    """How the value of a property is encoded (5.0, 1.5)."""

    BYTE = 1
    TWO = 2
    FOUR = 4
    VARIABLE = 5
    TEXT = 6
    BINARY = 7
    PAIR = 8


P = Property

PROPERTY_KINDS: dict[int, Kind] = {
    P.PAYLOAD_FORMAT_INDICATOR: Kind.BYTE,
    P.MESSAGE_EXPIRY_INTERVAL: Kind.FOUR,
    P.CONTENT_TYPE: Kind.TEXT,
    P.RESPONSE_TOPIC: Kind.TEXT,
    P.CORRELATION_DATA: Kind.BINARY,
    P.SUBSCRIPTION_IDENTIFIER: Kind.VARIABLE,
    P.SESSION_EXPIRY_INTERVAL: Kind.FOUR,
    P.ASSIGNED_CLIENT_IDENTIFIER: Kind.TEXT,
    P.SERVER_KEEP_ALIVE: Kind.TWO,
    P.AUTHENTICATION_METHOD: Kind.TEXT,
    P.AUTHENTICATION_DATA: Kind.BINARY,
    P.REQUEST_PROBLEM_INFORMATION: Kind.BYTE,
    P.WILL_DELAY_INTERVAL: Kind.FOUR,
    P.REQUEST_RESPONSE_INFORMATION: Kind.BYTE,
    P.RESPONSE_INFORMATION: Kind.TEXT,
    P.SERVER_REFERENCE: Kind.TEXT,
    P.REASON_STRING: Kind.TEXT,
    P.RECEIVE_MAXIMUM: Kind.TWO,
    P.TOPIC_ALIAS_MAXIMUM: Kind.TWO,
    P.TOPIC_ALIAS: Kind.TWO,
    P.MAXIMUM_QOS: Kind.BYTE,
    P.RETAIN_AVAILABLE: Kind.BYTE,
    P.USER_PROPERTY: Kind.PAIR,
    P.MAXIMUM_PACKET_SIZE: Kind.FOUR,
    P.WILDCARD_SUBSCRIPTION_AVAILABLE: Kind.BYTE,
    P.SUBSCRIPTION_IDENTIFIERS_AVAILABLE: Kind.BYTE,
    P.SHARED_SUBSCRIPTION_AVAILABLE: Kind.BYTE,
}

_PROBLEM = frozenset({P.REASON_STRING, P.USER_PROPERTY})

SERVER_PROPERTIES: dict[Type, frozenset[Property]] = {
    Type.CONNACK: _PROBLEM
    | {
        P.SESSION_EXPIRY_INTERVAL,
        P.RECEIVE_MAXIMUM,
        P.MAXIMUM_QOS,
        P.RETAIN_AVAILABLE,
        P.MAXIMUM_PACKET_SIZE,
        P.ASSIGNED_CLIENT_IDENTIFIER,
        P.TOPIC_ALIAS_MAXIMUM,
        P.WILDCARD_SUBSCRIPTION_AVAILABLE,
        P.SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
        P.SHARED_SUBSCRIPTION_AVAILABLE,
        P.SERVER_KEEP_ALIVE,
        P.RESPONSE_INFORMATION,
        P.SERVER_REFERENCE,
        P.AUTHENTICATION_METHOD,
        P.AUTHENTICATION_DATA,
    },
    Type.PUBLISH: frozenset(
        {
            P.PAYLOAD_FORMAT_INDICATOR,
            P.MESSAGE_EXPIRY_INTERVAL,
            P.TOPIC_ALIAS,
            P.RESPONSE_TOPIC,
            P.CORRELATION_DATA,
            P.USER_PROPERTY,
            P.SUBSCRIPTION_IDENTIFIER,
            P.CONTENT_TYPE,
        }
    ),
    Type.PUBACK: _PROBLEM,
    Type.PUBREC: _PROBLEM,
    Type.PUBREL: _PROBLEM,
    Type.PUBCOMP: _PROBLEM,
    Type.SUBACK: _PROBLEM,
    Type.UNSUBACK: _PROBLEM,
    Type.DISCONNECT: _PROBLEM | {P.SERVER_REFERENCE},
    Type.AUTH: _PROBLEM | {P.AUTHENTICATION_METHOD, P.AUTHENTICATION_DATA},
}
"""What a *server* may put into which packet; table 2-4 less what only clients send."""

REPEATABLE = frozenset({P.USER_PROPERTY, P.SUBSCRIPTION_IDENTIFIER})


# --- building ------------------------------------------------------------------------------------


def variable(number: int) -> bytes:
    """A Variable Byte Integer in its shortest form."""
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def two(number: int) -> bytes:
    """A Two Byte Integer."""
    return number.to_bytes(2, "big")


def four(number: int) -> bytes:
    """A Four Byte Integer."""
    return number.to_bytes(4, "big")


def binary(data: bytes) -> bytes:
    """Binary Data: a length and that many bytes."""
    return two(len(data)) + data


def text(value: str | bytes) -> bytes:
    """A UTF-8 string; bytes go in as they are, so that ill-formed text can be sent."""
    return binary(value.encode() if isinstance(value, str) else value)


def frame(first: int, body: bytes = b"") -> bytes:
    """A whole packet from its first byte and what follows the Remaining Length."""
    return bytes([first]) + variable(len(body)) + body


def property_bytes(identifier: int, value: PropertyValue) -> bytes:
    """One property; a ``bytes`` value for a text property goes in as it is."""
    head = variable(identifier)
    kind = PROPERTY_KINDS[identifier]
    if isinstance(value, tuple):
        return head + text(value[0]) + text(value[1])
    if isinstance(value, int):
        match kind:
            case Kind.BYTE:
                return head + bytes([value])
            case Kind.TWO:
                return head + two(value)
            case Kind.FOUR:
                return head + four(value)
            case _:
                return head + variable(value)
    return head + text(value)


def properties(pairs: Properties) -> bytes:
    """A property block with its length."""
    block = b"".join(property_bytes(identifier, value) for identifier, value in pairs)
    return variable(len(block)) + block


@dataclass(frozen=True, slots=True)
class Will:
    """The will of a CONNECT."""

    topic: str | bytes
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    properties: Properties = ()


def connect(
    version: Version,
    client_id: str | bytes,
    *,
    clean_start: bool = True,
    keep_alive: int = 60,
    will: Will | None = None,
    username: str | bytes | None = None,
    password: bytes | None = None,
    properties: Properties | bytes = (),
    protocol_name: str | bytes = "MQTT",
    level: int | None = None,
    flags: int | None = None,
    first: int = 0x10,
) -> bytes:
    """CONNECT; ``flags`` overrides the byte that the other arguments make."""
    bits = 0x02 if clean_start else 0
    payload = text(client_id)
    if will is not None:
        bits |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        if version is Version.V5:
            payload += _block(will.properties)
        payload += text(will.topic) + binary(will.payload)
    if username is not None:
        bits |= 0x80
        payload += text(username)
    if password is not None:
        bits |= 0x40
        payload += binary(password)
    head = text(protocol_name)
    head += bytes([version if level is None else level, bits if flags is None else flags])
    head += two(keep_alive)
    if version is Version.V5:
        head += properties if isinstance(properties, bytes) else _block(properties)
    return frame(first, head + payload)


def publish(
    version: Version,
    topic: str | bytes,
    payload: bytes = b"",
    *,
    qos: int = 0,
    packet_id: int | None = None,
    retain: bool = False,
    dup: bool = False,
    properties: Properties | bytes = (),
) -> bytes:
    """PUBLISH; the packet identifier is written whenever one is given, legal or not."""
    body = text(topic)
    if packet_id is not None:
        body += two(packet_id)
    if version is Version.V5:
        body += properties if isinstance(properties, bytes) else _block(properties)
    first = 0x30 | (0x08 if dup else 0) | qos << 1 | (1 if retain else 0)
    return frame(first, body + payload)


def acknowledge(
    version: Version,
    kind: Type,
    packet_id: int,
    reason: int | None = None,
    properties: Properties | None = None,
    *,
    first: int | None = None,
) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP, in the short form unless a reason is given."""
    body = two(packet_id)
    if version is Version.V5 and (reason is not None or properties is not None):
        body += bytes([reason or 0])
        if properties is not None:
            body += _block(properties)
    default = kind << 4 | (0x02 if kind is Type.PUBREL else 0)
    return frame(default if first is None else first, body)


def subscribe(
    version: Version,
    packet_id: int,
    filters: Iterable[tuple[str | bytes, int]],
    properties: Properties | bytes = (),
    *,
    first: int = 0x82,
) -> bytes:
    """SUBSCRIBE with (filter, options byte) pairs; see :func:`options`."""
    body = two(packet_id)
    if version is Version.V5:
        body += properties if isinstance(properties, bytes) else _block(properties)
    body += b"".join(text(topic_filter) + bytes([option]) for topic_filter, option in filters)
    return frame(first, body)


def options(
    qos: int = 0,
    *,
    no_local: bool = False,
    retain_as_published: bool = False,
    retain_handling: int = 0,
) -> int:
    """The subscription options byte."""
    local = 0x04 if no_local else 0
    published = 0x08 if retain_as_published else 0
    return qos | local | published | retain_handling << 4


def unsubscribe(
    version: Version,
    packet_id: int,
    filters: Iterable[str | bytes],
    properties: Properties | bytes = (),
    *,
    first: int = 0xA2,
) -> bytes:
    """UNSUBSCRIBE."""
    body = two(packet_id)
    if version is Version.V5:
        body += properties if isinstance(properties, bytes) else _block(properties)
    return frame(first, body + b"".join(text(topic_filter) for topic_filter in filters))


def disconnect(
    version: Version,
    reason: int | None = None,
    properties: Properties | None = None,
    *,
    first: int = 0xE0,
) -> bytes:
    """DISCONNECT, in the short form unless a reason is given."""
    body = b""
    if version is Version.V5 and (reason is not None or properties is not None):
        body = bytes([reason or 0])
        if properties is not None:
            body += _block(properties)
    return frame(first, body)


def auth(reason: int, properties: Properties = (), *, first: int = 0xF0) -> bytes:
    """AUTH, 5.0 only."""
    return frame(first, bytes([reason]) + _block(properties))


PINGREQ = frame(0xC0)


def _block(pairs: Properties) -> bytes:
    """:func:`properties` under a name that no parameter hides."""
    return properties(pairs)


# --- parsing -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet that a server sent. Fields that its type does not have keep their defaults."""

    type: Type
    size: int
    packet_id: int | None = None
    reason: int = 0
    reasons: tuple[int, ...] = ()
    session_present: bool = False
    topic: str = ""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    properties: tuple[tuple[int, PropertyValue], ...] = ()

    def all(self, identifier: int) -> list[PropertyValue]:
        """Every value of a property, in order."""
        return [value for found, value in self.properties if found == identifier]

    def number(self, identifier: int) -> int | None:
        """The value of a numeric property, or ``None`` where it is absent."""
        for value in self.all(identifier):
            assert isinstance(value, int)
            return value
        return None

    def text(self, identifier: int) -> str | None:
        """The value of a text property, or ``None`` where it is absent."""
        for value in self.all(identifier):
            assert isinstance(value, str)
            return value
        return None

    def data(self, identifier: int) -> bytes | None:
        """The value of a binary property, or ``None`` where it is absent."""
        for value in self.all(identifier):
            assert isinstance(value, bytes)
            return value
        return None

    @property
    def user_properties(self) -> list[tuple[str, str]]:
        """Name and value pairs in the order in which they came."""
        return [value for value in self.all(Property.USER_PROPERTY) if isinstance(value, tuple)]


class Reader:
    """Takes fields off the front of a packet's body."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, count: int) -> bytes:
        """Exactly ``count`` bytes."""
        if len(self.rest) < count:
            raise WireError(f"the packet ends {count - len(self.rest)} bytes early")
        out, self.rest = self.rest[:count], self.rest[count:]
        return out

    def byte(self) -> int:
        """One byte."""
        return self.take(1)[0]

    def number(self, size: int) -> int:
        """A big-endian integer."""
        return int.from_bytes(self.take(size), "big")

    def text(self) -> str:
        """A UTF-8 string without U+0000."""
        try:
            value = self.take(self.number(2)).decode()
        except UnicodeDecodeError as error:
            raise WireError("a string is not UTF-8") from error
        if "\0" in value:
            raise WireError("a string contains U+0000")
        return value

    def variable(self) -> int:
        """A Variable Byte Integer in its shortest form."""
        value = 0
        for position in range(4):
            byte = self.byte()
            value |= (byte & 0x7F) << 7 * position
            if byte < 0x80:
                if position and byte == 0:
                    raise WireError("a Variable Byte Integer is longer than it need be")
                return value
        raise WireError("a Variable Byte Integer has more than four bytes")

    def properties(self, kind: Type) -> tuple[tuple[int, PropertyValue], ...]:
        """A property block; each property must be legal here and not repeated unduly."""
        block = Reader(self.take(self.variable()))
        out: list[tuple[int, PropertyValue]] = []
        while block.rest:
            identifier = block.variable()
            if identifier not in SERVER_PROPERTIES[kind]:
                raise WireError(f"property {identifier:#04x} has no place in {kind.name}")
            seen = any(found == identifier for found, _ in out)
            if seen and identifier not in REPEATABLE:
                raise WireError(f"property {identifier:#04x} stands twice in {kind.name}")
            out.append((identifier, block.value(PROPERTY_KINDS[identifier])))
        return tuple(out)

    def value(self, kind: Kind) -> PropertyValue:
        """One property value."""
        match kind:
            case Kind.BYTE:
                return self.byte()
            case Kind.TWO:
                return self.number(2)
            case Kind.FOUR:
                return self.number(4)
            case Kind.VARIABLE:
                return self.variable()
            case Kind.TEXT:
                return self.text()
            case Kind.BINARY:
                return self.take(self.number(2))
            case Kind.PAIR:
                return (self.text(), self.text())


FLAGS = {Type.PUBREL: 0x02}


def split(buffer: bytes) -> tuple[int, bytes, int] | None:
    """(first byte, body, whole size) of the packet at the front, or ``None`` if incomplete."""
    length = 0
    for position in range(1, 5):
        if len(buffer) <= position:
            return None
        byte = buffer[position]
        length |= (byte & 0x7F) << 7 * (position - 1)
        if byte < 0x80:
            if position > 1 and byte == 0:
                raise WireError("the Remaining Length is longer than it need be")
            size = position + 1 + length
            return (buffer[0], buffer[position + 1 : size], size) if len(buffer) >= size else None
    raise WireError("the Remaining Length has more than four bytes")


def parse(version: Version, buffer: bytes) -> tuple[Packet, int] | None:
    """The packet at the front of ``buffer`` and its size, or ``None`` if it is incomplete."""
    parts = split(buffer)
    if parts is None:
        return None
    first, body, size = parts
    kind = Type(first >> 4)
    reader = Reader(body)
    if kind is Type.PUBLISH:
        packet = _publish(version, first, reader, size)
    else:
        if first & 0x0F != FLAGS.get(kind, 0):
            raise WireError(f"{kind.name} has the flags {first & 0x0F:#06b}")
        packet = _other(version, kind, reader, size)
    if reader.rest:
        raise WireError(f"{len(reader.rest)} bytes stand after the end of {kind.name}")
    return packet, size


def _publish(version: Version, first: int, reader: Reader, size: int) -> Packet:
    qos = first >> 1 & 3
    dup = bool(first & 8)
    if qos == 3:
        raise WireError("PUBLISH has QoS 3 [MQTT-3.3.1-4]")
    if dup and qos == 0:
        raise WireError("PUBLISH has DUP at QoS 0 [MQTT-3.3.1-2]")
    topic = reader.text()
    if "+" in topic or "#" in topic:
        raise WireError("the topic name holds a wildcard [MQTT-3.3.2-2]")
    packet_id = reader.number(2) if qos else None
    if packet_id == 0:
        raise WireError("the packet identifier is 0 [MQTT-2.2.1-4]")
    found = reader.properties(Type.PUBLISH) if version is Version.V5 else ()
    alias = any(identifier == Property.TOPIC_ALIAS for identifier, _ in found)
    if not topic and not alias:
        raise WireError("the topic name is empty [MQTT-4.7.3-1]")
    payload = reader.take(len(reader.rest))
    return Packet(
        Type.PUBLISH,
        size,
        packet_id=packet_id,
        topic=topic,
        payload=payload,
        qos=qos,
        retain=bool(first & 1),
        dup=dup,
        properties=found,
    )


def _other(version: Version, kind: Type, reader: Reader, size: int) -> Packet:
    five = version is Version.V5
    match kind:
        case Type.CONNACK:
            flags = reader.byte()
            if flags > 1:
                raise WireError("reserved CONNACK flags are set [MQTT-3.2.2-1]")
            reason = reader.byte()
            found = reader.properties(kind) if five else ()
            if reason and flags:
                raise WireError("a refusal says Session Present")
            return Packet(kind, size, reason=reason, session_present=flags == 1, properties=found)
        case Type.PUBACK | Type.PUBREC | Type.PUBREL | Type.PUBCOMP:
            packet_id = reader.number(2)
            reason = reader.byte() if five and reader.rest else 0
            found = reader.properties(kind) if five and reader.rest else ()
            return Packet(kind, size, packet_id=packet_id, reason=reason, properties=found)
        case Type.SUBACK | Type.UNSUBACK:
            packet_id = reader.number(2)
            found = reader.properties(kind) if five else ()
            reasons = tuple(reader.take(len(reader.rest)))
            if not reasons and (five or kind is Type.SUBACK):
                raise WireError(f"{kind.name} has no codes")
            if reasons and not five and kind is Type.UNSUBACK:
                raise WireError("a 3.1.1 UNSUBACK has a payload")
            return Packet(kind, size, packet_id=packet_id, reasons=reasons, properties=found)
        case Type.PINGRESP:
            return Packet(kind, size)
        case Type.DISCONNECT | Type.AUTH if five:
            reason = reader.byte() if reader.rest else 0
            found = reader.properties(kind) if reader.rest else ()
            return Packet(kind, size, reason=reason, properties=found)
        case _:
            raise WireError(f"a {version} server has no right to send {kind.name}")
