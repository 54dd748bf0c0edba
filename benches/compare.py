"""Runs every line of the benchmark against both brokers in turn and prints the ratios.

usage: python -m benches.compare [--rounds N] [--seconds S] [--only KEY …] [--broker NAME]

The method is described in benches/README.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benches.brokers import Broker, Fleet, Mosquitto, Motte, make_fleet
from benches.scenarios import Line, lines

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benches" / "results"
BROKERS: Final = {"motte": Motte, "mosquitto": Mosquitto}
PLAIN_WIDTH: Final = 120
"""Width of the table, in characters, where nobody says how wide the output is."""
RUN_PATIENCE_SECONDS: Final = 120
"""Longest time that one run may take beyond its measured part."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one line against one broker."""

    line: str
    broker: str
    round: int
    value: float
    """Messages or connections per second; microseconds on a latency line."""
    broker_cpu_microseconds: float
    """Processor time of the broker for each message or connection."""
    generator_cpu_microseconds: float
    """Processor time of the load generator for each, its own connections and start included."""
    resident_mebibytes: float
    report: dict[str, Any]


class BenchmarkError(Exception):
    """A run that gives no figure."""


def load_binary() -> Path:
    """Where cargo put the load generator."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = target / "release" / "motte-load"
    if not binary.exists():
        message = f"{binary} is missing; build it with `cargo build --release -p motte-load`"
        raise BenchmarkError(message)
    return binary


def run_once(
    binary: Path, fleet: Fleet, broker: Broker, line: Line, number: int, seconds: float
) -> Sample:
    """Runs one line against one broker."""
    scenario = fleet.folder / "scenario.json"
    description = {
        "address": f"127.0.0.1:{broker.port}",
        "server_name": "localhost",
        "authority": str(fleet.authority),
        "mode": line.mode,
    }
    scenario.write_text(json.dumps(description), encoding="utf-8")
    before, generator_before = broker.cpu_seconds(), children_cpu_seconds()
    done = subprocess.run(
        [str(binary), str(scenario)],
        check=False,
        capture_output=True,
        text=True,
        timeout=seconds + RUN_PATIENCE_SECONDS,
    )
    used = broker.cpu_seconds() - before
    generator_used = children_cpu_seconds() - generator_before
    if done.returncode != 0:
        message = f"{line.title} against {broker.name}: {done.stderr.strip()}"
        raise BenchmarkError(message)
    report: dict[str, Any] = json.loads(done.stdout)
    if line.is_handshakes:
        value, work = report["connections_per_second"], report["connections"]
    else:
        check_nothing_lost(line, broker, report)
        value, work = report["messages_per_second"], report["delivered"]
    if line.is_paced:
        value = report["latency_microseconds"]["p50"]
    return Sample(
        line=line.key,
        broker=broker.name,
        round=number,
        value=value,
        broker_cpu_microseconds=used * 1e6 / max(1, work),
        generator_cpu_microseconds=generator_used * 1e6 / max(1, work),
        resident_mebibytes=broker.resident_mebibytes(),
        report=report,
    )


def children_cpu_seconds() -> float:
    """Processor time of all load generators that have ended so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def check_nothing_lost(line: Line, broker: Broker, report: dict[str, Any]) -> None:
    """At QoS 1 a lost or repeated message makes the figure worthless; at QoS 0 it is reported."""
    wrong = {key: report[key] for key in ("lost", "out_of_order", "unacknowledged") if report[key]}
    if wrong and report["qos"] > 0:
        message = f"{line.title} against {broker.name}: {wrong} of {report['published']} messages"
        raise BenchmarkError(message)


def check_same_cryptography(samples: list[Sample]) -> None:
    """Both brokers must have negotiated the same, or the comparison is not one."""
    negotiated = {json.dumps(sample.report["tls"], sort_keys=True) for sample in samples}
    if len(negotiated) > 1:
        message = f"the brokers negotiated different TLS: {sorted(negotiated)}"
        raise BenchmarkError(message)


def measure(
    options: argparse.Namespace, fleet: Fleet, brokers: list[Broker], console: Console
) -> list[Sample]:
    """All rounds of all lines. Each round runs both brokers; who goes first changes every round."""
    binary = load_binary()
    samples: list[Sample] = []
    chosen = [
        line
        for line in lines(fleet, options.seconds)
        if not options.only or line.key in options.only
    ]
    with console.status("starting") as status:
        for line in chosen:
            for number in range(options.rounds):
                order = brokers if number % 2 == 0 else brokers[::-1]
                for broker in order:
                    status.update(f"{line.title}: round {number + 1}, {broker.name}")
                    samples.append(run_once(binary, fleet, broker, line, number, options.seconds))
    check_same_cryptography(samples)
    return samples


def median(samples: list[Sample], line: str, broker: str, attribute: str = "value") -> float:
    """The median over the rounds."""
    values: list[float] = [
        getattr(sample, attribute)
        for sample in samples
        if sample.line == line and sample.broker == broker
    ]
    return statistics.median(values)


def latency(samples: list[Sample], line: str, broker: str, figure: str) -> float:
    """The median over the rounds of a percentile, in microseconds."""
    values: list[float] = [
        sample.report["latency_microseconds"][figure]
        for sample in samples
        if sample.line == line and sample.broker == broker
    ]
    return statistics.median(values)


def lost(samples: list[Sample], line: str, broker: str) -> str:
    """Messages lost at QoS 0 in all rounds together."""
    reports = [
        sample.report for sample in samples if sample.line == line and sample.broker == broker
    ]
    if any("lost" not in report for report in reports):
        return ""
    return f"{sum(report['lost'] for report in reports):,}"


def summarize(samples: list[Sample], chosen: list[Line], names: list[str]) -> list[dict[str, Any]]:
    """One row for each line: medians and, with both brokers, the ratio; above 1 Motte wins."""
    rows = []
    for line in chosen:
        row: dict[str, Any] = {"line": line.key, "title": line.title, "unit": line.unit}
        for name in names:
            row[name] = {
                "median": median(samples, line.key, name),
                "cpu_microseconds": median(samples, line.key, name, "broker_cpu_microseconds"),
                "p99_microseconds": latency(samples, line.key, name, "p99"),
                "lost": lost(samples, line.key, name),
            }
        if len(names) > 1:
            ratio = row["motte"]["median"] / row["mosquitto"]["median"]
            # A shorter latency is better.
            row["ratio"] = 1 / ratio if line.is_paced else ratio
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]], names: list[str], console: Console) -> None:
    """Prints the table."""
    table = Table(box=SIMPLE_HEAD, caption="medians of all rounds", caption_justify="left")
    table.add_column("line")
    for name in names:
        table.add_column(name, justify="right")
    if len(names) > 1:
        table.add_column("ratio", justify="right")
    for figure in ("CPU µs each", "p99 latency µs", "lost"):
        table.add_column(figure, justify="right")
    for row in rows:
        sides = [row[name] for name in names]
        cells = [f"{row['title']}, {row['unit']}", *(f"{side['median']:,.0f}" for side in sides)]
        if len(names) > 1:
            style = "green" if row["ratio"] >= 1 else "red"
            cells.append(f"[{style}]{row['ratio']:.2f}[/]")
        cells.append(" / ".join(f"{side['cpu_microseconds']:.1f}" for side in sides))
        cells.append(" / ".join(f"{side['p99_microseconds']:,.0f}" for side in sides))
        cells.append(" / ".join(side["lost"] for side in sides if side["lost"]))
        table.add_row(*cells)
    console.print(table)
    if len(names) > 1:
        console.print(
            f"Columns with two figures: {' / '.join(names)}. A ratio above 1: Motte wins."
        )


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "load_average_before": os.getloadavg()[0],
    }


def main() -> int:
    """Measures, prints and keeps the result."""
    parser = argparse.ArgumentParser(description="Motte beside Mosquitto")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each line")
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of a run")
    parser.add_argument("--only", nargs="+", metavar="KEY", help="lines to run, by their keys")
    parser.add_argument("--broker", choices=list(BROKERS), help="one broker alone, no ratios")
    options = parser.parse_args()
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    names = [options.broker] if options.broker else list(BROKERS)
    facts = machine()
    with (
        tempfile.TemporaryDirectory(prefix="motte-bench-") as folder,
        contextlib.ExitStack() as stack,
    ):
        fleet = make_fleet(Path(folder))
        brokers: list[Broker] = [stack.enter_context(BROKERS[name](fleet)) for name in names]
        versions = {broker.name: broker.version() for broker in brokers}
        console.print(f"{facts['processor']}, {facts['cores']} cores; {versions}")
        samples = measure(options, fleet, brokers, console)
        measured = {sample.line for sample in samples}
        chosen = [line for line in lines(fleet, options.seconds) if line.key in measured]
    rows = summarize(samples, chosen, names)
    show(rows, names, console)
    moment = datetime.now(UTC)
    result = {
        "at": moment.isoformat(timespec="seconds"),
        "machine": facts,
        "versions": versions,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "rows": rows,
        "samples": [asdict(sample) for sample in samples],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{moment:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchmarkError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
