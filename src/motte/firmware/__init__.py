"""Finds what a thief would find in a firmware image: keys, certificates, passwords, endpoints."""

from pathlib import Path
from typing import TYPE_CHECKING

from motte.errors import MotteError
from motte.files import file_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from motte.firmware.model import ImageReport

__all__ = ["ImageError", "scan_file"]


class ImageError(MotteError):
    """There is nothing at the path of an image that could be scanned."""


def scan_file(path: Path, progress: "Callable[[int], None]" = lambda _: None) -> "ImageReport":
    """Scans one image; ``progress`` hears how many bytes were searched since it was last told."""
    from motte.firmware.readers import readers
    from motte.firmware.scalars import ScalarSearch
    from motte.firmware.scan import Scan
    from motte.firmware.source import FileSource

    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist or is no regular file"
        raise ImageError(
            f"{path} {what}", hint="give the files to scan, for example build/*.bin or dump.bin"
        )
    with file_errors("read", path), path.open("rb") as file:
        scan = Scan(readers(), points=ScalarSearch().look, progress=progress)
        return scan.run(str(path), FileSource(file))
