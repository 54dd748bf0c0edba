"""What many runs come to: medians, spread and ratios, as rows and as a table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from motte.bench.lines import Line

SUBJECT: Final = "motte"
"""The broker that the others are compared with."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of one line against one broker."""

    line: str
    broker: str
    round: int
    value: float
    """Messages or connections per second; microseconds on a latency line."""
    broker_microseconds: float
    """Processor time of the broker for each message or connection."""
    generator_microseconds: float
    """Processor time of the load generator for each, its start and its connections included."""
    report: dict[str, Any]

    def of(self, line: Line, broker: str) -> bool:
        """Whether it is one of this line and this broker."""
        return (self.line, self.broker) == (line.key, broker)


def summarize(samples: list[Sample], chosen: list[Line], names: list[str]) -> list[dict[str, Any]]:
    """One row for each line: medians with their spread, and ratios; above 1 Motte is ahead."""
    rows = []
    for line in chosen:
        sides = {
            name: side
            for name in names
            if (
                side := _side(
                    [one for one in samples if (one.line, one.broker) == (line.key, name)]
                )
            )
        }
        own = sides.get(SUBJECT)
        for name, side in sides.items():
            if own is None or name == SUBJECT:
                continue
            per_second = own["median"] / side["median"]
            # A shorter latency is better.
            side["ratio_per_second"] = 1 / per_second if line.is_latency else per_second
            if not line.is_latency:
                side["ratio_per_core_second"] = (
                    side["broker_microseconds"] / own["broker_microseconds"]
                )
        rows.append({"line": line.key, "title": line.title, "unit": line.unit, "brokers": sides})
    return rows


def _side(samples: list[Sample]) -> dict[str, Any]:
    if not samples:
        return {}
    values = [sample.value for sample in samples]
    latencies = [sample.report["latency_microseconds"] or {} for sample in samples]
    return {
        "median": statistics.median(values),
        "lowest": min(values),
        "highest": max(values),
        "broker_microseconds": statistics.median(one.broker_microseconds for one in samples),
        "generator_microseconds": statistics.median(one.generator_microseconds for one in samples),
        "p99_microseconds": statistics.median(one.get("p99", 0.0) for one in latencies),
        "lost": sum(sample.report.get("lost", 0) for sample in samples),
    }


def show(rows: list[dict[str, Any]], names: list[str], console: Console) -> None:
    """Prints the table: for each broker the median with its spread and, below, the ratios."""
    table = Table(box=SIMPLE_HEAD, caption_justify="left")
    table.add_column("line")
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            f"{row['title']}\n[dim]{row['unit']}[/]",
            *(_cell(row["brokers"].get(name)) for name in names),
        )
    console.print(table)
    console.print(
        "Median \\[lowest-highest], broker's µs of processor time each; below, how many times "
        "Motte is ahead per second / per core-second."
    )


def _cell(side: dict[str, Any] | None) -> str:
    if not side:
        return "none"
    spread = f"\\[{_short(side['lowest'])}-{_short(side['highest'])}]"
    text = f"{side['median']:,.0f} {spread} {side['broker_microseconds']:.2f} µs"
    if "ratio_per_second" not in side:
        return text
    core = side.get("ratio_per_core_second")
    ratios = f"{side['ratio_per_second']:.2f}" + (f" / {core:.2f}" if core else "")
    return f"{text}\n[{'green' if side['ratio_per_second'] >= 1 else 'red'}]{ratios}[/]"


def _short(value: float) -> str:
    return f"{value / 1000:,.0f}k" if value >= 10_000 else f"{value:,.0f}"  # noqa: PLR2004
