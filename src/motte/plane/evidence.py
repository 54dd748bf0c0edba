"""Reads the evidence log: checks its chain of hashes, and shows what is added to it.

The data plane writes the log, one JSON object a line, and nobody else does. Each line holds the
hash of the line before it, and its own: SHA-256 over that previous hash, its number as eight bytes
and the exact bytes of its record. A full file is closed and named by its first line; the chain goes
on in the next one. This is a second implementation on purpose, of the format that
``crates/guard/src/evidence`` writes: a checker that shares the writer's code shares its defects.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from motte.errors import StoreError
from motte.files import check_private, file_errors

__all__ = ["LAYERS", "Broken", "Verified", "records", "tail", "verify"]

LAYERS: Final = {
    "network": 0,
    "tls": 1,
    "fingerprint": 2,
    "identity": 3,
    "authorization": 4,
    "protocol": 5,
    "quota": 6,
    "detection": 7,
    "evidence": 8,
}
"""The layers' numbers by the names that records use."""

START: Final = "0" * 64
"""What the first line names as the hash before it."""
MAXIMUM_LINE_BYTES: Final = 8 * 1024
"""Longest line that the data plane writes; a longer one is not its work."""
_LINE: Final = re.compile(
    rb'\{"seq":(0|[1-9][0-9]{0,19}),"previous":"([0-9a-f]{64})",'
    rb'"record":(\{.*\}),"hash":"([0-9a-f]{64})"\}',
    re.DOTALL,
)
_FIRST: Final = re.compile(r"evidence-[0-9]{20}\.log")
"""Names of closed files: the number of the first line in as many digits as a number can have."""
_REMOVED: Final = re.compile(r"lines [0-9]+ to [0-9]+ were removed, .* last hash ([0-9a-f]{64})")
"""What the record says that the data plane writes before it removes a file."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A log that is as it was written.

    A log whose last lines were cut off passes, too: compare ``last_hash`` with one that was noted
    elsewhere. ``unfinished`` says that half a line follows, which is an interrupted write.
    ``first`` is the number of the first line that is left: the data plane removes the oldest ones
    of a log that has reached its size, and says so in it.
    """

    lines: int
    last_hash: str
    unfinished: bool
    first: int = 1


@dataclass(frozen=True, slots=True)
class Broken:
    """The first line that is not as it was written, in its file; everything before it is."""

    file: Path
    line: int
    why: str
    last_hash: str
    intact: int
    """Lines before it, in all files."""


def verify(path: Path) -> Verified | Broken:
    """Recomputes the whole chain of the log whose open file is ``path``, through all its files."""
    files = _files(path)
    chain = _Chain(files[0])
    for file in files:
        if broken := _check_file(file, chain, is_open=file == path):
            return broken
    if chain.start is not None and chain.start not in chain.removals:
        return Broken(
            files[0],
            1,
            "the log does not begin with its first line, and no record in it says that older lines "
            "were removed",
            START,
            0,
        )
    return Verified(chain.count, chain.last, chain.unfinished, chain.first)


def tail(path: Path, count: int) -> list[dict[str, Any]]:
    """The last ``count`` records of a log, oldest first, each with its ``seq``."""
    records: list[dict[str, Any]] = []
    for file in reversed(_files(path)):
        if len(records) >= count:
            break
        records = _tail_of(file, count - len(records)) + records
    return records


def records(path: Path) -> Iterator[dict[str, Any]]:
    """All records of a log, oldest first, each with its ``seq``. `verify` says if they are true.

    Damaged lines are left out, and so is what the data plane is writing at this moment.
    """
    for file in _files(path):
        with file_errors("read", file), file.open("rb") as log:
            while line := log.readline(MAXIMUM_LINE_BYTES + 1):
                if line.endswith(b"\n"):
                    yield from _records([line])


def _tail_of(path: Path, count: int) -> list[dict[str, Any]]:
    with file_errors("read", path), path.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        start = max(0, size - count * MAXIMUM_LINE_BYTES)
        log.seek(start)
        data = log.read(size - start)
    lines = data.split(b"\n")[:-1]
    # Where reading began in the middle of a line, that half is not a record.
    return list(_records(lines[1:] if start else lines))[-count:]


@dataclass(slots=True)
class _Chain:
    """How far a chain has been followed."""

    file: Path
    first: int = 1
    count: int = 0
    last: str = START
    start: str | None = None
    """The hash that the first line builds on, where that is not the beginning of the log."""
    removals: set[str] = field(default_factory=set)
    """The last hashes of lines that a record in the chain says were removed."""
    unfinished: bool = False

    def follow(self, line: bytes) -> str | None:
        """Takes the next line; what is wrong with it."""
        found = _LINE.fullmatch(line)
        if found is None:
            return "it does not have the form of this log's lines"
        sequence, previous, record, claimed = int(found[1]), found[2].decode(), found[3], found[4]
        if self.count == 0 and sequence > 1 and _FIRST.fullmatch(self.file.name):
            self.first, self.start, self.last = sequence, previous, previous
        if sequence != self.first + self.count or previous != self.last:
            return "it does not follow the line before it: removed, added or moved"
        digest = hashlib.sha256(bytes.fromhex(previous) + sequence.to_bytes(8, "big") + record)
        if digest.hexdigest() != claimed.decode():
            return "its record and its hash differ: it was changed"
        self.last, self.count = claimed.decode(), self.count + 1
        if b"log_trimmed" in record:
            self._note_removal(json.loads(record))
        return None

    def _note_removal(self, record: dict[str, Any]) -> None:
        removed = _REMOVED.fullmatch(record.get("detail", ""))
        if record.get("kind") == "log_trimmed" and removed:
            self.removals.add(removed[1])


def _check_file(path: Path, chain: _Chain, *, is_open: bool) -> Broken | None:
    """Follows the chain through one file; the first line at which it breaks."""
    number = 0
    with file_errors("read", path), path.open("rb") as log:
        while line := log.readline(MAXIMUM_LINE_BYTES + 1):
            number += 1
            if len(line) > MAXIMUM_LINE_BYTES:
                wrong: str | None = "it is longer than any line of this log"
            elif not line.endswith(b"\n"):
                if is_open:
                    chain.unfinished = True
                    return None
                wrong = "it is cut off, in a file that was closed"
            else:
                wrong = chain.follow(line[:-1])
            if wrong:
                return Broken(path, number, wrong, chain.last, chain.count)
    return None


def _files(path: Path) -> list[Path]:
    """The files of a log, oldest first; the last one is ``path``, where there is one."""
    closed = (file for file in path.parent.glob("evidence-*.log") if _FIRST.fullmatch(file.name))
    # The data plane opens the next file a moment after it closed one.
    files = sorted(closed) + ([path] if path.exists() else [])
    if not files:
        raise StoreError(
            f"{path} is missing",
            hint="the data plane makes it at its first start; if there was one, it was removed",
        )
    for file in files:
        check_private(file)
    return files


def _records(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
            yield {"seq": int(entry["seq"]), **entry["record"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            yield {"kind": "damaged line"}
