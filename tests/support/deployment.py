"""A real data plane in a temporary folder: its process, its control socket and its evidence."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from tests.support import pki
from tests.support.client import DEADLINE
from tests.support.policy import Policy

START = 20.0
"""Seconds that a data plane may take to listen on a busy machine."""

FLEET = "home"
HOST = "127.0.0.1"

RUN = "import sys, motte._core; motte._core.serve(sys.stdin.read())"
"""The data plane as its process runs it: load the module, call into it, never come back."""


def wait_until(condition: Callable[[], bool], what: str, within: float = DEADLINE) -> None:
    """Looks again and again until the condition holds; for what no answer announces."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen within {within} s"
        time.sleep(0.005)


class ControlError(Exception):
    """The data plane refused a command."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error.get('message')} ({error.get('hint')})")
        self.error = dict(error)


class Control:
    """The control socket: frames of a length, a version byte and JSON."""

    def __init__(self, path: Path) -> None:
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection.settimeout(DEADLINE)
        self.connection.connect(str(path))
        self._id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def call(self, command: str, **fields: object) -> dict[str, Any]:
        """Sends a command and returns its result."""
        self._id += 1
        body = b"\x01" + json.dumps({"id": self._id, "command": command, **fields}).encode()
        self.connection.sendall(len(body).to_bytes(4, "big") + body)
        answer = self.receive()
        assert answer["id"] == self._id
        if not answer["ok"]:
            raise ControlError(answer["error"])
        result: dict[str, Any] = answer["result"] or {}
        return result

    def receive(self) -> dict[str, Any]:
        """The next frame."""
        body = self._take(int.from_bytes(self._take(4), "big"))
        assert body[0] == 1, "an unknown version of the control protocol"
        out: dict[str, Any] = json.loads(body[1:])
        return out

    def _take(self, count: int) -> bytes:
        out = b""
        while len(out) < count:
            data = self.connection.recv(count - len(out))
            if not data:
                raise ConnectionError("the data plane closed the control socket")
            out += data
        return out


class DataPlane:
    """One data plane, its authority and its policy."""

    def __init__(
        self,
        folder: Path,
        policy: Policy | None = None,
        *,
        network: Mapping[str, object] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir(mode=0o700, parents=True)
        self.authority = pki.Authority(folder / "authority")
        self.server = self.authority.issue(
            "localhost", hosts=["localhost", "127.0.0.1", "::1"], purposes=[pki.SERVER]
        )
        self.policy = policy
        self.environment: dict[str, str] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self._evidence: list[dict[str, Any]] = []
        self._evidence_read = 0
        self.settings: dict[str, Any] = {
            "fleet": FLEET,
            "listener": {"address": HOST, "port": 0},
            "server_certificate": str(self.server.certificate),
            "server_key": str(self.server.key),
            "client_authority": str(self.authority.path),
            "state_directory": str(self.state),
            "threads": 2,
            "network": {
                "connections_per_address": 1_000,
                "handshakes_per_second": 10_000,
                "handshake_burst": 10_000,
                "maximum_connections": 2_000,
                "banned": [],
            }
            | dict(network or {}),
            "handshake_deadline_seconds": 10,
        } | dict(settings or {})

    # --- the process -----------------------------------------------------------------------------

    def write_snapshot(self) -> None:
        """Puts the next generation where a starting data plane looks for its last good one."""
        assert self.policy is not None
        path = self.state / "snapshot.json"
        path.touch(mode=0o600)
        path.write_text(self.policy.next())

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts the process without waiting for it."""
        self.errors = (self.folder / "data-plane.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN],
            stdin=subprocess.PIPE,
            stdout=self.errors,
            stderr=self.errors,
            env={**os.environ, **self.environment},
        )
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(self.settings).encode())
        self.process.stdin.close()
        return self.process

    def start(self, *, snapshot: bool = True) -> DataPlane:
        """Starts the process and waits until it listens."""
        if snapshot and self.policy is not None:
            self.write_snapshot()
        process = self.launch()
        listener = self.state / "run" / "listener.json"

        def listening() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"the data plane ended at once: {self.log()}")
            with contextlib.suppress(OSError, ValueError):
                found = json.loads(listener.read_text())
                if found["pid"] == process.pid:
                    self.port = found["port"]
                    return True
            return False

        wait_until(listening, "listening", START)
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ends the process with a signal and returns its exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(START)
        self.process = None
        self.errors.close()
        return code

    def log(self) -> str:
        """What the process wrote to its standard output and error."""
        return (self.folder / "data-plane.log").read_text(errors="replace")

    # --- control ---------------------------------------------------------------------------------

    def control(self) -> Control:
        """A new connection to the control socket."""
        return Control(self.state / "run" / "control.sock")

    def call(self, command: str, **fields: object) -> dict[str, Any]:
        """One command on a connection of its own."""
        with self.control() as control:
            return control.call(command, **fields)

    def apply(self) -> dict[str, Any]:
        """Installs the policy as it stands now; returns when the barrier has passed."""
        assert self.policy is not None
        return self.call("install", snapshot=self.policy.next())

    def revoke(self, name: str) -> dict[str, Any]:
        """Revokes an identity (``device/x``) for ever."""
        assert self.policy is not None
        self.policy.exceptions["revoked"].append(name)
        return self.apply()

    def quarantine(self, name: str) -> dict[str, Any]:
        """Quarantines an identity."""
        assert self.policy is not None
        self.policy.exceptions["quarantined"].append(name)
        return self.apply()

    def release(self, name: str) -> dict[str, Any]:
        """Ends a quarantine."""
        assert self.policy is not None
        self.policy.exceptions["quarantined"].remove(name)
        return self.apply()

    def status(self) -> dict[str, Any]:
        """The answer to ``status``."""
        return self.call("status")

    # --- evidence --------------------------------------------------------------------------------

    @property
    def evidence_path(self) -> Path:
        """The hash-chained log."""
        return self.state / "evidence" / "evidence.log"

    def evidence(self) -> list[dict[str, Any]]:
        """Every record so far, oldest first. What was read before is not read again."""
        with contextlib.suppress(FileNotFoundError), self.evidence_path.open("rb") as log:
            log.seek(self._evidence_read)
            data = log.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._evidence_read += len(whole)
            self._evidence += [json.loads(line)["record"] for line in whole.splitlines()]
        return self._evidence

    def await_evidence(self, **fields: object) -> dict[str, Any]:
        """The first record with these fields; waits for it."""
        found: list[dict[str, Any]] = []

        def written() -> bool:
            found[:] = [
                record
                for record in self.evidence()
                if all(record.get(name) == value for name, value in fields.items())
            ]
            return bool(found)

        wait_until(written, f"evidence with {fields}")
        return found[0]

    # --- connections -----------------------------------------------------------------------------

    def tcp(self, source: str = HOST) -> socket.socket:
        """A TCP connection from a loopback address of the caller's choice."""
        return socket.create_connection((HOST, self.port), DEADLINE, (source, 0))

    def tls(
        self,
        credential: pki.Credential | None,
        source: str = HOST,
        context: ssl.SSLContext | None = None,
    ) -> ssl.SSLSocket:
        """A TLS connection with this certificate."""
        used = context or pki.client_context(self.authority.path, credential)
        connection = self.tcp(source)
        # A small packet must not wait for the acknowledgement of the one before it.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return used.wrap_socket(connection, server_hostname="localhost")
        except OSError as error:
            # A peer that resets before the handshake begins makes Python drop the socket unclosed.
            trace = error.__traceback__
            while trace is not None:
                lost = trace.tb_frame.f_locals.get("self")
                if isinstance(lost, ssl.SSLSocket):
                    lost.close()
                trace = trace.tb_next
            raise


def alive(process: int) -> bool:
    """Whether a process of this number exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
