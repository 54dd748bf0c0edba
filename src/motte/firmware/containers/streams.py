"""Compressed streams at any offset: gzip, zlib, xz, bzip2; zstandard is named, not read.

Sources: RFC 1950 to 1952 (zlib, deflate, gzip), the .xz file format 1.2, RFC 8878 (zstandard).
"""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from motte.firmware.scan import Look, Reader
from motte.firmware.source import Part

__all__ = ["READERS", "ZSTANDARD", "inflate", "unpack_stream"]

PIECE_BYTES: Final = 1024
"""Bytes given to a decompressor at once. Where they are damaged, what they held is lost."""
OUTPUT_BYTES: Final = 1024 * 1024
"""Bytes taken from a decompressor at once, whatever it could make of its input."""
PROBE_BYTES: Final = 4096
"""Bytes that what begins like a stream has to give, or its right end, to be taken for one: a few
bytes can be read out of chance."""
MAXIMUM_DICTIONARY_BYTES: Final = 128 * 1024 * 1024
"""Memory that an xz stream may ask for. `xz -9` takes 65 MB."""
MAXIMUM_PROVED_BYTES: Final = 1024 * 1024
"""Bytes of a zlib stream that has to prove its end first: one that begins with a block without a
code of its own, which compressors make of a few hundred bytes."""
STREAM: Final = "stream"
ZSTANDARD: Final = "zstandard"
"""What has said of its streams of this kind that they are not read."""
GZIP_RESERVED: Final = 0xE0
GZIP_SYSTEMS: Final = frozenset({*range(14), 255})
BZIP2_BLOCK: Final = b"1AY&SY"
RAW_DEFLATE: Final = -15
GZIP: Final = 31
ZLIB: Final = 15


class Decompressor(Protocol):
    """What the decompressors of bz2 and lzma have in common."""

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""

    @property
    def needs_input(self) -> bool:
        """Whether all input is used up."""

    @property
    def unused_data(self) -> bytes:
        """What follows the end."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Some output."""


class _Stream:
    """One stream of a part, and how much of it is read."""

    def __init__(self, part: Part, start: int) -> None:
        self.part = part
        self.end = start
        self.is_whole = False

    def input(self) -> bytes:
        """The next bytes of the stream."""
        data = self.part.read(self.end, PIECE_BYTES)
        if not data:
            message = "it ends too early"
            raise EOFError(message)
        self.end += len(data)
        return data


def inflate(stream: _Stream, window: int) -> Iterator[bytes]:
    """What a deflate stream holds; ``window`` is zlib's wbits, which tells the wrapper."""
    inflating = zlib.decompressobj(window)
    while not inflating.eof:
        data = inflating.unconsumed_tail or stream.input()
        yield inflating.decompress(data, OUTPUT_BYTES)
    stream.end -= len(inflating.unused_data)
    stream.is_whole = True


def _decompress(stream: _Stream, made: Decompressor) -> Iterator[bytes]:
    while not made.eof:
        yield made.decompress(stream.input() if made.needs_input else b"", OUTPUT_BYTES)
    stream.end -= len(made.unused_data)
    stream.is_whole = True


def unpack_stream(
    look: Look,
    name: str,
    start: int,
    open_stream: Callable[[_Stream], Iterator[bytes]],
    *,
    is_certain: bool = False,
) -> None:
    """Unpacks the stream at ``start``, if there is one: its beginning is tried first.

    ``is_certain`` says that the mark is no chance, so that a stream without a byte is a cut one.
    """
    probe = _Stream(look.part, start)
    given, why = 0, None
    try:
        for piece in open_stream(probe):
            given += len(piece)
            if given >= PROBE_BYTES:
                break
    except (zlib.error, lzma.LZMAError, OSError, ValueError):
        return
    except EOFError as error:
        why = error
    if (given or is_certain) and (probe.is_whole or given >= PROBE_BYTES or why is not None):
        stream = _Stream(look.part, start)
        look.scan.unpack(look.part, look.offset, name, open_stream(stream))
        if stream.is_whole:
            look.set_read(STREAM, stream.end)


def _gzip(look: Look) -> None:
    head = look.read(10)
    if look.is_read(STREAM) or len(head) < 10:  # noqa: PLR2004 (RFC 1952, section 2.3)
        return
    if head[3] & GZIP_RESERVED == 0 and head[9] in GZIP_SYSTEMS:
        unpack_stream(look, "gzip", look.offset, lambda stream: inflate(stream, GZIP))


def _zlib(look: Look) -> None:
    """A block with a code of its own (type 2) is hardly chance; others have to prove their end."""
    kind = look.read(1, before=-2)
    if look.is_read(STREAM) or not kind:
        return
    if kind[0] >> 1 & 3 == 2 or _is_whole_zlib(look):  # noqa: PLR2004 (RFC 1951, section 3.2.3)
        unpack_stream(look, "zlib", look.offset, lambda stream: inflate(stream, ZLIB))


def _is_whole_zlib(look: Look) -> bool:
    stream = _Stream(look.part, look.offset)
    try:
        given = 0
        for piece in inflate(stream, ZLIB):
            given += len(piece)
            if given > MAXIMUM_PROVED_BYTES or not look.scan.may_try(look.part, len(piece)):
                break
    except (zlib.error, EOFError):
        return False
    return stream.is_whole


def _xz(look: Look) -> None:
    def open_stream(stream: _Stream) -> Iterator[bytes]:
        made = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAXIMUM_DICTIONARY_BYTES)
        return _decompress(stream, made)

    if not look.is_read(STREAM):
        unpack_stream(look, "xz", look.offset, open_stream, is_certain=True)


def _bzip2(look: Look) -> None:
    head = look.read(10)
    if head[3:4].isdigit() and head.endswith(BZIP2_BLOCK) and not look.is_read(STREAM):
        unpack_stream(
            look,
            "bzip2",
            look.offset,
            lambda stream: _decompress(stream, bz2.BZ2Decompressor()),
            is_certain=True,
        )


def _zstandard(look: Look) -> None:
    """Says that there is a frame, if the head of its first block is one (RFC 8878, 3.1.1)."""
    head = look.read(24)
    if look.is_read(ZSTANDARD) or len(head) < 24 or head[4] & 0x18:  # noqa: PLR2004 (reserved)
        return
    single, dictionary, size = head[4] >> 5 & 1, head[4] & 3, head[4] >> 6
    at = 5 + (0 if single else 1) + (0, 1, 2, 4)[dictionary] + (single, 2, 4, 8)[size]
    block = int.from_bytes(head[at : at + 3], "little")
    if block >> 1 & 3 == 2 and 8 < block >> 3 <= 128 * 1024:  # noqa: PLR2004 (compressed)
        what = "it is compressed with zstandard, which is not read: unpack it with `zstd -d`"
        look.scan.problem(look.part, look.offset, what)


READERS: Final[dict[bytes, Reader]] = {
    b"\x1f\x8b\x08": _gzip,
    **dict.fromkeys([b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"], _zlib),
    b"\xfd7zXZ\x00": _xz,
    b"BZh": _bzip2,
    b"\x28\xb5\x2f\xfd": _zstandard,
}
