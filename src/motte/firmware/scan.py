"""The scan of one image: every byte is searched for marks, and each mark is given to its reader.

A reader looks at a few bytes and may report a finding, name a region, or unpack a part, which is
then scanned like the image. Bounded by `motte.firmware.limits`; whatever goes wrong with a part is
a problem of that part.
"""

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from motte import _core
from motte.firmware.limits import (
    MAXIMUM_CANDIDATES,
    MAXIMUM_CERTIFICATE_BYTES,
    MAXIMUM_CHUNK_BYTES,
    MAXIMUM_DEPTH,
    MAXIMUM_FINDINGS,
    MAXIMUM_PART_BYTES,
    MAXIMUM_PARTS,
    MAXIMUM_PLACES_PER_FINDING,
    MAXIMUM_PROBLEMS,
    MAXIMUM_TRIED_BYTES,
    MAXIMUM_UNPACKED_BYTES,
)
from motte.firmware.material import Material
from motte.firmware.model import Finding, ImageReport, Place, Problem
from motte.firmware.source import Part, Region, Source, spool
from motte.text import printable

__all__ = ["Look", "Reader", "Readers", "Scan"]

OVERLAP: Final = 128
"""Bytes searched again with the next chunk, so that no needle and no curve point is cut: more than
the longest of them."""


@dataclass(frozen=True, slots=True)
class Look:
    """A mark in a part, as its reader sees it."""

    scan: "Scan"
    part: Part
    offset: int

    def read(self, length: int, *, before: int = 0) -> bytes:
        """The bytes from ``before`` bytes before the mark on."""
        return self.part.read(self.offset - before, length)

    def is_read(self, kind: str) -> bool:
        """Whether a reader of this kind has dealt with the bytes at the mark."""
        return self.offset < self.part.read_until.get(kind, 0)

    def set_read(self, kind: str, end: int) -> None:
        """Says that a reader of this kind has dealt with everything before ``end``."""
        self.part.read_until[kind] = max(end, self.part.read_until.get(kind, 0))


NEEDLES_AT_ONCE: Final = 40
"""Needles of one search. Some more, and the vector instructions that skip what begins no needle
have too much to tell apart: two searches of 40 take a third of the time of one of 80."""

Reader = Callable[[Look], None]
"""Looks at a mark. Raises nothing but what a broken part makes it raise."""


class Readers:
    """The needles, each with its reader."""

    def __init__(self, readers: Mapping[bytes, Reader], whole: Sequence[Reader]) -> None:
        """``readers`` by their needle; ``whole`` look once at each part, at its beginning."""
        self.needles: Final = tuple(readers)
        self.whole: Final = tuple(whole)
        self._readers: Final = tuple(readers.values())
        self._searches: Final = [
            (first, _core.Needles(group))
            for first in range(0, len(self.needles), NEEDLES_AT_ONCE)
            if (group := self.needles[first : first + NEEDLES_AT_ONCE])
        ]

    def marks(self, data: bytes) -> list[tuple[int, int]]:
        """Offset and number of every needle in ``data``, by offset."""
        found = [
            (offset, first + number)
            for first, search in self._searches
            for offset, number in search.find(data, len(data))
        ]
        found.sort()
        return found

    def read(self, number: int, look: Look) -> None:
        """Gives a mark to its reader."""
        self._readers[number](look)


class Scan:
    """The scan of one image, from its first byte to its report."""

    def __init__(
        self,
        readers: Readers,
        *,
        points: Callable[["Scan", Part, Sequence[int]], None] | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        """``points`` looks at possible curve points; ``progress`` hears of bytes searched."""
        self._readers = readers
        self._points = points
        self._progress = progress
        self._findings: dict[tuple[str, str], Finding] = {}
        self._candidates: Counter[int] = Counter()
        self._unpacked = 0
        self._tried = 0
        self._salt = secrets.token_bytes(32)
        self.report = ImageReport("", 0)

    def run(self, name: str, source: Source) -> ImageReport:
        """Scans an image and everything in it."""
        self.report = ImageReport(name, source.size)
        self._scan_part(Part(source, (name,)))
        self.report.findings = list(self._findings.values())
        return self.report

    def _scan_part(self, part: Part) -> None:
        self.report.parts += 1
        for reader in self._readers.whole:
            self._guarded(reader, Look(self, part, 0))
        for start in range(0, part.size, MAXIMUM_CHUNK_BYTES):
            data = part.read(start, MAXIMUM_CHUNK_BYTES + OVERLAP)
            horizon = start - MAXIMUM_CERTIFICATE_BYTES
            part.structures = [one for one in part.structures if one[1] >= horizon]
            for offset, number in self._readers.marks(data):
                if offset < MAXIMUM_CHUNK_BYTES:
                    self._mark(part, start + offset, number)
            if self._points is not None:
                found = _core.curve_points(data, len(data))
                here = [start + offset for offset in found if offset < MAXIMUM_CHUNK_BYTES]
                self._points(self, part, here)
            self.report.scanned += min(MAXIMUM_CHUNK_BYTES, len(data))
            self._progress(len(data))

    def _mark(self, part: Part, offset: int, number: int) -> None:
        self._candidates[number] += 1
        if self._candidates[number] > MAXIMUM_CANDIDATES:
            if self._candidates[number] == MAXIMUM_CANDIDATES + 1:
                needle = printable(self._readers.needles[number].decode("latin-1"))
                self.problem(part, offset, f"`{needle}` stands here too often to look at each")
            return
        self._guarded(lambda look: self._readers.read(number, look), Look(self, part, offset))

    def _guarded(self, reader: Reader, look: Look) -> None:
        try:
            reader(look)
        except MemoryError:
            self.problem(look.part, look.offset, "it needs more memory than there is")
        except Exception as error:  # noqa: BLE001 - hostile bytes may break any parser; the scan goes on
            what = printable(f"{type(error).__name__}: {error}")
            self.problem(look.part, look.offset, f"it could not be read ({what})")

    def found(self, part: Part, offset: int, finding: Finding) -> None:
        """Reports a finding, or one more place of it."""
        known = self._findings.get((finding.kind, finding.same))
        if known is None:
            if len(self._findings) < MAXIMUM_FINDINGS:
                self._findings[finding.kind, finding.same] = finding
            else:
                self.problem(part, offset, f"more than {MAXIMUM_FINDINGS} findings")
            return
        for place in finding.places:
            if place in known.places:
                continue
            if len(known.places) < MAXIMUM_PLACES_PER_FINDING:
                known.places.append(place)
            else:
                known.more_places += 1

    def found_material(self, part: Part, offset: int, material: Material, form: str) -> None:
        """Reports a certificate, key or key store; ``form`` is how it was written there."""
        finding = Finding(
            material.kind,
            material.title,
            same=material.fingerprint or "",
            places=[Place(part.path_at(offset), offset, form)],
            fingerprint=material.fingerprint,
            public_key=material.public_key,
            certificate=material.certificate,
        )
        self.found(part, offset, finding)

    def may_try(self, part: Part, size: int) -> bool:
        """Whether ``size`` bytes more may be spent on finding out what something is."""
        before, self._tried = self._tried, self._tried + size
        if before <= MAXIMUM_TRIED_BYTES < self._tried:
            self.problem(part, 0, "it looks too often like something that it is not")
        return self._tried <= MAXIMUM_TRIED_BYTES

    def hidden(self, secret: bytes) -> str:
        """A name for a secret that is good for this scan and says nothing about it."""
        return hashlib.blake2b(secret, key=self._salt, digest_size=16).hexdigest()

    def problem(self, part: Part, offset: int, what: str) -> None:
        """Reports that something could not be read."""
        problem = Problem(part.path_at(offset), offset, what)
        if len(self.report.problems) < MAXIMUM_PROBLEMS:
            self.report.problems.append(problem)
        else:
            self.report.more_problems += 1

    def region(self, part: Part, start: int, length: int, name: str) -> None:
        """Gives a stretch of a part a name, which the places in it will have."""
        if len(part.regions) < MAXIMUM_PARTS:
            part.regions.append(Region(start, start + length, printable(name)))

    def unpack(self, part: Part, offset: int, name: str, pieces: Iterable[bytes]) -> None:
        """Scans what was unpacked at ``offset`` as a part of its own, as far as the limits allow.

        At once, so that what is unpacked does not pile up: at most one part of each depth is held.
        An exception of ``pieces`` is a problem of the part; what came before it is scanned.
        """
        if part.depth >= MAXIMUM_DEPTH:
            self.problem(part, offset, f"containers stand more than {MAXIMUM_DEPTH} deep here")
            return
        if self.report.parts >= MAXIMUM_PARTS:
            self.problem(part, offset, f"more than {MAXIMUM_PARTS} parts: this was not unpacked")
            return
        source = spool(self._bounded(part, offset, pieces))
        try:
            path = (*part.path_at(offset), f"{printable(name)} at {offset:#x}")
            if source.size:
                self._scan_part(Part(source, path))
        finally:
            source.close()

    def _bounded(self, part: Part, offset: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
        size = 0
        unpacked = iter(pieces)
        while True:
            try:
                piece = next(unpacked, None)
            except Exception as error:  # noqa: BLE001 - as in _guarded
                what = printable(str(error) or type(error).__name__)
                self.problem(part, offset, f"it could not be unpacked to its end ({what})")
                return
            if piece is None:
                return
            size += len(piece)
            self._unpacked += len(piece)
            if size > MAXIMUM_PART_BYTES or self._unpacked > MAXIMUM_UNPACKED_BYTES:
                self.problem(part, offset, "it unpacks to more than is read of one image")
                return
            yield piece
