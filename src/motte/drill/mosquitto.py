"""A Mosquitto in its common open configuration, to run the same thief against.

``allow_anonymous true`` on a plain listener without an ACL is what most tutorials write. It is a
choice of whoever wrote the file, not a defect of Mosquitto, which can do client certificates and
access control lists and since 2.0 listens on loopback only when nothing is configured.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from motte.drill.clients import Endpoint
from motte.drill.stage import HOST
from motte.errors import DataPlaneError
from motte.text import printable

__all__ = ["CONFIGURATION", "INSTALL_HINT", "find", "mosquitto_stage", "version"]

INSTALL_HINT: Final = "sudo apt-get install mosquitto"
"""How to get one on Debian."""
CONFIGURATION: Final = "listener {port} {host}\nallow_anonymous true\n"
"""All of its configuration."""
DAEMON_FOLDERS: Final = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where daemons live that are not in everybody's PATH."""
ATTEMPTS: Final = 5
"""Ports to try: somebody else may take one between its choice and Mosquitto's start."""
START_SECONDS: Final = 10.0
"""How long it may take until it listens; it takes some milliseconds."""
POLL_SECONDS: Final = 0.01
"""How often its start is looked at."""
STOP_SECONDS: Final = 5.0
"""How long it may take to end before it is killed."""


def find() -> Path | None:
    """The installed program, if there is one."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:{DAEMON_FOLDERS}")
    return Path(found) if found else None


def version(program: Path) -> str:
    """Its version, as it says itself."""
    said = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    words = said.split(maxsplit=3)
    return printable(words[2], limit=20) if words[:2] == ["mosquitto", "version"] else "unknown"


@contextlib.contextmanager
def mosquitto_stage(program: Path, folder: Path) -> Iterator[Endpoint]:
    """Runs it on a free loopback port for the block."""
    process, port = _start(program, folder)
    try:
        yield Endpoint(HOST, port)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _start(program: Path, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    log = folder / "mosquitto.log"
    for _ in range(ATTEMPTS):
        port = _free_port()
        file = folder / "mosquitto.conf"
        file.write_text(CONFIGURATION.format(port=port, host=HOST))
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, "-c", file],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Ctrl-C ends the drill, which ends this.
                start_new_session=True,
            )
        if _listens(process, port):
            return process, port
        process.kill()
        process.wait()
    lines = log.read_text(errors="replace").splitlines() or ["it said nothing"]
    raise DataPlaneError(
        f"{program} does not start: {printable(lines[-1])}", hint="leave it out: --no-mosquitto"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), START_SECONDS):
            return process.poll() is None
        time.sleep(POLL_SECONDS)
    return False
