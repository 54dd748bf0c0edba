"""Bare private keys of P-256: 32 bytes without any structure, near the public point they make.

Chips and mbedTLS keep keys this way. 32 bytes of chance are a key only where their public half is
known: as a point that stands nearby, or as the public key of a certificate.
"""

import bisect
from collections.abc import Iterator, Sequence
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from motte.firmware.limits import MAXIMUM_CURVE_POINTS, MAXIMUM_SCALAR_TRIALS
from motte.firmware.material import key_material, read_scalar
from motte.firmware.scan import Scan
from motte.firmware.source import Part

__all__ = ["ScalarSearch"]

POINT_BYTES: Final = 65
SCALAR_BYTES: Final = 32
NEIGHBOURHOOD: Final = 128
"""Bytes before and after a point, or the certificate that it stands in, in which its key is looked
for: alignment and the head of an entry of some key store fit between the two."""
DISTINCT_BYTES: Final = 20
"""Different values among the 32 bytes of a key. Of 32 random bytes 30 differ; fewer than this do
less often than once in a thousand million."""
_PRIME: Final = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B: Final = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
"""The curve P-256, y² = x³ - 3x + b modulo a prime (SP 800-186, section 3.2.1.3)."""


class ScalarSearch:
    """Looks for bare keys in the parts of one image."""

    def __init__(self) -> None:
        self._points = 0
        self._trials = 0
        self._known: set[bytes] = set()

    def look(self, scan: Scan, part: Part, offsets: Sequence[int]) -> None:
        """Looks around each of the possible points at ``offsets``."""
        for offset in offsets:
            point = part.read(offset, POINT_BYTES)
            if len(point) < POINT_BYTES or not is_on_curve(point):
                continue
            self._points += 1
            if self._points > MAXIMUM_CURVE_POINTS:
                if self._points == MAXIMUM_CURVE_POINTS + 1:
                    scan.problem(part, offset, "more points of P-256 than are looked around")
                return
            self._search(scan, part, offset, point)

    def _search(self, scan: Scan, part: Part, offset: int, point: bytes) -> None:
        for start in _candidates(part, offset):
            scalar = part.read(start, SCALAR_BYTES)
            if len(set(scalar)) < DISTINCT_BYTES:
                continue
            self._trials += 1
            if self._trials > MAXIMUM_SCALAR_TRIALS:
                if self._trials == MAXIMUM_SCALAR_TRIALS + 1:
                    scan.problem(part, offset, "more possible keys of P-256 than are tried")
                return
            key = read_scalar(scalar, ec.SECP256R1())
            if key is not None and _point_of(key) == point:
                material = key_material(key, "bare number", SCALAR_BYTES)
                if material is not None:
                    scan.found_material(part, start, material, material.form)
                return


def is_on_curve(point: bytes) -> bool:
    """Whether an uncompressed point (SEC 1, section 2.3.3) lies on P-256."""
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:65], "big")
    if point[0] != 4 or x >= _PRIME or y >= _PRIME:  # noqa: PLR2004 (uncompressed)
        return False
    return (y * y - x * x * x + 3 * x - _B) % _PRIME == 0


def _candidates(part: Part, offset: int) -> Iterator[int]:
    """Offsets that could hold the key of the point at ``offset``, the nearest first.

    Where the point stands in a certificate, the key stands beside that. What is inside of another
    certificate or key is none: those are read by themselves.
    """
    known = part.structures
    following = bisect.bisect(known, (offset, part.size))
    preceding = following - 1
    start, end = offset, offset + POINT_BYTES
    if preceding >= 0 and known[preceding][1] >= end:
        start, end = known[preceding]
        preceding -= 1
    before = known[preceding][1] if preceding >= 0 else 0
    after = known[following][0] if following < len(known) else part.size
    for distance in range(NEIGHBOURHOOD):
        if start - SCALAR_BYTES - distance >= before:
            yield start - SCALAR_BYTES - distance
        if end + distance + SCALAR_BYTES <= after:
            yield end + distance


def _point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
