"""What a scan spends at most, whatever stands in an image."""

from typing import Final

__all__ = [
    "MAXIMUM_CANDIDATES",
    "MAXIMUM_CERTIFICATE_BYTES",
    "MAXIMUM_CHUNK_BYTES",
    "MAXIMUM_CURVE_POINTS",
    "MAXIMUM_DEPTH",
    "MAXIMUM_FINDINGS",
    "MAXIMUM_KEY_BYTES",
    "MAXIMUM_PARTS",
    "MAXIMUM_PART_BYTES",
    "MAXIMUM_PART_BYTES_IN_MEMORY",
    "MAXIMUM_PLACES_PER_FINDING",
    "MAXIMUM_PROBLEMS",
    "MAXIMUM_SCALAR_TRIALS",
    "MAXIMUM_TEXT_BYTES",
    "MAXIMUM_TRIED_BYTES",
    "MAXIMUM_UNPACKED_BYTES",
]

MAXIMUM_CHUNK_BYTES: Final = 1024 * 1024
"""Bytes of an image searched at once. An image made of nothing but marks takes 60 times as much
memory for a moment; a larger chunk is no faster."""
MAXIMUM_CANDIDATES: Final = 1_000_000
"""Places of one needle in one image that are looked at. Half a gigabyte of system binaries has a
tenth of it; an image made of one needle takes seconds instead of hours."""
MAXIMUM_CERTIFICATE_BYTES: Final = 64 * 1024
"""Bytes of a certificate. Device certificates have less than 2 KiB, the largest public ones 20."""
MAXIMUM_KEY_BYTES: Final = 16 * 1024
"""Bytes of a private key. RSA with 16,384 bits, more than anybody uses, takes 9,300."""
MAXIMUM_TEXT_BYTES: Final = 1024 * 1024
"""Characters of a PEM block, C array, or a run of hex or base64 digits. The largest certificate
takes 400 KiB as a C array."""
MAXIMUM_CURVE_POINTS: Final = 50_000
"""Points of P-256 in one image whose surroundings are searched for a bare private key."""
MAXIMUM_SCALAR_TRIALS: Final = 200_000
"""Bare 32-byte values in one image that are tried as private keys, at some 30 µs each."""
MAXIMUM_DEPTH: Final = 8
"""How deep containers may stand in each other. A key in a zip in a tar.gz in a file system in a
flash dump in a UF2 is six deep."""
MAXIMUM_PARTS: Final = 20_000
"""Parts unpacked from one image. A file system of a whole Linux device has some thousand files."""
MAXIMUM_PART_BYTES: Final = 512 * 1024 * 1024
"""Bytes of one unpacked part: a whole file system of a large device; what goes past it is not
read, and the report says so."""
MAXIMUM_UNPACKED_BYTES: Final = 2 * 1024 * 1024 * 1024
"""Bytes of all unpacked parts of one image together. At 200 MB/s they take ten seconds."""
MAXIMUM_TRIED_BYTES: Final = 1024 * 1024 * 1024
"""Bytes that are unpacked from one image only to see whether they are what they look like."""
MAXIMUM_PART_BYTES_IN_MEMORY: Final = 8 * 1024 * 1024
"""Bytes of an unpacked part that are held in memory; a larger one goes into a nameless file."""
MAXIMUM_FINDINGS: Final = 10_000
"""Findings reported for one image. A device has a few, a trust store some hundreds."""
MAXIMUM_PLACES_PER_FINDING: Final = 20
"""Places named for one finding; the rest are counted. A file system keeps old copies."""
MAXIMUM_PROBLEMS: Final = 200
"""Problems reported for one image; the rest are counted."""
