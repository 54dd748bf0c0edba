"""The brokers that are compared: one fleet, one policy, all started on free ports.

Everything that all need is made once: Motte's own certificate authority issues the certificates,
which name an identity in the SPIFFE id (that Motte reads) and in the common name (that the others
read), and the same four permissions stand in a Motte policy and in the others' access lists.
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Self

from motte import __version__
from motte.bench.fleet import ADDRESS, COLLECTOR, START_SECONDS, DataPlane, Fleet
from motte.bench.generator import Generator
from motte.fleet.layout import SERVER_CERTIFICATE, SERVER_KEY

MOSQUITTO_ACL: Final = f"""\
pattern write load/%u/telemetry
pattern read load/all/command
pattern read load/%u/many/+

user {COLLECTOR}
topic write load/all/command
topic read load/+/telemetry
"""


class Unavailable(Exception):  # noqa: N818 (not an error: the peer is left out)
    """This machine does not have what the broker needs."""


class Broker(ABC):
    """A broker process, from its start to its end."""

    name: str
    port: int
    highest_qos = 2

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
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

    @property
    def folder(self) -> Path:
        """Where the broker keeps its files; made when first asked for."""
        folder = self._fleet.folder / self.name
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def credentials(self) -> tuple[Path, Path]:
        """Certificate and key of the broker."""
        server = self._fleet.deployment.server
        return server / SERVER_CERTIFICATE, server / SERVER_KEY

    def cpu_seconds(self) -> float:
        """Processor time that the broker has used so far, in user and kernel mode."""
        # The command name, in parentheses, may hold spaces: fields are counted from behind it.
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def resident_kibibytes(self) -> float:
        """Memory of the broker that is in use now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1024

    def pin(self, cores: set[int]) -> None:
        """Keeps the broker, with all its threads, on these cores."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), cores)

    def _launch(self, command: list[str], log: Path) -> None:
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            if self._process.poll() is not None:
                text = log.read_text(encoding="utf-8", errors="replace")[-2000:]
                message = f"{self.name} ended while starting:\n{text}"
                raise RuntimeError(message)
            try:
                socket.create_connection((ADDRESS, self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return


class Mosquitto(Broker):
    """Debian's Mosquitto with TLS 1.3, required client certificates and an ACL file."""

    name = "mosquitto"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        search = os.environ.get("PATH", "") + ":/usr/sbin"
        self._binary = shutil.which("mosquitto", path=search) or ""
        if not self._binary:
            message = "mosquitto is not installed"
            raise Unavailable(message)

    def version(self) -> str:
        """What ``mosquitto -h`` says first."""
        text = subprocess.run(
            [self._binary, "-h"], check=False, capture_output=True, text=True
        ).stdout
        return text.splitlines()[0]

    def start(self) -> None:
        """Writes the configuration and starts the broker."""
        acl = self.folder / "acl"
        acl.write_text(MOSQUITTO_ACL, encoding="utf-8")
        acl.chmod(0o600)
        self.port = free_port()
        certificate, key = self.credentials
        settings = {
            "listener": f"{self.port} {ADDRESS}",
            "tls_version": "tlsv1.3",
            "cafile": self._fleet.authority,
            "certfile": certificate,
            "keyfile": key,
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
        config = self.folder / "mosquitto.conf"
        config.write_text(
            "".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8"
        )
        self._launch([self._binary, "-c", str(config)], self.folder / "log")


class Motte(Broker):
    """The data plane of this checkout, as ``motte up`` starts it."""

    name = "motte"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._plane = DataPlane(fleet)

    @property
    def pid(self) -> int:
        """Process id of the running data plane."""
        return self._plane.pid

    def version(self) -> str:
        """The version of the package."""
        return f"motte {__version__}"

    def start(self) -> None:
        """Starts the data plane with the policy of the benchmark."""
        self._plane.start()
        self.port = self._plane.port

    def stop(self) -> None:
        """Ends the data plane."""
        self._plane.stop()


class Sink(Broker):
    """The generator's own sink: what a line comes to with no broker at all, on one thread."""

    name = "sink"

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet)
        self._generator: Generator | None = None

    @property
    def pid(self) -> int:
        """Process id of the running sink."""
        if self._generator is None:
            message = "the sink is not running"
            raise RuntimeError(message)
        return self._generator.pid

    def version(self) -> str:
        """It is part of the generator."""
        return "of the load generator"

    def start(self) -> None:
        """Starts the sink on a free port."""
        certificate, key = self.credentials
        mode: dict[str, object] = {"sink": {"certificate": str(certificate), "key": str(key)}}
        self._generator = Generator(self._fleet.target(0).scenario(mode))
        self.port = self._generator.event(START_SECONDS)["port"]

    def stop(self) -> None:
        """Ends the sink."""
        if self._generator is not None:
            self._generator.stop()
            self._generator = None


def free_port() -> int:
    """A port that nobody listens on now, for brokers that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port
