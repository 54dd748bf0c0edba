"""mochi-mqtt (Go module) and NATS (Debian), started like the others.

Each is built or found when it is asked for; where this machine lacks the tool for that, the broker
is left out and the benchmark says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from benches.brokers import Broker, Unavailable, free_port
from motte.bench.fleet import ADDRESS, COLLECTOR, Fleet

HERE: Final = Path(__file__).resolve().parent
BUILD_SECONDS: Final = 900
"""How long a peer may take to be built, downloads included."""


def tool(name: str) -> str:
    """Where a command is.

    Raises:
        Unavailable: It is not there.
    """
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not installed"
        raise Unavailable(message)
    return found


def build(command: list[str], folder: Path) -> None:
    """Runs one step of a build.

    Raises:
        Unavailable: It failed, mostly because a registry cannot be reached.
    """
    done = subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    if done.returncode != 0:
        message = f"`{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-500:]}"
        raise Unavailable(message)


class Mochi(Broker):
    """The Go library mochi-mqtt behind the listener of ``peers/mochi/main.go``."""

    name = "mochi"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._binary = self.folder / "mochi"
        build([tool("go"), "build", "-o", str(self._binary), "."], HERE / "mochi")

    def version(self) -> str:
        """The version in ``go.mod``."""
        for line in (HERE / "mochi" / "go.mod").read_text(encoding="utf-8").splitlines():
            if "mochi-mqtt" in line and line.startswith("require"):
                return " ".join(line.split()[1:])
        return "mochi-mqtt"

    def start(self) -> None:
        """Starts the broker."""
        self.port = free_port()
        files = [str(self._fleet.authority), *map(str, self.credentials)]
        self._launch([str(self._binary), str(self.port), *files], self.folder / "log")


class Nats(Broker):
    """Debian's NATS server with its MQTT listener, which keeps sessions in JetStream."""

    name = "nats"
    highest_qos = 1

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._binary = tool("nats-server")

    def version(self) -> str:
        """What ``nats-server --version`` says."""
        return subprocess.run(
            [self._binary, "--version"], check=False, capture_output=True, text=True
        ).stdout.strip()

    def start(self) -> None:
        """Writes the configuration and starts the server."""
        self.port = free_port()
        certificate, key = self.credentials
        # The names of MQTT topics with dots; sessions and acknowledgements are subjects of its own.
        internal = ["$MQTT.>"]
        users = [
            {
                "user": f"CN={COLLECTOR}",
                "permissions": {
                    "publish": ["load.all.command", *internal],
                    "subscribe": ["load.*.telemetry", *internal],
                },
            },
            *(
                {
                    "user": f"CN=sensor-{number}",
                    "permissions": {
                        "publish": [f"load.sensor-{number}.telemetry", *internal],
                        "subscribe": [
                            "load.all.command",
                            f"load.sensor-{number}.many.*",
                            *internal,
                        ],
                    },
                }
                for number in range(1, self._fleet.sensors + 1)
            ),
        ]
        settings = {
            "server_name": "bench",
            "listen": f"{ADDRESS}:{free_port()}",
            "jetstream": {"store_dir": str(self.folder / "store")},
            "mqtt": {
                "listen": f"{ADDRESS}:{self.port}",
                "max_ack_pending": 65535,
                "tls": {
                    "cert_file": str(certificate),
                    "key_file": str(key),
                    "ca_file": str(self._fleet.authority),
                    "verify_and_map": True,
                },
            },
            "authorization": {"users": users},
        }
        config = self.folder / "nats.json"
        config.write_text(json.dumps(settings), encoding="utf-8")
        self._launch([self._binary, "--config", str(config)], self.folder / "log")
