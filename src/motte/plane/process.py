"""The data plane as a process: started, found again, watched and stopped.

It runs in a session of its own, so that neither Ctrl-C in a terminal nor the death of the control
plane reaches it. A process is only ever signalled through a descriptor that was opened while the
control socket proved that it is the data plane.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from motte.deployment import Deployment
from motte.errors import DataPlaneError
from motte.files import locked, make_private_folder, open_private_log, try_lock
from motte.plane.control import ControlClient, NotRunningError, Status, connect
from motte.plane.data_plane import ERROR_PREFIX, FROM_STANDARD_INPUT, HINT_PREFIX
from motte.text import printable

__all__ = [
    "DataPlane",
    "PreparedDataPlane",
    "announced_address",
    "find_data_plane",
    "publish_lock",
    "single_control_plane",
    "start_data_plane",
]

START_SECONDS: Final = 15.0
"""How long a data plane may take until it listens; it takes a tenth of a second on an idle host."""
ANSWER_AFTER_LOCK_SECONDS: Final = 5.0
"""How long a process that holds the lock may take until it answers: it may just be starting."""
POLL_SECONDS: Final = 0.005
"""How often a start is looked at; short beside the time that people notice."""
GOODBYE_SECONDS: Final = 10.0
"""How long the data plane may take to say goodbye to everybody before it gets SIGTERM."""
TERMINATE_SECONDS: Final = 5.0
"""How long it may take from SIGTERM until it is killed; nothing acknowledged is lost by that."""
LOCK_SECONDS: Final = 30.0
"""How long a command waits for another that is starting the data plane or installing a snapshot."""
LOG_TAIL_BYTES: Final = 8192
"""How much of the log of a failed start is searched for its reason."""


@dataclass(slots=True)
class DataPlane:
    """A data plane that is known to run."""

    pid: int
    status: Status
    attached: bool
    """Whether it was already running when it was found."""
    _pidfd: int = field(repr=False)
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def fileno(self) -> int:
        """A descriptor that becomes readable when the process ends."""
        return self._pidfd

    def ended(self, timeout: float = 0.0) -> bool:
        """Whether the process has ended, waiting for that at most ``timeout`` seconds."""
        # poll, not select: the descriptor's number may be high.
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        over = bool(poller.poll(timeout * 1000))
        if over and self._child is not None:
            self._child.wait()
        return over

    def close(self) -> None:
        """Lets go of the process without touching it."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        if self._child is not None and self._child.returncode is None:
            # It goes on after us on purpose; without this, Popen would warn about it.
            self._child.returncode = 0

    def stop(self, socket_path: Path) -> str:
        """Ends the process, politely first; says how it went."""
        with contextlib.suppress(DataPlaneError), connect(socket_path) as client:
            if client.peer_pid == self.pid:
                client.stop()
        if self.ended(GOODBYE_SECONDS):
            return "stopped"
        self._signal(signal.SIGTERM)
        if self.ended(TERMINATE_SECONDS):
            return "terminated"
        self._signal(signal.SIGKILL)
        if self.ended(TERMINATE_SECONDS):
            return "killed"
        raise DataPlaneError(
            f"the data plane (process {self.pid}) cannot be ended",
            hint="it waits for the kernel, for example for a disk that hangs",
        )

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)


@contextlib.contextmanager
def publish_lock(deployment: Deployment) -> Iterator[None]:
    """Held while a data plane starts and while a snapshot is installed or written.

    Without it a snapshot could be written to disk for the next start just after a starting data
    plane has read the old one.
    """
    what = "starting the data plane or installing a policy"
    with locked(deployment.publish_lock, timeout=LOCK_SECONDS, what=what):
        yield


@contextlib.contextmanager
def single_control_plane(deployment: Deployment) -> Iterator[None]:
    """Held while ``motte up`` runs on a deployment: there is one at a time."""
    descriptor = try_lock(deployment.control_plane_lock)
    if descriptor is None:
        raise DataPlaneError(
            f"`motte up` is already running for {deployment.root}",
            hint="use that one, or end it with Ctrl-C there",
        )
    try:
        yield
    finally:
        os.close(descriptor)


def find_data_plane(deployment: Deployment) -> DataPlane | None:
    """The data plane that runs on this deployment, if one does. Needs `publish_lock`."""
    deadline = time.monotonic() + ANSWER_AFTER_LOCK_SECONDS
    while True:
        try:
            with connect(deployment.control_socket) as client:
                return _adopt(client, child=None)
        except NotRunningError:
            if not _lock_is_held(deployment):
                return None
        if time.monotonic() >= deadline:
            raise DataPlaneError(
                f"a data plane holds {deployment.data_plane_lock}, but takes no commands",
                hint=f"see {deployment.data_plane_log}; end the process that holds the file: "
                f"fuser {deployment.data_plane_lock}",
            )
        time.sleep(POLL_SECONDS)


class PreparedDataPlane:
    """A process that has loaded everything and waits for its settings; it touches nothing yet."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._child, self._log_start = _spawn(deployment, FROM_STANDARD_INPUT)
        self._used = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._used:
            self._child.communicate(b"")

    def start(self, settings: str) -> DataPlane:
        """Lets it serve and waits until it listens. Needs `publish_lock`."""
        self._used = True
        with contextlib.suppress(BrokenPipeError):  # it died: the reason is in its log
            if self._child.stdin is not None:
                self._child.stdin.write(settings.encode())
                self._child.stdin.close()
        return _adopt_when_listening(self._deployment, self._child, self._log_start)


def start_data_plane(deployment: Deployment) -> DataPlane:
    """Starts a data plane and waits until it listens. Needs `publish_lock`."""
    child, log_start = _spawn(deployment)
    return _adopt_when_listening(deployment, child, log_start)


def _spawn(deployment: Deployment, *more: str) -> tuple[subprocess.Popen[bytes], int]:
    """A new process, and the length that its log had before."""
    make_private_folder(deployment.run)
    log = open_private_log(deployment.data_plane_log)
    try:
        log_start = os.fstat(log).st_size
        child = subprocess.Popen(
            # -P: a file in the current folder must not be able to pose as a module.
            [sys.executable, "-P", "-m", "motte.plane.data_plane", str(deployment.root), *more],
            stdin=subprocess.PIPE if more else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)
    return child, log_start


def _adopt_when_listening(
    deployment: Deployment, child: subprocess.Popen[bytes], log_start: int
) -> DataPlane:
    try:
        return _wait_until_listening(deployment, child, log_start)
    except BaseException:
        child.kill()
        child.wait()
        raise


def _wait_until_listening(
    deployment: Deployment, child: subprocess.Popen[bytes], log_start: int
) -> DataPlane:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise _failed_start(deployment, child.returncode, log_start)
        announced = _announced(deployment)
        if announced is not None and announced[2] == child.pid:
            with contextlib.suppress(NotRunningError), connect(deployment.control_socket) as client:
                return _adopt(client, child)
        time.sleep(POLL_SECONDS)
    raise DataPlaneError(
        f"the data plane did not listen within {START_SECONDS:g} s",
        hint=f"see what it says in {deployment.data_plane_log}",
    )


def _adopt(client: ControlClient, child: subprocess.Popen[bytes] | None) -> DataPlane:
    """Takes hold of the process behind the control socket."""
    pid = client.peer_pid
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        raise NotRunningError(
            "the data plane has just ended", hint="start it with `motte up`"
        ) from error
    try:
        # Asked after the descriptor was opened: an answer means that the descriptor is its own.
        status = client.status()
    except BaseException:
        os.close(pidfd)
        raise
    return DataPlane(pid, status, child is None, pidfd, child)


def announced_address(deployment: Deployment) -> tuple[str, int] | None:
    """Address and port that a running data plane said it listens on."""
    announced = _announced(deployment)
    return (announced[0], announced[1]) if announced else None


def _announced(deployment: Deployment) -> tuple[str, int, int] | None:
    try:
        announced = json.loads(deployment.listener_file.read_bytes())
        return str(announced["address"]), int(announced["port"]), int(announced["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lock_is_held(deployment: Deployment) -> bool:
    if not deployment.data_plane_lock.exists():
        return False
    descriptor = try_lock(deployment.data_plane_lock)
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _failed_start(deployment: Deployment, code: int, log_start: int) -> DataPlaneError:
    """The reason that the process wrote before it ended."""
    text = b""
    with contextlib.suppress(OSError), deployment.data_plane_log.open("rb") as log:
        log.seek(0, os.SEEK_END)
        log.seek(max(log_start, log.tell() - LOG_TAIL_BYTES))
        text = log.read(LOG_TAIL_BYTES)
    lines = [line for line in text.decode(errors="replace").splitlines() if line.strip()]
    said = [line for line in lines if line.startswith(ERROR_PREFIX)]
    hints = [line for line in lines if line.startswith(HINT_PREFIX)]
    fallback_hint = f"see {deployment.data_plane_log}"
    if said:
        return DataPlaneError(
            f"the data plane did not start: {printable(said[-1].removeprefix(ERROR_PREFIX))}",
            hint=printable(hints[-1].removeprefix(HINT_PREFIX)) if hints else fallback_hint,
        )
    last = f": {printable(lines[-1])}" if lines else ""
    return DataPlaneError(
        f"the data plane ended at its start with code {code}{last}", hint=fallback_hint
    )
