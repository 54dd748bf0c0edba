"""Flash of ESP32 chips: the partition table, and the key-value store NVS.

Sources: ESP-IDF Programming Guide, "Partition Tables" and "Non-Volatile Storage Library".
"""

import re
import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from motte.firmware.material import der_length
from motte.firmware.model import Kind
from motte.firmware.readers_secrets import report_credential
from motte.firmware.scan import Look, Reader

__all__ = ["READERS", "WHOLE"]

SECTOR: Final = 4096
ENTRY: Final = 32
PARTITIONS: Final = 95
"""Entries of a partition table: one sector, without the MD5 at its end."""
ENCRYPTED: Final = 1
MAGIC: Final = 0x50AA
TYPES: Final = {0, 1}
FIRST_CUSTOM_TYPE: Final = 0x40
NVS_STATES: Final = {0xFFFFFFFE, 0xFFFFFFFC, 0xFFFFFFF8, 0xFFFFFFF0}
NVS_ENTRIES: Final = 126
NVS_FIRST: Final = 64
MAXIMUM_NVS_PAGES: Final = 4096
"""Pages of one NVS partition: 16 MiB, the whole flash of most chips."""
NUMBER, STRING, OLD_BLOB, BLOB = 0x01, 0x21, 0x41, 0x42
VERSION_BIT: Final = 0x80
"""In the number of a chunk: which of two versions of a blob it is of."""
EMPTY, WRITTEN = 3, 2
_SECRET_NAME: Final = re.compile(r"pass|pswd|pwd|psk|secret|token|(?:^|[._-])key$", re.IGNORECASE)


def _partition_table(look: Look) -> None:
    """A mark is the magic number of the first entry, at the beginning of a sector."""
    if look.offset % SECTOR:
        return
    table = look.read(PARTITIONS * ENTRY)
    for at in range(0, len(table) - ENTRY + 1, ENTRY):
        magic, kind, _, offset, size, label, flags = struct.unpack_from("<HBBII16sI", table, at)
        name = label.partition(b"\0")[0].decode("ascii", "replace")
        is_kind = kind in TYPES or kind >= FIRST_CUSTOM_TYPE
        is_place = size > 0 and offset % SECTOR == 0
        if magic != MAGIC or not is_kind or not is_place or not name.isprintable():
            return
        look.scan.region(look.part, offset, size, f"partition {name}")
        if flags & ENCRYPTED and offset < look.part.size:
            what = f"the partition `{name}` is encrypted in flash"
            look.scan.problem(look.part, offset, what)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry of NVS with its value, which lies in the part at ``start``."""

    space: int
    kind: int
    key: str
    chunk: int
    value: bytes
    start: int
    size: int
    is_erased: bool


def _nvs(look: Look) -> None:
    """Looks for NVS pages at every sector of a part: they have no magic number."""
    until = 0
    for offset in range(0, look.part.size - SECTOR + 1, SECTOR):
        if offset >= until and _is_page(look.part.read(offset, ENTRY)):
            until = _store(Look(look.scan, look.part, offset))


def _is_page(head: bytes) -> bool:
    if head[1:4] != b"\xff\xff\xff" or len(head) < ENTRY:
        return False
    state, _, _ = struct.unpack_from("<IIB", head)
    (checksum,) = struct.unpack_from("<I", head, 28)
    return state in NVS_STATES and checksum == _checksum(head[4:28])


def _checksum(data: bytes) -> int:
    return zlib.crc32(data, 0xFFFFFFFF)


def _store(look: Look) -> int:
    """Reads the pages of one store; returns where it ends."""
    entries: list[_Entry] = []
    unreadable = 0
    end = look.offset
    for offset in range(look.offset, look.offset + MAXIMUM_NVS_PAGES * SECTOR, SECTOR):
        page = look.part.read(offset, SECTOR)
        if len(page) < SECTOR or not (_is_page(page[:ENTRY]) or page[:ENTRY] == b"\xff" * ENTRY):
            break
        for entry in _entries(page, offset):
            if entry is None:
                unreadable += 1
            else:
                entries.append(entry)
        end = offset + SECTOR
    if unreadable and not entries:
        look.scan.problem(look.part, look.offset, "this NVS partition is encrypted or damaged")
    _report(look, entries)
    return end


def _entries(page: bytes, offset: int) -> Iterator[_Entry | None]:
    """The entries of a page, erased ones too; ``None`` for a written one that is no entry."""
    index = 0
    while index < NVS_ENTRIES:
        state = page[ENTRY + index // 4] >> (index % 4 * 2) & 3
        at = NVS_FIRST + index * ENTRY
        index += 1
        if state == EMPTY:
            continue
        head = page[at : at + ENTRY]
        space, kind, span, chunk, checksum = struct.unpack_from("<BBBBI", head)
        if checksum != _checksum(head[:4] + head[8:]) or not 1 <= span <= NVS_ENTRIES:
            if state == WRITTEN:
                yield None
            continue
        index += span - 1
        size = min(struct.unpack_from("<H", head, 24)[0], (span - 1) * ENTRY)
        key = head[8:24].partition(b"\0")[0].decode("ascii", "replace")
        start = at + ENTRY
        value = page[start : start + size] if kind in {STRING, OLD_BLOB, BLOB} else head[24:]
        yield _Entry(space, kind, key, chunk, value, offset + start, size, state != WRITTEN)


def _report(look: Look, entries: list[_Entry]) -> None:
    spaces = {
        entry.value[0]: entry.key
        for entry in entries
        if entry.space == 0 and entry.kind == NUMBER and not entry.is_erased
    }
    blobs: dict[tuple[str, int, bool], list[_Entry]] = defaultdict(list)
    for entry in entries:
        if entry.space == 0 or entry.kind not in {STRING, OLD_BLOB, BLOB}:
            continue
        name = f"{spaces.get(entry.space, entry.space)}/{entry.key}"
        look.scan.region(look.part, entry.start, entry.size, f"NVS {name}")
        if entry.kind == BLOB:
            blobs[name, entry.chunk & VERSION_BIT, entry.is_erased].append(entry)
        _credential(look, name, entry)
    for (name, _, _), chunks in blobs.items():
        if len(chunks) > 1:
            chunks.sort(key=lambda chunk: chunk.chunk)
            values = [chunk.value for chunk in chunks]
            look.scan.unpack(look.part, chunks[0].start, f"NVS {name}", values)


def _credential(look: Look, name: str, entry: _Entry) -> None:
    value = entry.value.rstrip(b"\0")
    # Keys in PEM and DER are told by what they are.
    if value.startswith(b"-----") or der_length(entry.value) == len(entry.value):
        return
    if not value or not _SECRET_NAME.search(entry.key):
        return
    facts = {"setting": name}
    if entry.is_erased:
        facts["state"] = "erased, and still in flash"
    here = Look(look.scan, look.part, entry.start)
    report_credential(here, f"value of `{name}`", value, "NVS", facts, Kind.CREDENTIAL)


READERS: Final[dict[bytes, Reader]] = {MAGIC.to_bytes(2, "little"): _partition_table}
WHOLE: Final = (_nvs,)
