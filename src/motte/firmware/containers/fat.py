"""FAT12, FAT16 and FAT32, for the names of files and for those that lie in pieces.

Source: Microsoft, FAT: General Overview of On-Disk Format, 1.03. Not read: what ESP-IDF's wear
levelling has moved; files that lie whole are found there as well.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from motte.firmware.scan import Look, Reader
from motte.firmware.source import Part

__all__ = ["READERS"]

MAXIMUM_TABLE_BYTES: Final = 16 * 1024 * 1024
"""Bytes of a file allocation table: of FAT32 with 4 million clusters, 16 GB of 4 KiB."""
MAXIMUM_FOLDER_BYTES: Final = 2 * 1024 * 1024
"""Bytes of a folder: 65,536 entries, as many as FAT has."""
MAXIMUM_FOLDERS: Final = 10_000
"""Folders of a file system."""
FAT: Final = "FAT"
BOOT: Final = 512
SIGNATURE: Final = b"\x55\xaa"
SMALL_LABEL, LARGE_LABEL = 54, 82
FAT12_CLUSTERS, FAT16_CLUSTERS = 4085, 65525
ENTRY: Final = 32
LONG_NAME, FOLDER, LABEL = 0x0F, 0x10, 0x08
LOWER_NAME, LOWER_EXTENSION = 0x08, 0x10
DELETED: Final = 0xE5


@dataclass(frozen=True, slots=True)
class _Volume:
    """A file system in a part, and its table."""

    part: Part
    base: int
    cluster: int
    first: int
    count: int
    table: bytes
    bits: int

    def next(self, cluster: int) -> int:
        """The cluster that follows; 0 at the end of a chain or outside of the table."""
        if self.bits == 12:  # noqa: PLR2004 (FAT12: one and a half bytes each)
            at = cluster + cluster // 2
            word = int.from_bytes(self.table[at : at + 2], "little")
            found = word >> 4 if cluster & 1 else word & 0xFFF
        else:
            size = self.bits // 8
            found = int.from_bytes(self.table[cluster * size : (cluster + 1) * size], "little")
            found &= 0x0FFFFFFF
        return found if 2 <= found < self.count + 2 else 0  # noqa: PLR2004 (the first is 2)

    def chain(self, cluster: int, size: int) -> list[int]:
        """The clusters of ``size`` bytes; a chain that goes round is cut there."""
        found: list[int] = []
        while cluster and len(found) * self.cluster < size:
            found.append(cluster)
            cluster = self.next(cluster)
        return found

    def at(self, cluster: int) -> int:
        """Offset of a cluster in the part."""
        return self.first + (cluster - 2) * self.cluster

    def read(self, clusters: list[int], size: int) -> Iterator[bytes]:
        """The bytes of a chain."""
        for cluster in clusters:
            yield self.part.read(self.at(cluster), min(self.cluster, size))
            size -= self.cluster


def _small(look: Look) -> None:
    _fat(Look(look.scan, look.part, look.offset - SMALL_LABEL))


def _large(look: Look) -> None:
    _fat(Look(look.scan, look.part, look.offset - LARGE_LABEL))


def _fat(look: Look) -> None:
    boot = look.read(BOOT) if look.offset >= 0 else b""
    if len(boot) < BOOT or not boot.endswith(SIGNATURE) or look.is_read(FAT):
        return
    sector, per_cluster, reserved, tables, roots, small, _, table_small = struct.unpack_from(
        "<HBHBHHBH", boot, 11
    )
    large, table_large = struct.unpack_from("<II", boot, 32)
    (root_cluster,) = struct.unpack_from("<I", boot, 44)
    total, table_sectors = small or large, table_small or table_large
    if sector not in {512, 1024, 2048, 4096} or per_cluster.bit_count() != 1:
        return
    if tables not in {1, 2} or not reserved or not total or not table_sectors:
        return
    root_start = reserved + tables * table_sectors
    data_start = root_start + (roots * ENTRY + sector - 1) // sector
    count = max(total - data_start, 0) // per_cluster
    bits = 12 if count < FAT12_CLUSTERS else 16 if count < FAT16_CLUSTERS else 32
    size = min(table_sectors * sector, MAXIMUM_TABLE_BYTES)
    base = look.offset
    table = look.part.read(base + reserved * sector, size)
    first = base + data_start * sector
    volume = _Volume(look.part, base, per_cluster * sector, first, count, table, bits)
    look.set_read(FAT, base + total * sector)
    look.scan.region(look.part, base, total * sector, f"FAT{bits}")
    if bits == 32:  # noqa: PLR2004
        root = b"".join(
            volume.read(volume.chain(root_cluster, MAXIMUM_FOLDER_BYTES), MAXIMUM_FOLDER_BYTES)
        )
    else:
        root = look.part.read(base + root_start * sector, roots * ENTRY)
    for name, cluster, length in _walk(volume, root):
        _report(look, volume, name, volume.chain(cluster, length), length)
    if base + total * sector > look.part.size:
        look.scan.problem(look.part, base, f"this FAT{bits} ends too early")


def _report(look: Look, volume: _Volume, name: str, clusters: list[int], size: int) -> None:
    if not clusters:
        return
    start = volume.at(clusters[0])
    if clusters == list(range(clusters[0], clusters[0] + len(clusters))):
        look.scan.region(look.part, start, size, name)
    else:
        look.scan.unpack(look.part, start, name, volume.read(clusters, size))
    if len(clusters) * volume.cluster < size:
        look.scan.problem(look.part, start, f"the chain of `{name}` ends too early")


def _walk(volume: _Volume, root: bytes) -> Iterator[tuple[str, int, int]]:
    """Path, first cluster and size of every file."""
    folders = [("", root)]
    seen: set[int] = set()
    while folders:
        path, data = folders.pop()
        for name, attributes, cluster, size in _entries(data):
            if not attributes & FOLDER:
                yield path + name, cluster, size
            elif cluster >= 2 and cluster not in seen and len(seen) < MAXIMUM_FOLDERS:  # noqa: PLR2004
                seen.add(cluster)
                clusters = volume.chain(cluster, MAXIMUM_FOLDER_BYTES)
                data_below = b"".join(volume.read(clusters, MAXIMUM_FOLDER_BYTES))
                folders.append((f"{path}{name}/", data_below))


def _entries(folder: bytes) -> Iterator[tuple[str, int, int, int]]:
    """Name, attributes, first cluster and size of each entry but `.` and `..`."""
    long = ""
    for at in range(0, len(folder) - ENTRY + 1, ENTRY):
        entry = folder[at : at + ENTRY]
        attributes = entry[11]
        if entry[0] == 0:
            return
        if attributes == LONG_NAME:
            piece = entry[1:11] + entry[14:26] + entry[28:32]
            text = piece.decode("utf-16-le", "replace").partition("\0")[0]
            long = text + ("" if entry[0] & 0x40 else long)
            continue
        short, extension = entry[:8].rstrip(), entry[8:11].rstrip()
        # Windows NT notes here that a short name was written in lower case.
        short = short.lower() if entry[12] & LOWER_NAME else short
        extension = extension.lower() if entry[12] & LOWER_EXTENSION else extension
        name = (short + (b"." + extension if extension else b"")).decode("cp437")
        if entry[0] not in {DELETED, ord(".")} and not attributes & LABEL:
            high, low, size = struct.unpack("<HxxxxHI", entry[20:])
            yield long or name, attributes, high << 16 | low, size
        long = ""


READERS: Final[dict[bytes, Reader]] = {
    b"FAT12   ": _small,
    b"FAT16   ": _small,
    b"FAT32   ": _large,
}
