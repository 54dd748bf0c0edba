"""Reads the evidence log: checks its chain of hashes, and shows what is added to it.

The data plane writes the log, one JSON object a line, and nobody else does. Each line holds the
hash of the line before it, and its own: SHA-256 over that previous hash, its number as eight bytes
and the exact bytes of its record. This is a second implementation on purpose, of the format that
``crates/guard/src/evidence`` writes: a checker that shares the writer's code shares its defects.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from motte.errors import StoreError
from motte.files import check_private, file_errors

__all__ = ["LAYERS", "Broken", "Verified", "tail", "verify"]

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


@dataclass(frozen=True, slots=True)
class Verified:
    """A log that is as it was written.

    A log whose last lines were cut off passes, too: compare ``last_hash`` with one that was noted
    elsewhere. ``unfinished`` says that half a line follows, which is an interrupted write.
    """

    lines: int
    last_hash: str
    unfinished: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """The first line that is not as it was written; everything before it is."""

    line: int
    why: str
    last_hash: str


def verify(path: Path) -> Verified | Broken:
    """Recomputes the whole chain of a log."""
    _check(path)
    last, count = START, 0
    with file_errors("read", path), path.open("rb") as log:
        while line := log.readline(MAXIMUM_LINE_BYTES + 1):
            if len(line) > MAXIMUM_LINE_BYTES:
                return Broken(count + 1, "it is longer than any line of this log", last)
            if not line.endswith(b"\n"):
                return Verified(count, last, unfinished=True)
            found = _LINE.fullmatch(line[:-1])
            if found is None:
                return Broken(count + 1, "it does not have the form of this log's lines", last)
            sequence, previous, record, claimed = found.groups()
            if int(sequence) != count + 1 or previous.decode() != last:
                return Broken(
                    count + 1,
                    "it does not follow the line before it: removed, added or moved",
                    last,
                )
            digest = hashlib.sha256(bytes.fromhex(last) + (count + 1).to_bytes(8, "big") + record)
            if digest.hexdigest() != claimed.decode():
                return Broken(count + 1, "its record and its hash differ: it was changed", last)
            last, count = claimed.decode(), count + 1
    return Verified(count, last, unfinished=False)


def tail(path: Path, count: int) -> list[dict[str, Any]]:
    """The last ``count`` records of a log, oldest first, each with its ``seq``."""
    _check(path)
    lines: list[bytes] = []
    with file_errors("read", path), path.open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        start = max(0, size - count * MAXIMUM_LINE_BYTES)
        log.seek(start)
        data = log.read(size - start)
    lines = data.split(b"\n")[:-1]
    # Where reading began in the middle of a line, that half is not a record.
    return list(_records(lines[1:] if start else lines))[-count:] if count > 0 else []


def _records(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            entry = json.loads(line)
            yield {"seq": int(entry["seq"]), **entry["record"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            yield {"kind": "damaged line"}


def _check(path: Path) -> None:
    if not path.exists():
        raise StoreError(
            f"{path} is missing",
            hint="the data plane makes it at its first start; if there was one, it was removed",
        )
    check_private(path)
