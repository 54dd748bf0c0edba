"""The load generator, as a process of its own."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from motte.bench.lines import Line
from motte.bench.target import BenchError, Target

__all__ = ["Generator", "Report", "run", "value_of"]

PATIENCE_SECONDS: Final = 180.0
"""Longest time that a run may take beyond its measured part: opening connections, draining."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to."""

    report: dict[str, Any]
    cpu_seconds: float
    """Processor time of the generator, its start included."""


class Generator:
    """A running generator. Ends when the block does; its standard input is its sign of life."""

    def __init__(self, scenario: dict[str, object]) -> None:
        # The kind that lives as long as a name for it: the process reads it once.
        with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
            json.dump(scenario, file)
        self._file = Path(file.name)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "motte.bench.process", file.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def event(self, seconds: float) -> dict[str, Any]:
        """The next line that it says.

        Raises:
            BenchError: It ended, or said nothing for so long.
        """
        assert self._process.stdout is not None  # noqa: S101 (for the type checker)
        descriptor = self._process.stdout.fileno()
        until = time.monotonic() + seconds
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise BenchError("the load generator did not answer in time")
            more = os.read(descriptor, 65536)
            if not more:
                raise self._failure()
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    def end(self) -> None:
        """Lets go of everything it holds and waits for its end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._file.unlink(missing_ok=True)

    def stop(self) -> None:
        """Ends one that never ends by itself, such as a sink."""
        self._process.terminate()
        self.end()

    def _failure(self) -> BenchError:
        assert self._process.stderr is not None  # noqa: S101 (for the type checker)
        text = self._process.stderr.read().decode(errors="replace").strip()
        return BenchError(text.removeprefix("error: ") or "the load generator ended")


def run(target: Target, mode: dict[str, Any], *, seconds: float) -> Report:
    """Carries out one load from its start to its end."""
    before = _children_cpu()
    with Generator(target.scenario(mode)) as generator:
        report = generator.event(seconds + PATIENCE_SECONDS)
    return Report(report, _children_cpu() - before)


def value_of(line: Line, report: dict[str, Any]) -> tuple[float, int]:
    """The figure of a line, and the number of messages or connections that it stands for.

    Raises:
        BenchError: A message of QoS 1 or 2 was lost, repeated or not acknowledged.
    """
    if line.is_handshakes:
        return report["connections_per_second"], report["connections"]
    wrong = {key: report[key] for key in ("lost", "out_of_order", "unacknowledged") if report[key]}
    if wrong and report["qos"] > 0:
        raise BenchError(f"{line.title}: {wrong} of {report['published']} messages")
    if line.is_latency:
        return report["latency_microseconds"]["p50"], report["delivered"]
    return report["messages_per_second"], report["delivered"]


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system
