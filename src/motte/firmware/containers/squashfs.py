"""Squashfs, whose blocks of gzip or xz are streams that are read like any other.

So what is in them is found, without the names of the files. For the other compressors the report
says which tool takes the file system apart. Source: squashfs 4.0, the superblock.
"""

import struct
from typing import Final

from motte.firmware.containers.streams import ZSTANDARD
from motte.firmware.scan import Look, Reader

__all__ = ["READERS"]

SUPERBLOCK: Final = 96
VERSION: Final = 4
READ: Final = {1: "gzip", 4: "xz"}
NOT_READ: Final = {2: "lzma", 3: "lzo", 5: "lz4", 6: "zstandard"}


def _squashfs(look: Look) -> None:
    head = look.read(SUPERBLOCK)
    if len(head) < SUPERBLOCK:
        return
    block, _, compressor, block_log = struct.unpack_from("<IIHH", head, 12)
    (version,) = struct.unpack_from("<H", head, 28)
    (size,) = struct.unpack_from("<Q", head, 40)
    if version != VERSION or not 12 <= block_log <= 20 or block != 1 << block_log:  # noqa: PLR2004
        return
    name = {**READ, **NOT_READ}.get(compressor, "an unknown compressor")
    look.scan.region(look.part, look.offset, size, f"squashfs of {name}")
    if compressor not in READ:
        look.set_read(ZSTANDARD, look.offset + size)
        what = f"squashfs of {name} is not read: unpack it with unsquashfs and scan the files"
        look.scan.problem(look.part, look.offset, what)
    if look.offset + size > look.part.size:
        look.scan.problem(look.part, look.offset, "this squashfs ends too early")


READERS: Final[dict[bytes, Reader]] = {b"hsqs": _squashfs}
