"""A fleet and a broker that exist for one benchmark."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec

from motte.bench.lines import Group, Parties
from motte.bench.target import BenchError, Target
from motte.deployment import Deployment
from motte.files import write_private
from motte.fleet.authority import Authority, FileSigner, create_authority, private_key_pem
from motte.fleet.identity import Identity, Kind, SystemClock
from motte.fleet.layout import TRUSTED_AUTHORITY
from motte.fleet.server import ensure_server_certificate, server_names
from motte.policy.compiler import compile_file
from motte.policy.model import Exceptions

__all__ = ["ADDRESS", "COLLECTOR", "DataPlane", "Fleet", "make_fleet", "snapshot"]

FLEET: Final = "bench"
ADDRESS: Final = "127.0.0.1"
COLLECTOR: Final = "collector"
START_SECONDS: Final = 60.0
"""How long a broker may take until it accepts connections."""

CONFIG: Final = f"""\
[fleet]
name = "{FLEET}"

[listener]
address = "{ADDRESS}"
port = 0

# All clients of a benchmark come from a few addresses and reconnect as fast as they can: the limits
# of layer 0 are far above that, and checked all the same.
[network]
connections_per_address = 100000
handshakes_per_second = 1000000
handshake_burst = 1000000
maximum_connections = 100000
"""

_LIMITS: Final = """\
limits    = { messages = "1000000/s", message_burst = 10000000, bytes = "1GiB/s", \
byte_burst = "1GiB", payload = "64KiB", inflight = 1000, queue = 100000, queue_bytes = "256MiB", \
subscriptions = 10000, connections = 1000, sessions = 1000 }
"""
# Limits far above what one machine reaches: every check runs and none refuses.
POLICY: Final = f"""\
[role.sensor]
match     = {{ group = "sensor" }}
publish   = [{{ topic = "load/{{device}}/telemetry", qos = 2 }}]
subscribe = [{{ topic = "load/all/command", qos = 2 }}, "load/{{device}}/many/+"]
{_LIMITS}
[role.collector]
match     = {{ service = "{COLLECTOR}" }}
publish   = [{{ topic = "load/all/command", qos = 2 }}]
subscribe = [{{ topic = "load/+/telemetry", qos = 2 }}]
wildcards = true
{_LIMITS}"""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Authority, broker certificate and clients."""

    folder: Path
    sensors: int

    @property
    def deployment(self) -> Deployment:
        """The deployment, whose server certificate other brokers can use too."""
        return Deployment(self.folder / "motte")

    @property
    def authority(self) -> Path:
        """The certificate that everybody trusts."""
        return self.deployment.server / TRUSTED_AUTHORITY

    @property
    def parties(self) -> Parties:
        """Who takes part: the sensors, and one service."""
        clients = self.folder / "clients"
        return Parties(
            devices=Group(
                "sensor-{n}",
                str(clients / "sensor-{n}.pem"),
                str(clients / "sensor-{n}.key"),
                first=1,
                count=self.sensors,
            ),
            service=Group(
                COLLECTOR, str(clients / f"{COLLECTOR}.pem"), str(clients / f"{COLLECTOR}.key")
            ),
            report="load/{client}/telemetry",
            reports="load/+/telemetry",
            command="load/all/command",
        )

    def target(self, port: int, *, sources: int = 1) -> Target:
        """A broker of this fleet on a port of this machine."""
        return Target(ADDRESS, port, "localhost", self.authority, sources=sources)


def make_fleet(folder: Path, sensors: int) -> Fleet:
    """Makes the authority, the broker's certificate and the clients'."""
    fleet = Fleet(folder, sensors)
    deployment = fleet.deployment
    deployment.state.mkdir(parents=True, mode=0o700)
    clock = SystemClock()
    create_authority(deployment.authority, fleet=FLEET, clock=clock)
    authority = Authority(FileSigner(deployment.authority), fleet=FLEET, clock=clock)
    ensure_server_certificate(
        deployment.server,
        authority,
        names=server_names(ADDRESS, []),
        lifetime=timedelta(days=1),
        clock=clock,
    )
    (folder / "clients").mkdir(mode=0o700)
    _enrol(fleet, authority, Identity(Kind.SERVICE, COLLECTOR))
    for number in range(1, sensors + 1):
        _enrol(fleet, authority, Identity(Kind.DEVICE, f"sensor-{number}", {"group": "sensor"}))
    return fleet


def _enrol(fleet: Fleet, authority: Authority, identity: Identity) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issued = authority.issue_identity(identity, key.public_key(), timedelta(days=1))
    clients = fleet.folder / "clients"
    (clients / f"{identity.id}.pem").write_bytes(issued.pem)
    # Without making it safe on the disk: it is gone with the benchmark.
    descriptor = os.open(clients / f"{identity.id}.key", os.O_WRONLY | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(private_key_pem(key))


def snapshot(fleet: Fleet, generation: int, exceptions: Exceptions) -> bytes:
    """The compiled policy of the benchmark."""
    compiled = compile_file(
        fleet.deployment.policy_file, fleet=FLEET, generation=generation, exceptions=exceptions
    )
    return compiled.snapshot_json


class DataPlane:
    """The data plane of this installation, as ``motte up`` starts it."""

    name = "motte"

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the running data plane."""
        if self._process is None:
            raise BenchError("the data plane is not running")
        return self._process.pid

    def start(self) -> None:
        """Writes configuration and snapshot and starts the process."""
        deployment = self._fleet.deployment
        deployment.config_file.write_text(CONFIG, encoding="utf-8")
        deployment.policy_file.write_text(POLICY, encoding="utf-8")
        write_private(deployment.snapshot, snapshot(self._fleet, 1, Exceptions()))
        deployment.listener_file.unlink(missing_ok=True)
        log = self._fleet.folder / "motte.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "motte.plane.data_plane", str(deployment.root)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_SECONDS
        while not deployment.listener_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                text = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                raise BenchError(f"the data plane did not start: {text.strip()}")
            time.sleep(0.01)
        self.port = int(json.loads(deployment.listener_file.read_bytes())["port"])

    def stop(self) -> None:
        """Ends the process that this object started."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
