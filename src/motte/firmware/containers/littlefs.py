"""LittleFS, whose larger files lie in blocks that each begin with pointers to earlier ones.

Source: littlefs-project/littlefs, SPEC.md, version 2.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from motte.firmware.scan import Look, Reader
from motte.firmware.source import Part

__all__ = ["READERS"]

MAXIMUM_BLOCKS: Final = 1_000_000
"""Blocks of a file system: 4 GB of 4 KiB, more than any flash of a microcontroller."""
MAXIMUM_PAIRS: Final = 20_000
"""Metadata pairs of a file system: one or some for each folder."""
LITTLEFS: Final = "littlefs"
SMALLEST_BLOCK, LARGEST_BLOCK = 128, 1024 * 1024
MAGIC_OFFSET: Final = 8
NO_DATA: Final = 0x3FF
ALL_ONES: Final = 0xFFFFFFFF
NAME, FILE_NAME, CREATE, DELETE = 0x0, 0x001, 0x401, 0x4FF
INLINE, CTZ, TAIL = 0x201, 0x202, 0x6
CHECKSUM: Final = 0x500 >> 7
"""The upper four bits of the kinds that end a commit; 0x5ff, of version 2.1, is another."""


@dataclass(slots=True)
class _File:
    """An entry of a folder; ``start`` is where its structure lies in the part."""

    name: str = ""
    kind: int = 0
    start: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class _Volume:
    """A file system in a part."""

    part: Part
    base: int
    block: int
    blocks: int

    def at(self, number: int) -> int:
        """Offset of a block in the part; ``ValueError`` outside of the file system."""
        if not 0 <= number < self.blocks:
            message = "a pointer leads out of it"
            raise ValueError(message)
        return self.base + number * self.block


def _littlefs(look: Look) -> None:
    """A mark is the magic of a superblock, which stands behind a revision and a tag."""
    base = look.offset - MAGIC_OFFSET
    if base < 0 or look.is_read(LITTLEFS):
        return
    head = look.read(24)
    if len(head) < 24:  # noqa: PLR2004 (magic, tag, version, size and number of blocks)
        return
    version, block, blocks = struct.unpack_from("<III", head, 12)
    if version >> 16 != 2 or not SMALLEST_BLOCK <= block <= LARGEST_BLOCK:  # noqa: PLR2004
        return
    if not 2 <= blocks <= MAXIMUM_BLOCKS:  # noqa: PLR2004 (the pair of the superblock)
        return
    volume = _Volume(look.part, base, block, blocks)
    look.set_read(LITTLEFS, base + block * blocks)
    look.scan.region(look.part, base, block * blocks, LITTLEFS)
    try:
        for file in _files(volume):
            _report(look, volume, file)
    except ValueError as error:
        look.scan.problem(look.part, base, f"this LittleFS is damaged: {error}")
    if base + block * blocks > look.part.size:
        look.scan.problem(look.part, base, "this LittleFS ends too early")


def _report(look: Look, volume: _Volume, file: _File) -> None:
    if file.kind == INLINE:
        look.scan.region(look.part, file.start, len(file.data), file.name)
    elif file.kind == CTZ and len(file.data) == 8:  # noqa: PLR2004 (head and size)
        head, size = struct.unpack("<II", file.data)
        start = volume.at(head)
        look.scan.unpack(look.part, start, file.name, _contents(volume, head, size))


def _files(volume: _Volume) -> Iterator[_File]:
    """The files of all folders: each metadata pair names the next."""
    pair: tuple[int, int] | None = (0, 1)
    seen: set[tuple[int, int]] = set()
    while pair is not None and len(seen) < MAXIMUM_PAIRS:
        if pair in seen:
            message = "its folders go round in a circle"
            raise ValueError(message)
        seen.add(pair)
        read = [_Metadata(volume, number) for number in pair]
        valid = [one for one in read if one.is_valid]
        if not valid:
            message = "both copies of a folder are broken"
            raise ValueError(message)
        # Revisions count up and wrap around.
        newest = valid[0]
        if len(valid) > 1 and (valid[1].revision - valid[0].revision) & ALL_ONES < 1 << 31:
            newest = valid[1]
        yield from newest.files
        pair = newest.tail


class _Metadata:
    """A metadata block: commits of tags, each the XOR of itself and the one before."""

    def __init__(self, volume: _Volume, number: int) -> None:
        self.start = volume.at(number)
        self.data = volume.part.read(self.start, volume.block)
        self.revision = int.from_bytes(self.data[:4], "little")
        self.files: list[_File] = []
        self.tail: tuple[int, int] | None = None
        self.is_valid = False
        self._read()

    def _read(self) -> None:
        previous, at, committed = ALL_ONES, 4, 0
        pending: list[tuple[int, int, int, int]] = []
        while at + 4 <= len(self.data):
            tag = int.from_bytes(self.data[at : at + 4], "big") ^ previous
            kind, number, length = tag >> 20 & 0x7FF, tag >> 10 & 0x3FF, tag & 0x3FF
            size = 0 if length == NO_DATA else length
            if tag >> 31 or at + 4 + size > len(self.data):
                return
            if kind >> 7 == CHECKSUM:
                stored = int.from_bytes(self.data[at + 4 : at + 8], "little")
                if zlib.crc32(self.data[committed : at + 4]) ^ ALL_ONES != stored:
                    return
                self._commit(pending)
                pending = []
                committed = at + 4 + size
                tag ^= (kind & 1) << 31
            else:
                pending.append((kind, number, at + 4, size))
            previous = tag
            at += 4 + size

    def _commit(self, tags: list[tuple[int, int, int, int]]) -> None:
        self.is_valid = True
        for kind, number, start, size in tags:
            data = self.data[start : start + size]
            # A block that was written anew has no creations, only names, in any order.
            while kind >> 8 == NAME and number >= len(self.files):
                self.files.append(_File())
            if kind == CREATE:
                self.files.insert(number, _File())
            elif kind == DELETE:
                del self.files[number : number + 1]
            elif kind >> 8 == TAIL and size == 8:  # noqa: PLR2004 (two block numbers)
                first, second = struct.unpack("<II", data)
                self.tail = None if first == ALL_ONES else (first, second)
            elif number < len(self.files):
                self._describe(self.files[number], kind, start, data)

    def _describe(self, file: _File, kind: int, start: int, data: bytes) -> None:
        if kind == FILE_NAME:
            file.name = data.decode("utf-8", "replace")
        elif kind in {INLINE, CTZ}:
            file.kind, file.start, file.data = kind, self.start + start, data


def _contents(volume: _Volume, head: int, size: int) -> Iterator[bytes]:
    """A file in blocks: block n > 0 begins with one pointer more than n has zeros at its end."""
    if size > volume.block * volume.blocks:
        message = "a file is larger than it"
        raise ValueError(message)
    index, left = 0, size - volume.block
    while left > 0:
        index += 1
        left -= volume.block - _pointers(index)
    numbers = [head]
    for _ in range(index):
        numbers.append(int.from_bytes(volume.part.read(volume.at(numbers[-1]), 4), "little"))
    left = size
    for place, number in enumerate(reversed(numbers)):
        skipped = _pointers(place) if place else 0
        piece = volume.part.read(volume.at(number) + skipped, min(volume.block - skipped, left))
        left -= len(piece)
        yield piece


def _pointers(index: int) -> int:
    """Bytes of pointers at the beginning of a block that is not the first."""
    return 4 * (index & -index).bit_length()


READERS: Final[dict[bytes, Reader]] = {b"littlefs": _littlefs}
