"""SPIFFS, whose files lie in pages of 256 bytes with a head in front of each.

As ESP-IDF and the ESP8266 set it up: pages of 256 bytes, blocks of 4 KiB or more, with magic and
length. Source: pellepl/spiffs, docs/TECH_SPEC and src/spiffs_nucleus.h.
"""

import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from motte.firmware.scan import Look
from motte.firmware.source import Part

__all__ = ["WHOLE"]

PAGE: Final = 256
BLOCK: Final = 4096
MAXIMUM_BLOCKS: Final = 4096
"""Blocks of a file system: 16 MiB, the whole flash of most chips."""
SMALLEST: Final = 3
MAGIC: Final = 0x20140529
MAGIC_AT: Final = PAGE - 4
HEAD: Final = 5
INDEX_BIT: Final = 0x8000
NAME_AT: Final = 13
NAME_BYTES: Final = 32
SIZE_AT: Final = 8
USED, FINAL, INDEX, DELETED = 0x01, 0x02, 0x04, 0x80
UNKNOWN_SIZE: Final = 0xFFFFFFFF


@dataclass(slots=True)
class _File:
    """What is left of a file: where its pages lie, by their place in it."""

    name: str = ""
    size: int = UNKNOWN_SIZE
    pages: dict[int, int] = field(default_factory=dict)


def _spiffs(look: Look) -> None:
    """Looks at every sector for a block that says how many follow, as the next block does."""
    until = 0
    for offset in range(0, look.part.size - 2 * BLOCK + 1, BLOCK):
        if offset < until:
            continue
        left = _blocks_left(look.part, offset)
        if SMALLEST <= left <= MAXIMUM_BLOCKS and _counts_down(look.part, offset, left):
            until = offset + left * BLOCK
            _volume(look, offset, left)


def _counts_down(part: Part, offset: int, left: int) -> bool:
    """Whether each block that is there has its number: two that do are met by chance."""
    here = min(left, (part.size - offset) // BLOCK)
    return here >= SMALLEST and all(
        _blocks_left(part, offset + number * BLOCK) == left - number for number in range(1, here)
    )


def _blocks_left(part: Part, offset: int) -> int:
    """How many blocks there are from this one on, by its magic number."""
    magic = int.from_bytes(part.read(offset + MAGIC_AT, 2), "little")
    return magic ^ (MAGIC ^ PAGE) & 0xFFFF


def _volume(look: Look, base: int, blocks: int) -> None:
    files: dict[tuple[int, bool], _File] = defaultdict(_File)
    size = blocks * BLOCK
    for offset in range(base, min(base + size, look.part.size), PAGE):
        if (offset - base) % BLOCK:
            _page(look.part, offset, files)
    whole = [file for file in files.values() if file.pages]
    if not whole:
        return
    look.scan.region(look.part, base, size, "SPIFFS")
    for file in whole:
        start = file.pages[min(file.pages)]
        look.scan.unpack(look.part, start, file.name or "a file without name", [_bytes(look, file)])
    if base + size > look.part.size:
        look.scan.problem(look.part, base, "this SPIFFS ends too early")


def _page(part: Part, offset: int, files: dict[tuple[int, bool], _File]) -> None:
    page = part.read(offset, PAGE)
    if len(page) < PAGE:
        return
    number, place, flags = struct.unpack_from("<HHB", page)
    if number in {0, 0xFFFF} or flags & USED:
        return
    # A deleted page keeps its bytes until its block is erased. Its file is not that of a live page.
    file = files[number & ~INDEX_BIT, not flags & DELETED]
    if flags & INDEX:
        file.pages[place] = offset
    elif number & INDEX_BIT and place == 0:
        (file.size,) = struct.unpack_from("<I", page, SIZE_AT)
        name = page[NAME_AT : NAME_AT + NAME_BYTES].partition(b"\0")[0]
        file.name = name.decode("utf-8", "replace")


def _bytes(look: Look, file: _File) -> bytes:
    pages = (look.part.read(file.pages[place] + HEAD, PAGE - HEAD) for place in sorted(file.pages))
    data = b"".join(pages)
    return data if file.size == UNKNOWN_SIZE else data[: file.size]


WHOLE: Final = (_spiffs,)
