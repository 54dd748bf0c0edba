"""Runs every line of the benchmark against all brokers in turn and prints the ratios.

usage: python -m benches.compare [--rounds N] [--seconds S] [--only KEY …] [--brokers NAME …]
           [--pin] [--hold [KEY …]]

The method is described in docs/performance.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from benches.brokers import Broker, Mosquitto, Motte, Sink, Unavailable
from benches.holding import HOLDINGS
from benches.peers.brokers import Mochi, Nats
from benches.picture import picture
from benches.table import Sample, show, summarize
from motte.bench.fleet import Fleet, make_fleet
from motte.bench.generator import Report, run, value_of
from motte.bench.lines import MANY, Line, lines
from motte.bench.target import BenchError

ROOT: Final = Path(__file__).resolve().parent.parent
RESULTS: Final = ROOT / "benches" / "results"
BROKERS: Final[dict[str, type[Broker]]] = {
    kind.name: kind for kind in (Motte, Mosquitto, Mochi, Nats, Sink)
}
PLAIN_WIDTH: Final = 160
"""Width of the table, in characters, where nobody says how wide the output is."""


@dataclass(slots=True)
class Bench:
    """One run of the whole program."""

    options: argparse.Namespace
    fleet: Fleet
    brokers: list[Broker]
    console: Console
    samples: list[Sample] = field(default_factory=list)
    rates: dict[tuple[str, str], float] = field(default_factory=dict)
    """What each broker came to on each line last, for the lines that run at half of it."""

    def measure(self) -> list[Line]:
        """All rounds of all lines; who goes first changes every round. Returns the lines."""
        wanted = [
            line
            for line in lines(self.fleet.parties, self.options.seconds)
            if _is_wanted(line, self.options.only)
        ]
        with self.console.status("starting") as status:
            for line in wanted:
                for number in range(self.options.rounds):
                    order = self.brokers if number % 2 == 0 else self.brokers[::-1]
                    for broker in order:
                        status.update(f"{line.title}: round {number + 1}, {broker.name}")
                        self._measure_one(broker, line, number)
        self._check_same_cryptography()
        return wanted

    def _measure_one(self, broker: Broker, line: Line, number: int) -> None:
        if _qos(line) > broker.highest_qos:
            return
        if line.half_of is not None:
            line = line.at_rate(self.rates[broker.name, line.half_of] / 2)
        before = broker.cpu_seconds()
        target = self.fleet.target(broker.port)
        try:
            result: Report = run(target, line.mode, seconds=self.options.seconds)
            value, count = value_of(line, result.report)
        except BenchError as error:
            self.console.print(f"{broker.name}, {line.title}: no figure, {error.message}")
            return
        self.rates[broker.name, line.key] = value
        self.samples.append(
            Sample(
                line=line.key,
                broker=broker.name,
                round=number,
                value=value,
                broker_microseconds=(broker.cpu_seconds() - before) * 1e6 / max(1, count),
                generator_microseconds=result.cpu_seconds * 1e6 / max(1, count),
                report=result.report,
            )
        )

    def _check_same_cryptography(self) -> None:
        """All brokers must have negotiated the same, or the comparison is not one."""
        suites = {
            (tls["protocol"], tls["cipher_suite"], tls["key_exchange"])
            for sample in self.samples
            if (tls := sample.report["tls"])
        }
        if len(suites) > 1:
            raise BenchError(f"the brokers negotiated different TLS: {sorted(suites)}")


def _qos(line: Line) -> int:
    qos: int = line.mode.get("throughput", {}).get("qos", 0)
    return qos


def _is_wanted(line: Line, only: list[str] | None) -> bool:
    return only is None or line.key in only or line.key.replace("one", "latency", 1) in only


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


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description="Motte beside other brokers")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each line")
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of a run")
    parser.add_argument("--only", nargs="+", metavar="KEY", help="lines to run, by their keys")
    parser.add_argument("--brokers", nargs="+", choices=list(BROKERS), default=list(BROKERS))
    parser.add_argument(
        "--pin", action="store_true", help="each broker on one core, the generator on the others"
    )
    parser.add_argument(
        "--hold",
        nargs="*",
        metavar="KEY",
        help=f"measure held connections: {', '.join(HOLDINGS)}; all, if none is named",
    )
    return parser.parse_args()


def start(options: argparse.Namespace, fleet: Fleet, stack: contextlib.ExitStack) -> Bench:
    """Starts every broker that this machine has."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH, soft_wrap=True)
    brokers: list[Broker] = []
    for name in options.brokers:
        try:
            brokers.append(stack.enter_context(BROKERS[name](fleet)))
        except Unavailable as error:
            console.print(f"{name} is left out: {error}")
    if options.pin:
        cores = sorted(os.sched_getaffinity(0))
        for broker in brokers:
            broker.pin({cores[0]})
        os.sched_setaffinity(0, set(cores[1:]) or set(cores))
    return Bench(options, fleet, brokers, console)


def keep(bench: Bench, facts: dict[str, Any], result: dict[str, Any]) -> None:
    """Writes the result and its picture."""
    moment = datetime.now(UTC)
    document = {
        "at": moment.isoformat(timespec="seconds"),
        "machine": facts,
        "versions": {broker.name: broker.version() for broker in bench.brokers},
        "options": vars(bench.options),
        **result,
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{moment:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    bench.console.print(f"written to {path.relative_to(ROOT)}")
    if result.get("rows"):
        drawn = path.with_suffix(".svg")
        drawn.write_text(picture(result["rows"]), encoding="utf-8")
        bench.console.print(f"drawn in {drawn.relative_to(ROOT)}")


def main() -> int:
    """Measures, prints and keeps the result."""
    options = arguments()
    facts = machine()
    with tempfile.TemporaryDirectory(prefix="motte-bench-") as folder:
        if options.hold is not None:
            return hold(options, Path(folder), facts)
        with contextlib.ExitStack() as stack:
            bench = start(options, make_fleet(Path(folder), MANY), stack)
            bench.console.print(f"{facts['processor']}, {facts['cores']} cores")
            measured = bench.measure()
            names = [broker.name for broker in bench.brokers]
            rows = summarize(bench.samples, measured, names)
            show(rows, names, bench.console)
            samples = [asdict(sample) for sample in bench.samples]
            keep(bench, facts, {"rows": rows, "samples": samples})
    return 0


def hold(options: argparse.Namespace, folder: Path, facts: dict[str, Any]) -> int:
    """Measures what needs thousands of connections, one broker after another."""
    chosen = options.hold or list(HOLDINGS)
    results: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        fleet = make_fleet(folder, max(HOLDINGS[key].clients for key in chosen))
        bench = start(argparse.Namespace(**vars(options) | {"brokers": []}), fleet, stack)
        for key in chosen:
            results[key] = HOLDINGS[key].measure(fleet, options.brokers, BROKERS, bench.console)
        keep(bench, facts, {"held": results})
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
