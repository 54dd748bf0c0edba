"""What needs thousands of connections: memory, a fleet that comes back, revocation and more."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benches.brokers import Broker, Motte, Unavailable
from motte.bench.fleet import COLLECTOR, START_SECONDS, DataPlane, Fleet, snapshot
from motte.bench.generator import Generator
from motte.plane.control import ControlClient, connect
from motte.policy.model import Exceptions

Kinds = Mapping[str, type[Broker]]

SOURCES: Final = 4
"""Loopback addresses that connections come from: one has 28,000 free ports."""
CONCURRENCY: Final = 16
"""Connections that are being opened at the same time."""
SETTLE_SECONDS: Final = 2.0
"""Until a broker has given back what it needs for handshakes only."""
OPEN_SECONDS: Final = 300.0
REVOCATIONS: Final = 100
"""Identities revoked one after another."""
SUBSCRIPTIONS: Final = (1_000, 10_000, 100_000, 1_000_000)
PER_CLIENT: Final = 1_000
"""Subscriptions of one client."""
SESSIONS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Holding:
    """One measurement."""

    clients: int
    measure: Callable[[Fleet, Sequence[str], Kinds, Console], dict[str, Any]]


def kernel_kibibytes() -> float:
    """Memory of the kernel's own objects, such as sockets, of both ends of a connection."""
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith("Slab:"))


@contextlib.contextmanager
def held(
    fleet: Fleet, broker: Broker, count: int, **load: object
) -> Iterator[tuple[Generator, dict[str, Any]]]:
    """So many open connections, one for each device."""
    mode: dict[str, object] = {
        "hold": {
            "concurrency": CONCURRENCY,
            "clients": fleet.parties.devices.of(count).scenario(),
        }
        | load
    }
    with Generator(fleet.target(broker.port, sources=SOURCES).scenario(mode)) as generator:
        yield generator, generator.event(OPEN_SECONDS)


def started(
    fleet: Fleet, names: Sequence[str], kinds: Kinds, console: Console
) -> Iterator[tuple[str, Broker]]:
    """Each broker in turn, started anew."""
    for name in names:
        if name == "sink":
            continue
        try:
            with kinds[name](fleet) as broker:
                yield name, broker
        except Unavailable as error:
            console.print(f"{name} is left out: {error}")


def memory(fleet: Fleet, names: Sequence[str], kinds: Kinds, console: Console) -> dict[str, Any]:
    """KiB of each idle mutual TLS connection, and the processor time that it took to open it."""
    results = {}
    count = MEMORY_CLIENTS
    for name, broker in started(fleet, names, kinds, console):
        kernel, resident = kernel_kibibytes(), broker.resident_kibibytes()
        busy = broker.cpu_seconds()
        with held(fleet, broker, count) as (_, opened):
            time.sleep(SETTLE_SECONDS)
            results[name] = {
                "connections": count,
                "resident_kibibytes_each": (broker.resident_kibibytes() - resident) / count,
                "kernel_kibibytes_each": (kernel_kibibytes() - kernel) / count,
                "broker_microseconds_each": (broker.cpu_seconds() - busy) * 1e6 / count,
                "opened": opened,
            }
        console.print(
            f"memory, {name}: {results[name]['resident_kibibytes_each']:.1f} KiB of the broker and "
            f"{results[name]['kernel_kibibytes_each']:.1f} KiB of the kernel (both ends) for each "
            f"of {count:,} idle connections"
        )
    return results


def storm(fleet: Fleet, names: Sequence[str], kinds: Kinds, console: Console) -> dict[str, Any]:
    """Every device comes back at once, with its session: how long until the last is in."""
    results = {}
    for name, broker in started(fleet, names, kinds, console):
        with held(fleet, broker, MEMORY_CLIENTS, persistent=True):
            pass
        busy, begun = broker.cpu_seconds(), time.monotonic()
        with held(fleet, broker, MEMORY_CLIENTS, persistent=True, again=True, concurrency=64) as (
            _,
            opened,
        ):
            busy, wall = broker.cpu_seconds() - busy, time.monotonic() - begun
        slowest = opened["latency_microseconds"]
        results[name] = {"opened": opened, "broker_cpu_seconds": busy, "wall_seconds": wall}
        console.print(
            f"storm, {name}: {MEMORY_CLIENTS:,} back in {opened['seconds']:.1f} s, "
            f"{busy * 1e6 / MEMORY_CLIENTS:.0f} µs of the broker each; a client waited "
            f"{slowest['p50'] / 1000:.0f} ms (p50), {slowest['maximum'] / 1000:.0f} ms at the most"
        )
    return results


def revocation(
    fleet: Fleet, _names: Sequence[str], _kinds: Kinds, console: Console
) -> dict[str, Any]:
    """From the command to the moment at which the client sees its connection end."""
    broker = Motte(fleet)
    with (
        broker,
        held(fleet, broker, REVOKED_CLIENTS) as (generator, _),
        connect(fleet.deployment.control_socket) as control,
    ):
        single = [
            _revoke(fleet, control, generator, number) for number in range(1, REVOCATIONS + 1)
        ]
        every = frozenset(f"device/sensor-{number}" for number in range(1, fleet.sensors + 1))
        begun = time.time()
        control.install(snapshot(fleet, REVOCATIONS + 2, Exceptions(revoked=every)).decode())
        answered = time.time() - begun
        left = REVOKED_CLIENTS - REVOCATIONS
        ends = [generator.event(OPEN_SECONDS)["at"] / 1e6 - begun for _ in range(left)]
    closed = sorted(end for end, _ in single)
    answers = sorted(answer for _, answer in single)
    ends.sort()
    result = {
        "connections": REVOKED_CLIENTS,
        "single_milliseconds": {"p50": _at(closed, 0.5), "p99": _at(closed, 0.99)},
        "single_answer_milliseconds": {"p50": _at(answers, 0.5), "p99": _at(answers, 0.99)},
        "all_milliseconds": {"p50": _at(ends, 0.5), "p99": _at(ends, 0.99)},
        "all_answer_milliseconds": answered * 1000,
    }
    console.print(f"revocation: {result}")
    return result


def _revoke(
    fleet: Fleet, control: ControlClient, generator: Generator, number: int
) -> tuple[float, float]:
    """Revokes one more; when its connection ended and when the command was answered."""
    revoked = frozenset(f"device/sensor-{one}" for one in range(1, number + 1))
    # Compiled before: what is measured is the data plane.
    text = snapshot(fleet, number + 1, Exceptions(revoked=revoked)).decode()
    begun = time.time()
    control.install(text)
    answered = time.time() - begun
    event = generator.event(START_SECONDS)
    assert event["closed"] == f"sensor-{number}", event  # noqa: S101
    return event["at"] / 1e6 - begun, answered


def _at(values: list[float], part: float) -> float:
    """Milliseconds."""
    return values[min(len(values) - 1, int(len(values) * part))] * 1000


def subscriptions(
    fleet: Fleet, names: Sequence[str], kinds: Kinds, console: Console
) -> dict[str, Any]:
    """Memory and time of a subscription as their number grows."""
    results: dict[str, Any] = {}
    for name in names:
        for total in SUBSCRIPTIONS:
            for _, broker in started(fleet, [name], kinds, console):
                count = max(1, total // PER_CLIENT)
                resident, busy = broker.resident_kibibytes(), broker.cpu_seconds()
                load = {"filter": "load/{client}/many/{f}", "filters": total // count}
                with held(fleet, broker, count, **load):
                    figures = {
                        "bytes_each": (broker.resident_kibibytes() - resident) * 1024 / total,
                        "broker_microseconds_each": (broker.cpu_seconds() - busy) * 1e6 / total,
                    }
                results.setdefault(name, {})[total] = figures
                console.print(
                    f"subscriptions, {name}, {total:,}: {figures['bytes_each']:.0f} B and "
                    f"{figures['broker_microseconds_each']:.1f} µs each, with {count:,} connections"
                )
    return results


def start(fleet: Fleet, _names: Sequence[str], _kinds: Kinds, console: Console) -> dict[str, Any]:
    """Seconds until a data plane listens that has so many sessions on disk."""
    plane = DataPlane(fleet)
    with plane:
        empty = _restart(plane)
        clients = {
            **fleet.parties.service.scenario(),
            "client_id": f"{COLLECTOR}:{{n}}",
            "count": min(SESSIONS, HELD_AT_ONCE),
        }
        made = 0
        while made < SESSIONS:
            mode: dict[str, object] = {
                "hold": {
                    "concurrency": CONCURRENCY,
                    "resume": True,
                    "persistent": True,
                    "clients": clients | {"first": made},
                }
            }
            target = fleet.target(plane.port, sources=SOURCES)
            with Generator(target.scenario(mode)) as generator:
                made += generator.event(OPEN_SECONDS)["opened"]
        full = statistics.median(_restart(plane) for _ in range(3))
        with connect(fleet.deployment.control_socket) as control:
            found = control.status().sessions
    console.print(f"start: {empty:.2f} s empty, {full:.2f} s with {found:,} sessions")
    return {"empty_seconds": empty, "seconds": full, "sessions": found}


def _restart(plane: DataPlane) -> float:
    plane.stop()
    begun = time.monotonic()
    plane.start()
    return time.monotonic() - begun


MEMORY_CLIENTS: Final = 15_000
REVOKED_CLIENTS: Final = 10_000
HELD_AT_ONCE: Final = 1_000

HOLDINGS: Final = {
    "memory": Holding(MEMORY_CLIENTS, memory),
    "storm": Holding(MEMORY_CLIENTS, storm),
    "revocation": Holding(REVOKED_CLIENTS, revocation),
    "subscriptions": Holding(max(SUBSCRIPTIONS) // PER_CLIENT, subscriptions),
    "start": Holding(1, start),
}
"""By their keys."""
