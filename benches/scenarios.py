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
    count = len(fleet.sensors)
    first = fleet.sensors[0]
    sensors = {
        "client_id": "sensor-{n}",
        "certificate": first.certificate.replace("sensor-1", "sensor-{n}"),
        "key": first.key.replace("sensor-1", "sensor-{n}"),
        "first": 1,
        "count": count,
    }

    def throughput(
        qos: int, load: dict[str, Any], *, in_flight: int = IN_FLIGHT
    ) -> dict[str, Any]:
        return {
            "throughput": {
                "qos": qos,
                "payload_bytes": PAYLOAD_BYTES,
                "in_flight": in_flight,
                "window": WINDOW,
                "warmup_seconds": WARMUP_SECONDS,
                "seconds": seconds,
                "drain_seconds": DRAIN_SECONDS,
                **load,
            }
        }

    def telemetry(qos: int, sources: int, rate: int = 0) -> dict[str, Any]:
        load = {
            "rate": rate,
            "publishers": sensors | {"count": sources},
            "topic": "load/{client}/telemetry",
            "subscribers": collector,
            "filter": "load/+/telemetry" if sources > 1 else f"load/{first.client_id}/telemetry",
        }
        return throughput(qos, load)

    for qos in (0, 1):
        yield Line(f"one-qos{qos}", f"1 → 1, QoS {qos}", "messages/s", telemetry(qos, 1))
    for qos in (0, 1):
        title = f"{count} → 1, QoS {qos}"
        yield Line(f"fan-in-qos{qos}", title, "messages/s", telemetry(qos, count))
    for qos in (0, 1):
        # As many deliveries on their way as on the other lines would be too few for many readers.
        load = {
            "publishers": collector,
            "topic": COMMAND,
            "subscribers": sensors,
            "filter": COMMAND,
        }
        mode = throughput(qos, load, in_flight=IN_FLIGHT // 10)
        yield Line(f"fan-out-qos{qos}", f"1 → {count}, QoS {qos}", "deliveries/s", mode)
    handshakes = {"concurrency": CONCURRENT_HANDSHAKES, "seconds": seconds, "clients": sensors}
    yield Line("handshakes", "mTLS handshakes", "connections/s", {"handshakes": handshakes})
    for qos in (0, 1):
        title = f"latency, QoS {qos}, {LATENCY_RATE}/s"
        yield Line(f"latency-qos{qos}", title, "µs, median", telemetry(qos, 1, LATENCY_RATE))
