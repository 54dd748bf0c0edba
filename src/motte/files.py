"""Files that hold secrets or decide what is allowed: private, whole or not there at all."""

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from motte.errors import StoreError

__all__ = [
    "PRIVATE_FILE",
    "PRIVATE_FOLDER",
    "check_private",
    "file_errors",
    "locked",
    "make_private_folder",
    "open_private_log",
    "read_private",
    "sync_folder",
    "try_lock",
    "write_private",
    "write_text",
]

PRIVATE_FILE = 0o600
"""Mode of every file with a key, a policy or evidence: the owner alone."""
PUBLIC_FILE = 0o644
"""Mode of a report that somebody asked for."""
PRIVATE_FOLDER = 0o700
"""Mode of every folder with such files."""
OTHERS = 0o077
"""Permission bits that a private file must not have: anything for group or world."""
LOCK_POLL_SECONDS = 0.01
"""How often a wait for a file lock looks again; flock has no time limit of its own."""

_EXPLAINED = {
    errno.ENOSPC: ("the disk is full", "free some space and run the command again"),
    errno.EDQUOT: ("the disk quota is used up", "free some space and run the command again"),
    errno.EROFS: ("the file system is read-only", "remount it writable, or use another folder"),
    errno.EACCES: ("permission denied", "run as the user who owns the deployment"),
    errno.EPERM: ("operation not permitted", "run as the user who owns the deployment"),
    errno.ENOENT: ("no such file or folder", "check the path"),
    errno.EISDIR: ("it is a folder, not a file", "move the folder away"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "check the path"),
    errno.ELOOP: ("it is a symbolic link where a real file is needed", "replace the link"),
}


@contextlib.contextmanager
def file_errors(action: str, path: Path) -> Iterator[None]:
    """Turns an ``OSError`` inside the block into a `StoreError` that names the file."""
    try:
        yield
    except OSError as error:
        what, hint = _EXPLAINED.get(
            error.errno or 0, (error.strerror or str(error), "check the disk and the folder")
        )
        raise StoreError(f"cannot {action} {path}: {what}", hint=hint) from error


def write_private(path: Path, data: bytes, *, mode: int = PRIVATE_FILE) -> None:
    """Puts ``data`` at ``path`` in one step: readers see the old file or the new, never a part.

    The bytes are on disk before the name changes and the name is on disk before this returns.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with file_errors("write", path):
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(temporary, flags, mode), "wb") as file:
                os.fchmod(file.fileno(), mode)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
            sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """Writes a file that is made for others to read, whole or not at all."""
    write_private(path, text.encode(), mode=PUBLIC_FILE)


def sync_folder(path: Path) -> None:
    """Makes names that were added to or removed from a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private_folder(path: Path) -> None:
    """Makes a folder for the owner alone; one that exists must already be private."""
    with file_errors("make the folder", path):
        try:
            path.mkdir(mode=PRIVATE_FOLDER, parents=True)
        except FileExistsError:
            check_private(path, folder=True)


def check_private(path: Path, *, folder: bool = False) -> None:
    """Refuses a file or folder that others could read or change, or that is not ours."""
    with file_errors("look at", path):
        status = path.lstat()
    kind = "folder" if folder else "file"
    expected = stat.S_ISDIR(status.st_mode) if folder else stat.S_ISREG(status.st_mode)
    if not expected:
        raise StoreError(
            f"{path} is not a regular {kind}",
            hint="a deployment holds real files only; put the original back from a backup",
        )
    if status.st_uid != os.geteuid():
        raise StoreError(
            f"{path} belongs to user {status.st_uid}, but this is user {os.geteuid()}",
            hint="run as the user who made the deployment",
        )
    if status.st_mode & OTHERS:
        mode = PRIVATE_FOLDER if folder else PRIVATE_FILE
        raise StoreError(
            f"{path} is open to other users (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"make sure nobody else changed or copied it, then: chmod {mode:o} {path}",
        )


def read_private(path: Path, *, limit: int) -> bytes:
    """The bytes of a private file of at most ``limit`` bytes."""
    check_private(path)
    with file_errors("read", path), path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise StoreError(
            f"{path} is larger than the {limit} bytes it can have",
            hint="put the original back from a backup",
        )
    return data


def open_private_log(path: Path) -> int:
    """A descriptor that appends to a private log file."""
    with file_errors("open", path):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, PRIVATE_FILE)
        os.fchmod(descriptor, PRIVATE_FILE)
        return descriptor


def try_lock(path: Path) -> int | None:
    """Takes the lock at ``path`` if it is free: a descriptor to hold, or ``None`` if taken.

    The kernel gives the lock back when the descriptor is closed or its process ends.
    """
    with file_errors("lock", path):
        descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, PRIVATE_FILE
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


@contextlib.contextmanager
def locked(path: Path, *, timeout: float, what: str) -> Iterator[None]:
    """Holds the lock at ``path`` for the block; gives up after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while (descriptor := try_lock(path)) is None:
        if time.monotonic() >= deadline:
            raise StoreError(
                f"another motte command has been {what} for more than {timeout:g} s",
                hint=f"let it finish, or see who holds {path}: fuser {path}",
            )
        time.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)
