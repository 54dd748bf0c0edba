"""Archives: tar and cpio, whose files lie there whole and get their names, and zip.

Each member says of itself where it is, so archives that are cut, joined or without their directory
are read as far as they go. Sources: POSIX.1-2017 (ustar), the newc format of cpio(5), PKWARE's
APPNOTE 6.3.
"""

import struct
from typing import Final

from motte.firmware.containers.streams import RAW_DEFLATE, inflate, unpack_stream
from motte.firmware.scan import Look, Reader

__all__ = ["READERS"]

NAME_BYTES: Final = 1024
"""Bytes of the name of a member; the longest path of Linux has four times as many."""
TAR_BLOCK: Final = 512
TAR_MAGIC: Final = 257
CPIO_HEAD: Final = 110
ZIP_HEAD: Final = 30
ZIP_ENCRYPTED: Final = 1
ZIP_VERSION: Final = 63
ZIP_STORED, ZIP_DEFLATED = 0, 8
ZIP_METHODS: Final = {9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstandard", 95: "xz"}
"""Methods that are not read here; bzip2 and xz have a mark of their own inside."""


def _tar(look: Look) -> None:
    start = look.offset - TAR_MAGIC
    head = look.part.read(start, TAR_BLOCK) if start >= 0 else b""
    if len(head) < TAR_BLOCK:
        return
    total = _octal(head[148:156])
    if total is None or total != sum(head[:148]) + sum(head[156:]) + 8 * ord(" "):
        return
    size = int.from_bytes(head[125:136], "big") if head[124] & 0x80 else _octal(head[124:136])
    if size:
        prefix = _text(head[345:500]) if head[257:263] == b"ustar\0" else ""
        name = f"{prefix}/{_text(head[:100])}" if prefix else _text(head[:100])
        _member(look, "tar", start + TAR_BLOCK, size, name)


def _cpio(look: Look) -> None:
    head = look.read(CPIO_HEAD)
    try:
        fields = [int(head[at : at + 8], 16) for at in range(6, CPIO_HEAD, 8)]
    except ValueError:
        return
    size, name_bytes = fields[6], fields[11]
    if not 1 < name_bytes <= NAME_BYTES:
        return
    name = look.read(name_bytes, before=-CPIO_HEAD)
    if size and name.endswith(b"\0"):
        start = look.offset + CPIO_HEAD + name_bytes
        _member(look, "cpio", start + -(start - look.offset) % 4, size, _text(name))


def _member(look: Look, form: str, start: int, size: int, name: str) -> None:
    look.scan.region(look.part, start, size, f"{form} {name}")
    if start + size > look.part.size:
        look.scan.problem(look.part, look.offset, f"`{name}` in {form} ends too early")


def _zip(look: Look) -> None:
    head = look.read(ZIP_HEAD)
    if len(head) < ZIP_HEAD:
        return
    version, flags, method, _, _, _, packed, _, name_bytes, extra = struct.unpack_from(
        "<HHHHHIIIHH", head, 4
    )
    name = look.read(name_bytes, before=-ZIP_HEAD)
    if version & 0xFF > ZIP_VERSION or not 0 < name_bytes <= NAME_BYTES:
        return
    text = name.decode("utf-8", "replace")
    if len(name) < name_bytes or not text.isprintable():
        return
    start = look.offset + ZIP_HEAD + name_bytes + extra
    if flags & ZIP_ENCRYPTED:
        look.scan.problem(look.part, look.offset, f"`{text}` in zip is encrypted")
    elif method == ZIP_DEFLATED:
        unpack_stream(look, f"zip {text}", start, lambda stream: inflate(stream, RAW_DEFLATE))
    elif method == ZIP_STORED and packed:
        _member(look, "zip", start, packed, text)
    elif method in ZIP_METHODS:
        what = f"`{text}` in zip is compressed with {ZIP_METHODS[method]}, which is not read"
        look.scan.problem(look.part, look.offset, what)


def _octal(field: bytes) -> int | None:
    try:
        return int(field.strip(b"\0 ") or b"0", 8)
    except ValueError:
        return None


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


READERS: Final[dict[bytes, Reader]] = {
    b"ustar": _tar,
    b"070701": _cpio,
    b"070702": _cpio,
    b"PK\x03\x04": _zip,
}
