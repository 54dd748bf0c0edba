"""Formats that carry an image to a chip in small pieces: UF2 and Intel HEX.

Sources: microsoft/uf2, the UF2 specification; Intel, Hexadecimal Object File Format Specification.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from motte.firmware.scan import Look, Reader
from motte.firmware.source import Part

__all__ = ["READERS"]

MAXIMUM_UF2_BLOCKS: Final = 1_000_000
"""Blocks of a UF2 file: 256 MB of flash, eight times the largest of a microcontroller."""
MAXIMUM_RUNS: Final = 10_000
"""Stretches of memory that a file in pieces fills; a linker makes a few."""
UF2_BLOCK: Final = 512
UF2_HEAD: Final = 32
UF2_PAYLOAD: Final = 476
UF2_SECOND: Final = 0x9E5D5157
UF2_END: Final = 0x0AB16F30
UF2: Final = "uf2"
HEX: Final = "Intel HEX"
LINE_BYTES: Final = 521
"""Bytes of the longest line of Intel HEX: 255 bytes of data, as digits, with what is around."""
WINDOW_BYTES: Final = 64 * 1024
DATA, END, SEGMENT, START_SEGMENT, LINEAR, START_LINEAR = range(6)


@dataclass(slots=True)
class _Run:
    """A stretch of memory that is filled without a gap, and where in the file it comes from."""

    address: int
    length: int
    start: int
    end: int


def _uf2(look: Look) -> None:
    if look.is_read(UF2):
        return
    runs: list[_Run] = []
    offset = look.offset
    for _ in range(MAXIMUM_UF2_BLOCKS):
        block = _uf2_block(look.part, offset)
        if block is None:
            break
        address, size = block
        if not _extend(runs, address, size, offset, UF2_BLOCK):
            look.scan.problem(look.part, offset, "this UF2 file has more pieces than are read")
            break
        offset += UF2_BLOCK
    look.set_read(UF2, max(offset, look.offset + 1))
    for run in runs:
        name = f"UF2 for {run.address:#x}"
        look.scan.unpack(look.part, run.start, name, _uf2_payloads(look.part, run))
    if runs and 0 < look.part.size - offset < UF2_BLOCK:
        look.scan.problem(look.part, offset, "the last block of this UF2 file is cut")


def _uf2_block(part: Part, offset: int) -> tuple[int, int] | None:
    """Address and size of the payload of a block."""
    block = part.read(offset, UF2_BLOCK)
    if len(block) < UF2_BLOCK or not block.startswith(b"UF2\n"):
        return None
    second, _, address, size = struct.unpack_from("<4I", block, 4)
    (end,) = struct.unpack_from("<I", block, UF2_BLOCK - 4)
    if second != UF2_SECOND or end != UF2_END or size > UF2_PAYLOAD:
        return None
    return address, size


def _uf2_payloads(part: Part, run: _Run) -> Iterator[bytes]:
    for offset in range(run.start, run.end, UF2_BLOCK):
        block = part.read(offset, UF2_BLOCK)
        (size,) = struct.unpack_from("<I", block, 16)
        yield block[UF2_HEAD : UF2_HEAD + size]


def _extend(runs: list[_Run], address: int, size: int, start: int, length: int) -> bool:
    """Adds a piece to the last run, or begins a run; false where there are too many."""
    if runs and runs[-1].address + runs[-1].length == address and runs[-1].end == start:
        runs[-1].length += size
        runs[-1].end = start + length
        return True
    runs.append(_Run(address, size, start, start + length))
    return len(runs) <= MAXIMUM_RUNS


def _intel_hex(look: Look) -> None:
    if look.is_read(HEX) or look.read(1, before=1).isalnum():
        return
    runs: list[_Run] = []
    end = look.offset
    try:
        for end in _collect(look.part, look.offset, runs):  # noqa: B007 (needed where it stops)
            pass
    except ValueError as error:
        if runs:
            look.scan.problem(look.part, end, f"this HEX file is damaged: {error}")
    look.set_read(HEX, max(end, look.offset + 1))
    for run in runs:
        name = f"{HEX} for {run.address:#x}"
        look.scan.unpack(look.part, run.start, name, _hex_data(look.part, run))


def _collect(part: Part, offset: int, runs: list[_Run]) -> Iterator[int]:
    """Fills ``runs`` and yields the end of each line that was read."""
    base = 0
    for start, end, kind, address, data in _records(part, offset):
        if kind == DATA and not _extend(runs, base + address, len(data), start, end - start):
            message = "it has more pieces than are read"
            raise ValueError(message)
        if kind in {SEGMENT, LINEAR}:
            base = int.from_bytes(data, "big") << (4 if kind == SEGMENT else 16)
            if runs and runs[-1].end == start:
                runs[-1].end = end
        yield end
        if kind == END:
            return


def _hex_data(part: Part, run: _Run) -> Iterator[bytes]:
    for start, _, kind, _, data in _records(part, run.start):
        if start >= run.end:
            return
        if kind == DATA:
            yield data


def _records(part: Part, offset: int) -> Iterator[tuple[int, int, int, int, bytes]]:
    """Start, end, kind, address and data of each line; ``ValueError`` at one that is none."""
    window, base = b"", offset
    while True:
        if len(window) - (offset - base) < LINE_BYTES + 2:
            window, base = part.read(offset, WINDOW_BYTES), offset
        at = offset - base
        if window[at : at + 1] != b":":
            if window[at : at + 1]:
                return
            message = "it has no end"
            raise ValueError(message)
        try:
            size = int(window[at + 1 : at + 3], 16)
            record = bytes.fromhex(window[at + 1 : at + 11 + 2 * size].decode("ascii"))
        except ValueError:
            record = b""
            size = 0
        if len(record) != size + 5 or sum(record) & 0xFF:
            message = "a line is cut or has a wrong checksum"
            raise ValueError(message)
        end = offset + 11 + 2 * size
        while window[end - base : end - base + 1] in {b"\r", b"\n"}:
            end += 1
        yield offset, end, record[3], int.from_bytes(record[1:3], "big"), record[4:-1]
        offset = end


READERS: Final[dict[bytes, Reader]] = {
    b"UF2\n": _uf2,
    **dict.fromkeys([b":0200000", b":10", b":20"], _intel_hex),
}
"""HEX files begin with an address record or with 16 or 32 bytes of data."""
