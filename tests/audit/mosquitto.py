"""Debian's Mosquitto on a free loopback port, with a configuration of the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support import pki

START_SECONDS = 10.0
PROGRAM = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")

# Started by root it becomes somebody else, who may not read the folders of a test.
USER = "user root\n" if os.geteuid() == 0 else ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Site:
    """An authority, the broker's certificate, two devices and a folder for configurations."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = pki.Authority(folder / "authority")
        self.server = self.authority.issue(
            "localhost", hosts=["localhost", "127.0.0.1"], purposes=[pki.SERVER]
        )
        self.devices = {name: self.authority.issue(name) for name in ("alpha", "beta")}
        self.passwords = folder / "passwords"
        subprocess.run(
            ["mosquitto_passwd", "-c", "-b", self.passwords, "alpha", "correct horse"],
            check=True,
            capture_output=True,
        )

    @property
    def tls(self) -> str:
        """The lines of a listener that shows a good certificate."""
        return (
            f"cafile {self.authority.path}\n"
            f"certfile {self.server.certificate}\nkeyfile {self.server.key}\n"
        )

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


@contextlib.contextmanager
def mosquitto(site: Site, configuration: str) -> Iterator[int]:
    """Runs it with these lines after its ``listener`` line; the port."""
    assert PROGRAM is not None, "scripts/system-packages test installs mosquitto"
    port = free_port()
    file = site.file(f"{port}.conf", f"{USER}listener {port} 127.0.0.1\n{configuration}\n")
    log = site.folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen([PROGRAM, "-c", file], stdout=output, stderr=output)
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.01)
        yield port
    finally:
        process.terminate()
        process.wait(START_SECONDS)
