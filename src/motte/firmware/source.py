"""Bytes that are read a piece at a time, from a file or from memory."""

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import IO, Final, Protocol

from motte.firmware.limits import MAXIMUM_PART_BYTES_IN_MEMORY

__all__ = ["BytesSource", "FileSource", "Part", "Region", "Source", "spool"]


class Source(Protocol):
    """Where bytes come from."""

    size: int

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on, fewer where the source ends."""

    def close(self) -> None:
        """Gives back what it holds."""


class FileSource:
    """An open file. It is read, not mapped: a file that shrinks meanwhile kills no process."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file: Final = file
        self.size = os.fstat(file.fileno()).st_size

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on."""
        return os.pread(self._file.fileno(), length, start)

    def close(self) -> None:
        """Closes the file, which deletes it if it has no name."""
        self._file.close()


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data: Final = data
        self.size = len(data)

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on."""
        return self._data[start : start + length]

    def close(self) -> None:
        """There is nothing to give back."""


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a part that has a name, such as a partition or a file in an archive."""

    start: int
    end: int
    name: str


@dataclass(slots=True)
class Part:
    """An image, or what was unpacked from one. ``path`` names its containers and itself."""

    source: Source
    path: tuple[str, ...]
    regions: list[Region] = field(default_factory=list)
    read_until: dict[str, int] = field(default_factory=dict)
    """For each kind of reader, the end of what it has dealt with: marks inside are old news."""
    structures: list[tuple[int, int]] = field(default_factory=list)
    """Start and end of the certificates and keys in DER of this chunk and the one before."""

    @property
    def depth(self) -> int:
        """How many containers are around it."""
        return len(self.path) - 1

    @property
    def size(self) -> int:
        """Bytes."""
        return self.source.size

    def read(self, start: int, length: int) -> bytes:
        """The bytes from ``start`` on, fewer where the part ends; none before its beginning."""
        if start < 0:
            length, start = length + start, 0
        return self.source.read(start, length) if length > 0 else b""

    def path_at(self, offset: int) -> tuple[str, ...]:
        """The path with the names of the regions around ``offset``, widest first."""
        around = [region for region in self.regions if region.start <= offset < region.end]
        around.sort(key=lambda region: region.start - region.end)
        return (*self.path, *(region.name for region in around))


def spool(pieces: Iterable[bytes]) -> Source:
    """A source of all the pieces together; much of it goes into a nameless temporary file."""
    memory = bytearray()
    file: IO[bytes] | None = None
    for piece in pieces:
        memory += piece
        if len(memory) > MAXIMUM_PART_BYTES_IN_MEMORY:
            file = file or tempfile.TemporaryFile()  # noqa: SIM115 (closed with the source)
            file.write(memory)
            memory.clear()
    if file is None:
        return BytesSource(bytes(memory))
    file.write(memory)
    file.flush()
    return FileSource(file)
