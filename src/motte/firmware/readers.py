"""All readers together."""

from functools import cache

from motte.firmware import readers_der, readers_text
from motte.firmware.scan import Readers

__all__ = ["readers"]


@cache
def readers() -> Readers:
    """The readers of every mark that a scan looks for."""
    return Readers({**readers_der.READERS, **readers_text.READERS}, whole=())
