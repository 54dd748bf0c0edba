"""The stage: a deployment in a temporary folder, its data plane and its operator."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from motte.deployment import Deployment
from motte.drill.clients import Endpoint
from motte.errors import StoreError
from motte.fleet.identity import Kind, SystemClock
from motte.plane import setup
from motte.plane.context import ControlPlane
from motte.plane.control import Status, connect
from motte.plane.foundation import begin
from motte.plane.process import publish_lock, start_data_plane
from motte.plane.publisher import Source

__all__ = ["HOST", "TOASTERS", "Stage", "motte_stage", "temporary_folder"]

HOST: Final = "127.0.0.1"
"""Nothing of the drill can be reached from another host."""
TOASTERS: Final = ("toaster-1", "toaster-2", "toaster-3")
"""The fleet; the first one is stolen."""
THIRD: Final[tuple[Kind, str, dict[str, str]]] = (Kind.DEVICE, TOASTERS[2], {"group": "toaster"})
"""A new deployment has two toasters and the dashboard."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """A running broker and everything that its operator has."""

    deployment: Deployment
    plane: ControlPlane
    status: Status

    @property
    def endpoint(self) -> Endpoint:
        """Where clients connect."""
        return Endpoint(HOST, self.status.port, self.deployment.bundles)

    def ask(self) -> dict[str, Any]:
        """The broker's own figures, now."""
        with connect(self.deployment.control_socket) as client:
            return client.status().raw


@contextlib.contextmanager
def temporary_folder(*, keep: bool) -> Iterator[Path]:
    """A private folder that is gone after the block, however that ends, unless it is to be kept."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="motte-demo-"))
    except OSError as error:
        raise StoreError(
            f"no temporary folder can be made: {error.strerror}",
            hint="make room, or name another place in the environment variable TMPDIR",
        ) from error
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def motte_stage(folder: Path, progress: Progress) -> Iterator[Stage]:
    """A new deployment as `motte up` makes it, with a third toaster, and its data plane."""
    clock = SystemClock()
    deployment = Deployment(folder)
    begin(deployment)
    setup.complete(deployment, clock=clock, progress=progress, port=0)
    with ControlPlane(deployment, clock=clock) as plane:
        setup.renew_server_certificate(plane, progress)
        plane.enrolment.enrol(*THIRD, why="drill")
        progress(f"enrolled the device {THIRD[1]}")
        with publish_lock(deployment):
            plane.publisher.publish_locked(Source.FILE, None, why="drill")
            process = start_data_plane(deployment)
        try:
            yield Stage(deployment, plane, process.status)
        finally:
            process.stop(deployment.control_socket)
            process.close()
