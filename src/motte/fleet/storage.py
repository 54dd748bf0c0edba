"""The registry's SQLite file: opened with care, its failures explained."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

from motte.errors import StoreError
from motte.files import check_private, file_errors
from motte.fleet.schema import APPLICATION_ID

__all__ = ["RESTORE", "WRITES", "check_file", "damaged", "open_engine", "store_errors"]

WRITES: Final = "motte_writes"
"""Execution option of a transaction that will write."""
BUSY_TIMEOUT: Final = timedelta(seconds=5)
"""How long one command waits for another's transaction; each takes a few milliseconds."""
SQLITE_MAGIC: Final = b"SQLite format 3\x00"
"""How every SQLite file begins."""
SQLITE_HEADER_BYTES: Final = 100
"""Length of SQLite's file header."""
RESTORE: Final = (
    "put registry.sqlite back from a backup; it is not made anew by itself, because an empty "
    "registry would forget who was revoked"
)
"""The way back from a registry that is lost."""


def check_file(path: Path) -> None:
    """Refuses what cannot be a whole registry, before SQLite touches it."""
    if not path.exists():
        raise StoreError(f"{path} is missing", hint=RESTORE)
    check_private(path)
    with file_errors("read", path), path.open("rb") as file:
        header = file.read(SQLITE_HEADER_BYTES)
        size = os.fstat(file.fileno()).st_size
    if not header:
        raise StoreError(f"{path} is empty", hint=RESTORE)
    if header[:16] != SQLITE_MAGIC[: len(header)]:
        raise StoreError(f"{path} is not a SQLite database", hint=RESTORE)
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    expected = (65536 if page == 1 else page) * pages
    # With a write-ahead log beside it the file may be shorter for now: SQLite completes it.
    log = path.with_name(f"{path.name}-wal")
    completed_later = log.exists() and log.stat().st_size > 0
    if len(header) < SQLITE_HEADER_BYTES or (size < expected and not completed_later):
        raise StoreError(
            f"{path} is truncated: {size} bytes are left of at least {expected}", hint=RESTORE
        )
    # Looked up here, because opening it would already make it ours: journal mode, for example.
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StoreError(f"{path} is a database, but not a registry of Motte", hint=RESTORE)


def open_engine(path: Path, *, journal: str = "WAL") -> Engine:
    """An engine whose every connection is durable and checks its foreign keys."""
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT.total_seconds(), "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        for pragma in (f"journal_mode = {journal}", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        # A writer takes the lock at once: a reader that turns writer could find it taken.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextlib.contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turns what SQLite reports into an error that names the file and the way back."""
    try:
        yield
    except OperationalError as error:
        what = str(error.orig)
        if "locked" in what:
            hint = "another command is working on it; run this one again"
        elif "full" in what:
            hint = "free some space on the disk and run the command again; nothing was changed"
        elif "readonly" in what or "unable to open" in what:
            hint = "make the folder writable for you and run the command again"
        else:
            hint = RESTORE
        raise StoreError(f"cannot use {path}: {what}", hint=hint) from error
    except DatabaseError as error:
        raise damaged(path, str(error.orig)) from error
    except SQLAlchemyError as error:
        raise StoreError(f"cannot use {path}: {error}", hint=RESTORE) from error


def damaged(path: Path, what: str) -> StoreError:
    """The error for a registry that cannot be right."""
    return StoreError(f"{path} is damaged: {what}", hint=RESTORE)
