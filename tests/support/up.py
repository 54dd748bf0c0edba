"""``motte up`` and the other commands as a person runs them: processes, arguments, output."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

DEADLINE = 30.0
"""Seconds for what must happen on a busy machine; only a failing test waits that long."""

MOTTE = [sys.executable, "-m", "motte"]
"""The command."""


def motte(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command on a deployment to its end."""
    command = [*MOTTE, "-C", str(folder), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=DEADLINE, **options
    )


def ended(pid: int) -> bool:
    """Whether a process is gone (a zombie that nobody collected counts as gone)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] == "Z"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Looks again and again until the condition holds."""
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen within {DEADLINE} s"
        time.sleep(0.01)


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Lines:
    """A process whose output is read line by line, with a deadline."""

    def __init__(self, command: list[str], **options: Any) -> None:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            # Whoever runs the tests in the background of a shell ignores Ctrl-C, and so would the
            # command: it has to start as it does in front of a person.
            preexec_fn=_heed_interrupts,  # noqa: PLW1509  one call that allocates nothing
            **options,
        )
        assert self.process.stdout is not None
        self._stream = self.process.stdout
        os.set_blocking(self._stream.fileno(), False)
        self._buffer = b""
        self.seen: list[str] = []

    def line(self, within: float = DEADLINE) -> str | None:
        """The next line, or ``None`` if the process ended."""
        until = time.monotonic() + within
        while b"\n" not in self._buffer:
            left = until - time.monotonic()
            ready = left > 0 and select.select([self._stream], [], [], left)[0]
            assert ready, f"no line within {within} s after {self.seen}"
            data = os.read(self._stream.fileno(), 65536)
            if not data:
                return None
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\n")
        self.seen.append(text.decode())
        return self.seen[-1]

    def until(self, wanted: Callable[[str], bool]) -> str:
        """The next line that is wanted."""
        while (line := self.line()) is not None:
            if wanted(line):
                return line
        raise AssertionError(f"ended with {self.process.wait()} before that: {self.seen}")

    def rest(self) -> list[str]:
        """All lines up to the end of the process."""
        start = len(self.seen)
        while self.line() is not None:
            pass
        return self.seen[start:]

    def wait(self) -> int:
        """The exit code; what is still written is read and kept."""
        if not self._stream.closed:
            self.rest()
            self._stream.close()
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        """Kills what still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._stream.close()


class Up:
    """A running ``motte up --json``."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.lines = Lines([*MOTTE, "-C", str(folder), "up", "--json", *arguments])
        self.running: dict[str, Any] = {}

    def event(self, name: str) -> dict[str, Any]:
        """The next event of that name."""

        def wanted(line: str) -> bool:
            try:
                return bool(json.loads(line).get("event") == name)
            except ValueError:
                return False

        found: dict[str, Any] = json.loads(self.lines.until(wanted))
        return found

    def ready(self) -> Up:
        """Waits until the data plane listens."""
        self.running = self.event("running")
        return self

    @property
    def data_plane(self) -> int:
        """Process id of the data plane."""
        return int(self.running["pid"])

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.running["port"])

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the control plane."""
        self.lines.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ends it as a person does; the exit code."""
        self.send(number)
        return self.lines.wait()

    def close(self) -> None:
        """Ends everything that still runs."""
        self.lines.close()
        if self.running and not ended(self.data_plane):
            os.kill(self.data_plane, signal.SIGKILL)
