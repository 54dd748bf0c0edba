"""The two brokers that are compared: one fleet, one policy, both started on free ports.

Everything that both need is made once: Motte's own certificate authority issues the certificates,
which name an identity in the SPIFFE id (that Motte reads) and in the common name (that Mosquitto
reads), and the same four permissions stand in a Motte policy and in a Mosquitto ACL file.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec

from motte import __version__
from motte.deployment import Deployment
from motte.files import write_private
from motte.fleet.authority import Authority, FileSigner, create_authority, private_key_pem
from motte.fleet.identity import Identity, Kind, SystemClock
from motte.fleet.layout import SERVER_CERTIFICATE, SERVER_KEY, TRUSTED_AUTHORITY
from motte.fleet.server import ensure_server_certificate, server_names
from motte.policy.compiler import compile_file
from motte.policy.model import Exceptions

FLEET: Final = "bench"
ADDRESS: Final = "127.0.0.1"
SENSORS: Final = 50
"""Devices of the fleet: enough that fan-in and fan-out spread over many sockets."""
COLLECTOR: Final = "collector"
START_SECONDS: Final = 20.0
"""How long a broker may take until it accepts connections."""

MOTTE_CONFIG: Final = f"""\
[fleet]
name = "{FLEET}"

[listener]
address = "{ADDRESS}"
port = 0

# All clients of a benchmark come from one address and reconnect as fast as they can.
[network]
connections_per_address = 100000
handshakes_per_second = 1000000
handshake_burst = 1000000
maximum_connections = 100000
"""

# Limits far above what one machine reaches: every check runs and none refuses.
MOTTE_POLICY: Final = """\
[role.sensor]
match     = { group = "sensor" }
publish   = ["load/{device}/telemetry"]
subscribe = ["load/all/command"]
limits    = { messages = "1000000/s", message_burst = 10000000, bytes = "1GiB/s", \
byte_burst = "1GiB", payload = "64KiB", inflight = 1000, queue = 100000, queue_bytes = "256MiB" }

[role.collector]
match     = { service = "collector" }
publish   = ["load/all/command"]
subscribe = ["load/+/telemetry"]
wildcards = true
limits    = { messages = "1000000/s", message_burst = 10000000, bytes = "1GiB/s", \
byte_burst = "1GiB", payload = "64KiB", inflight = 1000, queue = 100000, queue_bytes = "256MiB" }
"""

MOSQUITTO_ACL: Final = f"""\
pattern write load/%u/telemetry
pattern read load/all/command

user {COLLECTOR}
topic write load/all/command
topic read load/+/telemetry
"""


@dataclass(frozen=True, slots=True)
class Credential:
    """An identity with its files, as a scenario of ``motte-load`` names them."""

    client_id: str
    certificate: str
    key: str

    def as_scenario(self) -> dict[str, str]:
        """The JSON object that ``motte-load`` reads."""
        return {"client_id": self.client_id, "certificate": self.certificate, "key": self.key}


@dataclass(frozen=True, slots=True)
class Fleet:
    """Authority, broker certificate and clients, shared by both brokers."""

    folder: Path
    sensors: tuple[Credential, ...]
    collector: Credential

    @property
    def deployment(self) -> Deployment:
        """The Motte deployment, whose server certificate Mosquitto uses too."""
        return Deployment(self.folder / "motte")

    @property
    def authority(self) -> Path:
        """The certificate that everybody trusts."""
        return self.deployment.server / TRUSTED_AUTHORITY


def make_fleet(folder: Path) -> Fleet:
    """Makes the authority, the broker's certificate and the clients'."""
    deployment = Deployment(folder / "motte")
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
    clients = folder / "clients"
    clients.mkdir(mode=0o700)

    def enrol(identity: Identity) -> Credential:
        key = ec.generate_private_key(ec.SECP256R1())
        issued = authority.issue_identity(identity, key.public_key(), timedelta(days=1))
        certificate, key_file = clients / f"{identity.id}.pem", clients / f"{identity.id}.key"
        certificate.write_bytes(issued.pem)
        write_private(key_file, private_key_pem(key))
        return Credential(identity.id, str(certificate), str(key_file))

    sensors = tuple(
        enrol(Identity(Kind.DEVICE, f"sensor-{number}", {"group": "sensor"}))
        for number in range(1, SENSORS + 1)
    )
    return Fleet(folder, sensors, enrol(Identity(Kind.SERVICE, COLLECTOR)))


class Broker(ABC):
    """A broker process, from its start to its end."""

    name: str
    port: int

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def version(self) -> str:
        """What the broker calls its version."""

    @abstractmethod
    def start(self) -> None:
        """Starts the process and returns once it accepts connections."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

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

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            message = f"{self.name} is not running"
            raise RuntimeError(message)
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Processor time that the broker has used so far, in user and kernel mode."""
        # The command name, in parentheses, may hold spaces: fields are counted from behind it.
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def resident_mebibytes(self) -> float:
        """Memory of the broker that is in use now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1024 * 1024)

    def _launch(self, command: list[str], log: Path) -> None:
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def _await_port(self, log: Path) -> None:
        """Returns once somebody listens on the port; an error if the process ends before."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._check_alive(log)
            try:
                socket.create_connection((ADDRESS, self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _check_alive(self, log: Path) -> None:
        if self._process is None or self._process.poll() is not None:
            text = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            message = f"{self.name} ended while starting:\n{text}"
            raise RuntimeError(message)


class Mosquitto(Broker):
    """Debian's Mosquitto with TLS 1.3, required client certificates and an ACL file."""

    name = "mosquitto"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet
        search = os.environ.get("PATH", "") + ":/usr/sbin"
        self._binary = shutil.which("mosquitto", path=search) or "mosquitto"

    def version(self) -> str:
        """What ``mosquitto -h`` says first."""
        text = subprocess.run(
            [self._binary, "-h"], check=False, capture_output=True, text=True
        ).stdout
        return text.splitlines()[0]

    def start(self) -> None:
        """Writes the configuration and starts the broker."""
        folder = self._fleet.folder / self.name
        folder.mkdir()
        acl, log = folder / "acl", folder / "log"
        acl.write_text(MOSQUITTO_ACL, encoding="utf-8")
        acl.chmod(0o600)
        self.port = free_port()
        server = self._fleet.deployment.server
        settings = {
            "listener": f"{self.port} {ADDRESS}",
            "tls_version": "tlsv1.3",
            "cafile": self._fleet.authority,
            "certfile": server / SERVER_CERTIFICATE,
            "keyfile": server / SERVER_KEY,
            "require_certificate": "true",
            "use_identity_as_username": "true",
            "allow_anonymous": "false",
            "acl_file": acl,
            "persistence": "false",
            "sys_interval": "0",
            "log_dest": "none",
            # 0 lifts a limit: nothing may be dropped.
            "max_queued_messages": "0",
            "max_inflight_messages": "0",
            # Off by default; small messages would wait for each other's TCP acknowledgement.
            "set_tcp_nodelay": "true",
            # As root it would become another user, who cannot read the keys.
            "user": getpass.getuser(),
        }
        config = folder / "mosquitto.conf"
        config.write_text(
            "".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8"
        )
        self._launch([self._binary, "-c", str(config)], log)
        self._await_port(log)


class Motte(Broker):
    """The data plane of this checkout, as ``motte up`` starts it."""

    name = "motte"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    def version(self) -> str:
        """The version of the package."""
        return f"motte {__version__}"

    def start(self) -> None:
        """Writes configuration and snapshot and starts the data plane."""
        deployment = self._fleet.deployment
        deployment.config_file.write_text(MOTTE_CONFIG, encoding="utf-8")
        deployment.policy_file.write_text(MOTTE_POLICY, encoding="utf-8")
        compiled = compile_file(
            deployment.policy_file, fleet=FLEET, generation=1, exceptions=Exceptions()
        )
        write_private(deployment.snapshot, compiled.snapshot_json)
        log = self._fleet.folder / "motte.log"
        self._launch([sys.executable, "-m", "motte.plane.data_plane", str(deployment.root)], log)
        deadline = time.monotonic() + START_SECONDS
        while not deployment.listener_file.exists():
            self._check_alive(log)
            if time.monotonic() > deadline:
                message = f"{self.name} wrote no {deployment.listener_file}"
                raise RuntimeError(message)
            time.sleep(0.02)
        self.port = int(json.loads(deployment.listener_file.read_bytes())["port"])
        self._await_port(log)


def free_port() -> int:
    """A port that nobody listens on now; Mosquitto cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port
