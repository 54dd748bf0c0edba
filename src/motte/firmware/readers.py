"""All readers together."""

from functools import cache

from motte.firmware import readers_der, readers_mqtt, readers_secrets, readers_text
from motte.firmware.containers import (
    archives,
    esp32,
    fat,
    littlefs,
    spiffs,
    squashfs,
    streams,
    transport,
)
from motte.firmware.scan import Readers

__all__ = ["readers"]


@cache
def readers() -> Readers:
    """The readers of every mark that a scan looks for."""
    tables = (
        readers_der.READERS,
        readers_text.READERS,
        readers_secrets.READERS,
        readers_mqtt.READERS,
        streams.READERS,
        archives.READERS,
        transport.READERS,
        esp32.READERS,
        squashfs.READERS,
        littlefs.READERS,
        fat.READERS,
    )
    by_mark = {mark: read for table in tables for mark, read in table.items()}
    return Readers(by_mark, whole=(*esp32.WHOLE, *spiffs.WHOLE))
