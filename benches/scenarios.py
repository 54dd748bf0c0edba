"""The lines of the benchmark: what is sent by whom to whom, as scenarios of ``motte-load``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from benches.brokers import Fleet

PAYLOAD_BYTES: Final = 120
"""A JSON telemetry message of a small device."""
WARMUP_SECONDS: Final = 0.5
DRAIN_SECONDS: Final = 5.0
IN_FLIGHT: Final = 1000
"""Messages on their way at most, both brokers alike: deep enough that neither waits for work."""
WINDOW: Final = 100
"""Messages of one publisher that wait for their PUBACK at most."""
CONCURRENT_HANDSHAKES: Final = 8
LATENCY_RATE: Final = 1000
"""Messages per second of the latency lines: well below what either broker can do."""

COMMAND: Final = "load/all/command"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table."""

    key: str
    title: str
    unit: str
    mode: dict[str, Any]

    @property
    def is_handshakes(self) -> bool:
        """Whether connections are counted, not messages."""
        return "handshakes" in self.mode

    @property
    def is_paced(self) -> bool:
        """Whether the rate is fixed, so that the latency is what counts."""
        return bool(self.mode.get("throughput", {}).get("rate"))


def lines(fleet: Fleet, seconds: float) -> Iterator[Line]:
    """Every line, in the order of the table."""
    collector = fleet.collector.as_scenario()
    sensors = [sensor.as_scenario() for sensor in fleet.sensors]
    count = len(sensors)
    sources = [
        {"identity": sensor, "topic": f"load/{sensor['client_id']}/telemetry"} for sensor in sensors
    ]

    def throughput(
        qos: int,
        publishers: list[dict[str, Any]],
        subscribers: list[dict[str, Any]],
        in_flight: int = IN_FLIGHT,
        rate: int = 0,
    ) -> dict[str, Any]:
        return {
            "throughput": {
                "qos": qos,
                "payload_bytes": PAYLOAD_BYTES,
                "in_flight": in_flight,
                "window": WINDOW,
                "rate": rate,
                "warmup_seconds": WARMUP_SECONDS,
                "seconds": seconds,
                "drain_seconds": DRAIN_SECONDS,
                "publishers": publishers,
                "subscribers": subscribers,
            }
        }

    all_telemetry = [{"identity": collector, "filters": ["load/+/telemetry"]}]
    one_telemetry = [{"identity": collector, "filters": [sources[0]["topic"]]}]
    commander = [{"identity": collector, "topic": COMMAND}]
    readers = [{"identity": sensor, "filters": [COMMAND]} for sensor in sensors]

    for qos in (0, 1):
        mode = throughput(qos, sources[:1], one_telemetry)
        yield Line(f"one-qos{qos}", f"1 → 1, QoS {qos}", "messages/s", mode)
    for qos in (0, 1):
        mode = throughput(qos, sources, all_telemetry)
        yield Line(f"fan-in-qos{qos}", f"{count} → 1, QoS {qos}", "messages/s", mode)
    for qos in (0, 1):
        # As many deliveries on their way as on the other lines would be too few for many readers.
        mode = throughput(qos, commander, readers, in_flight=IN_FLIGHT // 10)
        yield Line(f"fan-out-qos{qos}", f"1 → {count}, QoS {qos}", "deliveries/s", mode)
    handshakes = {"concurrency": CONCURRENT_HANDSHAKES, "seconds": seconds, "clients": sensors}
    yield Line("handshakes", "mTLS handshakes", "connections/s", {"handshakes": handshakes})
    for qos in (0, 1):
        mode = throughput(qos, sources[:1], one_telemetry, rate=LATENCY_RATE)
        title = f"latency, QoS {qos}, {LATENCY_RATE}/s"
        yield Line(f"latency-qos{qos}", title, "µs, median", mode)
