"""``limits = { … }`` of a role: how much one identity may use (layer 6).

What a role leaves out has the default of its kind, which stands in one place only, in the data
plane. Some limits follow from others when a role states only one of a pair, so that no stated
limit is made unreachable by a default: see `complete`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from motte import _core
from motte.policy import quantities
from motte.policy.diagnostics import Location
from motte.policy.document import Entry, Node, Reader, Shape
from motte.policy.model import Kind
from motte.policy.quantities import QuantityError

__all__ = ["LIMITS", "Limit", "complete", "defaults", "read_limits"]

_KIB: Final = 1024
_MIB: Final = 1024 * 1024
_DAY: Final = 86_400

MAXIMUM_RATE: Final = 1_000_000
"""Messages per second of one identity at most: what a whole node can pass on, so that a role for a
bridge need not be held back by this."""
MAXIMUM_BURST: Final = 10_000_000
"""Messages at once at most: ten seconds at the highest rate."""
MAXIMUM_BYTES: Final = 1024 * _MIB
"""Bytes of a rate, burst, queue or retained store at most: 1 GiB, memory that one identity could
otherwise take from all others."""
MAXIMUM_PAYLOAD: Final = 16 * _MIB
"""Bytes of one payload at most: a message is held whole in memory; larger things go in parts."""
PACKET_OVERHEAD: Final = 4 * _KIB
"""Bytes that a packet may have besides its payload: topic (at most 1 KiB) and properties."""
MINIMUM_PACKET: Final = 256
"""Bytes of one packet at least: a CONNECT with a certificate's id and a will fits."""
MAXIMUM_COUNT: Final = 1_000_000
"""Queued or retained messages at most: with their bookkeeping some 100 MB."""
MAXIMUM_SUBSCRIPTIONS: Final = 10_000
"""Subscriptions of a session at most: a service that follows each device by name."""
MAXIMUM_INFLIGHT: Final = 65_535
"""Unacknowledged messages at most: packet identifiers are 16 bits."""
MAXIMUM_ALIASES: Final = 1024
"""Topic aliases at most: each holds a topic of up to 1 KiB."""
MAXIMUM_CONNECTIONS: Final = 1000
"""Connections, and sessions, of one identity at most: a large pool of workers."""
MAXIMUM_EXPIRY: Final = 365 * _DAY
"""Seconds a session or message is kept at most: what is older than a year is not waited for."""
MINIMUM_KEEP_ALIVE: Final = 5
"""Seconds of keep alive at least: below that a moment without radio ends the connection."""
MAXIMUM_KEEP_ALIVE: Final = 18 * 3600
"""Seconds of keep alive at most: the protocol's field ends at 65,535 s."""
BURST_SECONDS: Final = 5
"""A burst that a role does not state is this many seconds of the stated rate."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One key of ``limits``."""

    key: str
    field: str
    """Its name in the snapshot."""
    meaning: str
    minimum: int
    maximum: int
    example: str
    parse: Callable[[str], int] | None = None
    """How its text is read; ``None`` for a plain count."""
    show: Callable[[int], str] = str

    def shown(self, value: int) -> str:
        """A value as the policy file writes it, without quotes."""
        return self.show(value)


def _rate(value: int) -> str:
    return f"{value}/s"


def _size_rate(value: int) -> str:
    return f"{quantities.shown_size(value)}/s"


def _count(key: str, field: str, meaning: str, bounds: tuple[int, int], example: int) -> Limit:
    return Limit(key, field, meaning, *bounds, str(example))


def _size(key: str, field: str, meaning: str, bounds: tuple[int, int], example: str) -> Limit:
    parse, show = quantities.size, quantities.shown_size
    return Limit(key, field, meaning, *bounds, f'"{example}"', parse, show)


def _time(key: str, field: str, meaning: str, bounds: tuple[int, int], example: str) -> Limit:
    parse, show = quantities.duration, quantities.shown_duration
    return Limit(key, field, meaning, *bounds, f'"{example}"', parse, show)


_TABLE: Final = (
    Limit(
        "messages", "messages_per_second", "messages published per second",
        1, MAXIMUM_RATE, '"10/s"', quantities.rate, _rate,
    ),
    _count("message_burst", "message_burst", "messages published at once", (1, MAXIMUM_BURST), 50),
    Limit(
        "bytes", "bytes_per_second", "payload bytes published per second",
        _KIB, MAXIMUM_BYTES, '"100KiB/s"', quantities.size_rate, _size_rate,
    ),
    _size("byte_burst", "byte_burst", "payload bytes published at once",
          (_KIB, MAXIMUM_BYTES), "256KiB"),
    _size("payload", "payload", "bytes of one payload", (1, MAXIMUM_PAYLOAD), "4KiB"),
    _size("packet", "packet", "bytes of one whole packet",
          (MINIMUM_PACKET, MAXIMUM_PAYLOAD + PACKET_OVERHEAD), "8KiB"),
    _count("inflight", "inflight", "unacknowledged messages towards the broker",
           (1, MAXIMUM_INFLIGHT), 20),
    _count("queue", "queue_messages", "messages kept for it while it is away",
           (0, MAXIMUM_COUNT), 1000),
    _size("queue_bytes", "queue_bytes", "payload bytes kept for it while it is away",
          (0, MAXIMUM_BYTES), "1MiB"),
    _count("subscriptions", "subscriptions", "subscriptions of one session",
           (0, MAXIMUM_SUBSCRIPTIONS), 10),
    _count("retained", "retained_messages", "retained messages it may own",
           (0, MAXIMUM_COUNT), 10),
    _size("retained_bytes", "retained_bytes", "payload bytes of its retained messages",
          (0, MAXIMUM_BYTES), "64KiB"),
    _time("session_expiry", "session_expiry", "time a session outlives its connection",
          (0, MAXIMUM_EXPIRY), "1h"),
    _count("connections", "connections", "connections at the same time",
           (1, MAXIMUM_CONNECTIONS), 1),
    _count("sessions", "sessions", "sessions at the same time, connected or not",
           (1, MAXIMUM_CONNECTIONS), 1),
    _time("keep_alive", "keep_alive", "longest keep alive",
          (MINIMUM_KEEP_ALIVE, MAXIMUM_KEEP_ALIVE), "5m"),
    _count("topic_aliases", "topic_aliases", "topic aliases it may set", (0, MAXIMUM_ALIASES), 16),
    _time("message_expiry", "message_expiry", "longest time a message waits for a reader",
          (1, MAXIMUM_EXPIRY), "1d"),
)  # fmt: skip

LIMITS: Final[Mapping[str, Limit]] = {limit.key: limit for limit in _TABLE}
"""Every key of ``limits``, in the order of the documentation."""


def defaults(kind: Kind) -> Mapping[str, int]:
    """The limits of a role that states none, by their names in the snapshot."""
    return _core.default_limits(kind.value)


def complete(kind: Kind, stated: Mapping[str, int]) -> dict[str, int]:
    """All limits of a role: what it states, what follows from that, and the defaults.

    A stated rate brings a burst of `BURST_SECONDS`; a stated payload brings a packet, a burst and
    a queue that it fits into; several connections bring as many sessions.
    """
    limits = dict(defaults(kind))
    if "messages_per_second" in stated:
        limits["message_burst"] = min(stated["messages_per_second"] * BURST_SECONDS, MAXIMUM_BURST)
    if "bytes_per_second" in stated:
        limits["byte_burst"] = min(stated["bytes_per_second"] * BURST_SECONDS, MAXIMUM_BYTES)
    limits |= stated
    if "payload" in stated:
        derived = {
            "packet": stated["payload"] + PACKET_OVERHEAD,
            "byte_burst": max(limits["byte_burst"], stated["payload"]),
            "queue_bytes": max(limits["queue_bytes"], stated["payload"]),
        }
        limits |= {field: value for field, value in derived.items() if field not in stated}
    elif "packet" in stated:
        limits["payload"] = min(limits["payload"], stated["packet"])
    if "connections" in stated and "sessions" not in stated:
        limits["sessions"] = max(limits["sessions"], stated["connections"])
    return limits


def read_limits(reader: Reader, entry: Entry, kind: Kind | None) -> dict[str, int]:
    """The limits that a role states, by their names in the snapshot."""
    if not reader.expect(entry, Shape.TABLE, 'write `limits = { messages = "10/s" }`'):
        return {}
    stated: dict[str, int] = {}
    places: dict[str, Location] = {}
    for one in entry.node.entries:
        limit = LIMITS.get(one.name)
        if limit is None:
            reader.unknown(one, LIMITS, "`limits`")
            continue
        value = _read(reader, limit, one.node)
        if value is not None:
            stated[limit.field] = value
            places[limit.field] = one.node.place
    if kind is not None:
        _check_together(reader, complete(kind, stated), places)
    return stated


def _read(reader: Reader, limit: Limit, node: Node) -> int | None:
    what = f"`{limit.key}`"
    example = f"write `{limit.key} = {limit.example}`"
    if limit.parse is None:
        if not reader.expect_node(node, Shape.INTEGER, what, example):
            return None
        value = node.scalar if isinstance(node.scalar, int) else 0
    else:
        if not reader.expect_node(node, Shape.TEXT, what, example):
            return None
        try:
            value = limit.parse(str(node.scalar))
        except QuantityError as error:
            reader.problems.error(
                "bad-quantity", node.place, f"`{limit.key}`: {error.message}", error.hint
            )
            return None
    if limit.minimum <= value <= limit.maximum:
        return value
    bound = "at least" if value < limit.minimum else "at most"
    nearest = limit.shown(limit.minimum if value < limit.minimum else limit.maximum)
    reader.problems.error(
        "limit-out-of-range",
        node.place,
        f"`{limit.key}` is {bound} {nearest}, not {limit.shown(value)}",
        f"{limit.meaning}: from {limit.shown(limit.minimum)} to {limit.shown(limit.maximum)}",
    )
    return None


_TOGETHER: Final = (
    ("payload", "packet", "a packet holds its payload"),
    ("payload", "byte_burst", "a larger payload than the burst never passes the byte rate"),
    ("payload", "queue_bytes", "a larger payload than the queue is never kept for a reader"),
    ("connections", "sessions", "each connection has a session of its own"),
)


def _check_together(
    reader: Reader, limits: Mapping[str, int], places: Mapping[str, Location]
) -> None:
    by_field = {limit.field: limit for limit in LIMITS.values()}
    for smaller, larger, reason in _TOGETHER:
        place = places.get(larger) or places.get(smaller)
        if place is None or limits[smaller] <= limits[larger]:
            continue
        low, high = by_field[smaller], by_field[larger]
        reader.problems.error(
            "limits-disagree",
            place,
            f"`{high.key}` ({high.shown(limits[larger])}) is smaller than "
            f"`{low.key}` ({low.shown(limits[smaller])})",
            f"{reason}: raise `{high.key}` or lower `{low.key}`",
        )
