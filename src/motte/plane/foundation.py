"""The ground of a deployment: its state folder, and the marker that it is being made."""

import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from motte.deployment import Deployment
from motte.errors import StoreError
from motte.files import (
    PRIVATE_FOLDER,
    check_private,
    file_errors,
    make_private_folder,
    sync_folder,
    write_private,
)

__all__ = ["begin"]

PUBLIC_FOLDER: Final = 0o755
"""Mode of a deployment's own folder: others may see its two text files, and change nothing."""
MARKER_TEXT: Final = b"this deployment is being made; `motte up` completes it\n"


def begin(deployment: Deployment) -> bool:
    """Puts the state folder and the marker in place together; whether there is work to do."""
    with file_errors("make the folder", deployment.root):
        try:
            # Whatever the umask is: who can write here can put another policy in place.
            deployment.root.mkdir(mode=PUBLIC_FOLDER, parents=True)
        except FileExistsError:
            _check_folder(deployment.root)
    if not deployment.exists:
        fresh = deployment.root / f".{deployment.state.name}.{secrets.token_hex(8)}"
        with file_errors("make", deployment.state):
            fresh.mkdir(mode=PRIVATE_FOLDER)
            write_private(fresh / deployment.unfinished.name, MARKER_TEXT)
            fresh.rename(deployment.state)
            sync_folder(deployment.root)
    if not deployment.state.exists():
        raise StoreError(
            f"{deployment.state} is missing, but {deployment.config_file.name} is here",
            hint="put the folder back from a backup: the fleet's authority was in it; or move "
            f"{deployment.config_file.name} away to make a new deployment",
        )
    check_private(deployment.state, folder=True)
    make_private_folder(deployment.run)
    return deployment.unfinished.exists()


def _check_folder(root: Path) -> None:
    """Refuses a folder in which every user of this host can replace what is not theirs."""
    mode = root.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise StoreError(
            f"{root} can be changed by every user of this host",
            hint=f"check what is in it, then: chmod o-w {root}",
        )
