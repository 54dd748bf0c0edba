"""Where things are in a deployment folder, and how the folder is found."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from motte.errors import ConfigError

__all__ = ["DIRECTORY_VARIABLE", "Deployment", "find", "place"]

DIRECTORY_VARIABLE = "MOTTE_DIRECTORY"
"""Environment variable that names the deployment folder."""
DEFAULT_FOLDER = "deployment"
"""Folder looked for, and made, below a current folder that holds other things."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The paths of one deployment; knows names, opens nothing."""

    root: Path

    @property
    def config_file(self) -> Path:
        """``motte.toml``: what listens where, for people to edit."""
        return self.root / "motte.toml"

    @property
    def policy_file(self) -> Path:
        """``policy.toml``: who may do what, for people to edit."""
        return self.root / "policy.toml"

    @property
    def bundles(self) -> Path:
        """Folder of identity bundles, one folder each."""
        return self.root / "devices"

    @property
    def state(self) -> Path:
        """Folder of everything that Motte keeps for itself."""
        return self.root / "state"

    @property
    def unfinished(self) -> Path:
        """Marker that stands while the deployment is being made."""
        return self.state / "unfinished"

    @property
    def authority(self) -> Path:
        """Folder of the fleet's certificate authority."""
        return self.state / "authority"

    @property
    def server(self) -> Path:
        """Folder of the broker's own key and certificate."""
        return self.state / "server"

    @property
    def registry(self) -> Path:
        """SQLite file with every identity and certificate of the fleet."""
        return self.state / "registry.sqlite"

    @property
    def snapshot(self) -> Path:
        """Compiled policy that is in force, or will be at the next start."""
        return self.state / "snapshot.json"

    @property
    def publish_lock(self) -> Path:
        """Lock held while a snapshot is made and installed, and while a data plane starts."""
        return self.state / "publish.lock"

    @property
    def evidence(self) -> Path:
        """Hash-chained evidence log, written by the data plane alone."""
        return self.state / "evidence" / "evidence.log"

    @property
    def data_plane_log(self) -> Path:
        """What the data plane process writes to standard output and error."""
        return self.state / "data-plane.log"

    @property
    def run(self) -> Path:
        """Folder of sockets, locks and process ids."""
        return self.state / "run"

    @property
    def control_socket(self) -> Path:
        """Unix socket on which the data plane takes commands."""
        return self.run / "control.sock"

    @property
    def data_plane_lock(self) -> Path:
        """Lock that a running data plane holds."""
        return self.run / "data-plane.lock"

    @property
    def listener_file(self) -> Path:
        """Address, port and process id of the listening data plane."""
        return self.run / "listener.json"

    @property
    def control_plane_lock(self) -> Path:
        """Lock that a running ``motte up`` holds."""
        return self.run / "control-plane.lock"

    @property
    def exists(self) -> bool:
        """Whether a deployment, whole, half made or damaged, is here."""
        return self.config_file.exists() or self.state.exists()

    def bundle(self, identity: str) -> Path:
        """Folder of one identity's key and certificate."""
        return self.bundles / identity


def find(directory: Path | None, environ: Mapping[str, str] = os.environ) -> Deployment:
    """The deployment that a command is about; an error if there is none.

    ``directory`` wins, then the environment variable, the current folder and ``./deployment``.
    """
    for candidate, given in _candidates(directory, environ):
        deployment = Deployment(candidate)
        if deployment.exists:
            return deployment
        if given:
            raise ConfigError(
                f"there is no deployment in {candidate}",
                hint=f"make one with `motte up --directory {candidate}`",
            )
    raise ConfigError(
        f"there is no deployment in {Path.cwd()} or its folder {DEFAULT_FOLDER}",
        hint="make one with `motte up`, or name its folder with --directory",
    )


def place(directory: Path | None, environ: Mapping[str, str] = os.environ) -> Deployment:
    """The deployment that ``motte up`` runs or makes.

    A new one goes where ``directory`` or the environment variable says, else into the current
    folder if that is empty, else into ``./deployment``, so that nothing of Motte ends up between
    files of something else.
    """
    candidates = _candidates(directory, environ)
    for candidate, given in candidates:
        deployment = Deployment(candidate)
        if given or deployment.exists:
            return deployment
    here, below = candidates[0][0], candidates[-1][0]
    empty = not any(not entry.name.startswith(".") for entry in here.iterdir())
    return Deployment(here if empty else below)


def _candidates(directory: Path | None, environ: Mapping[str, str]) -> list[tuple[Path, bool]]:
    """Folders to look in, and whether somebody asked for that one by name."""
    if directory is not None:
        return [(directory.absolute(), True)]
    if named := environ.get(DIRECTORY_VARIABLE):
        return [(Path(named).absolute(), True)]
    return [(Path.cwd(), False), (Path.cwd() / DEFAULT_FOLDER, False)]
