"""The lines of a benchmark: what is sent by whom to whom."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

__all__ = ["PAYLOAD_BYTES", "Group", "Line", "Parties", "lines"]

PAYLOAD_BYTES: Final = 64
"""A short telemetry message."""
PAYLOADS: Final = (16, 1024, 16 * 1024, 64 * 1024)
"""Other sizes that the pipelined line is measured at."""
WARMUP_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 10.0
IN_FLIGHT: Final = 1000
"""Messages on their way at most, for every broker alike: deep enough that none waits for work."""
WINDOW: Final = 100
"""Messages of one publisher that wait for their acknowledgement at most."""
SOME: Final = 50
"""Clients of the pipelined fan lines."""
MANY: Final = 1000
"""Clients of the fan lines that are not pipelined."""
CONCURRENT_HANDSHAKES: Final = 8
IN_FLIGHT_BYTES: Final = 4 * 1024 * 1024
"""Payload bytes on their way at most."""


@dataclass(frozen=True, slots=True)
class Group:
    """Clients that share a pattern of names: ``{n}`` is the number of the client."""

    client_id: str
    certificate: str
    key: str
    first: int = 0
    count: int = 1

    def of(self, count: int) -> "Group":
        """The first ``count`` of them."""
        return replace(self, count=count)

    def scenario(self) -> dict[str, Any]:
        """As the generator reads it."""
        return {
            "client_id": self.client_id,
            "certificate": self.certificate,
            "key": self.key,
            "first": self.first,
            "count": self.count,
        }


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part, and on which topics."""

    devices: Group
    service: Group
    report: str
    """Topic of a device's messages; ``{client}`` is its client id."""
    reports: str
    """Filter of the service."""
    command: str
    """Topic that every device reads."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    key: str
    title: str
    unit: str
    mode: dict[str, Any]
    half_of: str | None = None
    """The line whose rate this one runs at half of: its latency is what counts."""

    @property
    def is_handshakes(self) -> bool:
        """Whether connections are counted, not messages."""
        return "handshakes" in self.mode

    @property
    def is_latency(self) -> bool:
        """Whether the rate is given, so that the time is what counts."""
        return self.half_of is not None

    def at_rate(self, rate: float) -> "Line":
        """The line at so many messages a second."""
        throughput = self.mode["throughput"] | {"rate": max(1, int(rate))}
        return replace(self, mode={"throughput": throughput})


def lines(parties: Parties, seconds: float, payload: int = PAYLOAD_BYTES) -> Iterator[Line]:
    """Every line, in the order of the table."""
    build = _Builder(parties, seconds, payload)
    yield from build.one_to_one()
    yield from build.fans()
    for resume, title in ((False, "full"), (True, "resumed")):
        handshakes = {
            "concurrency": CONCURRENT_HANDSHAKES,
            "seconds": seconds,
            "resume": resume,
            "clients": parties.devices.of(min(SOME, parties.devices.count)).scenario(),
        }
        mode = {"handshakes": handshakes}
        yield Line(f"handshakes-{title}", f"mTLS handshakes, {title}", "connections/s", mode)


@dataclass(frozen=True, slots=True)
class _Builder:
    parties: Parties
    seconds: float
    payload: int

    def one_to_one(self) -> Iterator[Line]:
        for qos in (0, 1, 2):
            yield Line(f"one-qos{qos}", f"1 → 1, QoS {qos}", "messages/s", self._reports(qos, 1))
        for size in PAYLOADS:
            title = f"1 → 1, QoS 0, {_size(size)}"
            mode = self._reports(0, 1, payload_bytes=size)
            yield Line(f"one-{size}", title, "messages/s", mode)
        for qos in (0, 1):
            title = f"1 → 1, QoS {qos}, a record each"
            mode = self._reports(qos, 1, unbatched=True)
            yield Line(f"unbatched-qos{qos}", title, "messages/s", mode)
        for qos in (0, 1):
            title = f"1 → 1, QoS {qos}, one at a time"
            mode = self._reports(qos, 1, in_flight=1)
            yield Line(f"single-qos{qos}", title, "messages/s", mode)
        for qos in (1, 2):
            title = f"1 → 1, QoS {qos}, persistent sessions"
            mode = self._reports(qos, 1, persistent=True)
            yield Line(f"durable-qos{qos}", title, "messages/s", mode)
        for qos in (0, 1):
            title = f"latency at half load, QoS {qos}"
            mode = self._reports(qos, 1)
            yield Line(f"latency-qos{qos}", title, "µs, median", mode, half_of=f"one-qos{qos}")

    def fans(self) -> Iterator[Line]:
        some, many = (min(count, self.parties.devices.count) for count in (SOME, MANY))
        for qos in (0, 1):
            title = f"{some} → 1, QoS {qos}"
            yield Line(f"fan-in-qos{qos}", title, "messages/s", self._reports(qos, some))
        for qos in (0, 1):
            title = f"1 → {some}, QoS {qos}"
            # As many deliveries on their way as on the other lines would be too few.
            mode = self._commands(qos, some, in_flight=IN_FLIGHT // 10)
            yield Line(f"fan-out-qos{qos}", title, "deliveries/s", mode)
        for qos in (0, 1):
            title = f"{many} → 1, QoS {qos}, one at a time each"
            mode = self._reports(qos, many, in_flight=many)
            yield Line(f"fan-in-many-qos{qos}", title, "messages/s", mode)
        for qos in (0, 1):
            title = f"1 → {many}, QoS {qos}, one at a time"
            mode = self._commands(qos, many, in_flight=1)
            yield Line(f"fan-out-many-qos{qos}", title, "deliveries/s", mode)

    def _reports(self, qos: int, sources: int, **load: object) -> dict[str, Any]:
        parties = self.parties
        own = parties.report.replace("{client}", parties.devices.client_id)
        first = own.replace("{n}", str(parties.devices.first))
        return self._throughput(
            qos,
            {
                "publishers": parties.devices.of(sources).scenario(),
                "topic": parties.report,
                "subscribers": parties.service.scenario(),
                "filter": first if sources == 1 else parties.reports,
            }
            | load,
        )

    def _commands(self, qos: int, readers: int, **load: object) -> dict[str, Any]:
        return self._throughput(
            qos,
            {
                "publishers": self.parties.service.scenario(),
                "topic": self.parties.command,
                "subscribers": self.parties.devices.of(readers).scenario(),
                "filter": self.parties.command,
            }
            | load,
        )

    def _throughput(self, qos: int, load: dict[str, Any]) -> dict[str, Any]:
        size = load.get("payload_bytes", self.payload)
        return {
            "throughput": {
                "qos": qos,
                "payload_bytes": self.payload,
                "in_flight": max(1, min(IN_FLIGHT, IN_FLIGHT_BYTES // size)),
                "window": WINDOW,
                "warmup_seconds": WARMUP_SECONDS,
                "seconds": self.seconds,
                "drain_seconds": DRAIN_SECONDS,
            }
            | load
        }


def _size(count: int) -> str:
    return f"{count} B" if count < 1024 else f"{count // 1024} KiB"  # noqa: PLR2004 (a KiB)
