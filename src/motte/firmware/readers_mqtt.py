"""Reads MQTT CONNECT packets that stand in an image ready to be sent, or in a captured buffer.

Source: MQTT 3.1.1 and 5.0, section 3.1.
"""

from typing import Final

from motte.firmware.model import Kind
from motte.firmware.readers_secrets import report_credential
from motte.firmware.scan import Look, Reader
from motte.text import printable

__all__ = ["READERS"]

MAXIMUM_CONNECT_BYTES: Final = 16 * 1024
"""Bytes of a CONNECT packet, as much as this project's broker takes of one."""
_LEVELS: Final = {b"\x00\x04MQTT": (4, 5), b"\x00\x06MQIsdp": (3,)}
WILL, WILL_QOS, PASSWORD, USERNAME = 0x04, 0x18, 0x40, 0x80


class _Reading:
    """Takes a packet apart; ``ValueError`` where it ends too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, length: int) -> bytes:
        """The next bytes."""
        taken = self._data[self._at : self._at + length]
        if len(taken) < length:
            raise ValueError
        self._at += length
        return taken

    def field(self) -> bytes:
        """A field with its length before it."""
        return self.take(int.from_bytes(self.take(2), "big"))

    def variable(self) -> int:
        """A variable byte integer."""
        value = 0
        for shift in (0, 7, 14, 21):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 (the last)
                return value
        raise ValueError


def _connect(look: Look) -> None:
    """A mark is the protocol name, which stands after a header of two to five bytes."""
    for header in range(2, 6):
        if header > look.offset:
            return
        packet = Look(look.scan, look.part, look.offset - header)
        reading = _Reading(packet.read(MAXIMUM_CONNECT_BYTES))
        try:
            if reading.take(1) != b"\x10":
                continue
            length = reading.variable()
            body = _Reading(reading.take(length))
            if _credentials(packet, body):
                return
        except ValueError:
            continue


def _credentials(look: Look, body: _Reading) -> bool:
    name = body.field()
    level, flags = body.take(1)[0], body.take(1)[0]
    if level not in _LEVELS.get(len(name).to_bytes(2, "big") + name, ()) or flags & 1:
        return False
    body.take(2)
    if level == 5:  # noqa: PLR2004 (MQTT 5.0)
        body.take(body.variable())
    client_id = body.field().decode()
    if flags & WILL:
        if level == 5:  # noqa: PLR2004
            body.take(body.variable())
        body.field()
        body.field()
    facts = {"client id": printable(client_id)}
    if flags & USERNAME:
        facts["user"] = printable(body.field().decode())
    if flags & PASSWORD:
        title = f"password of {facts.get('user') or facts['client id'] or 'nobody'}"
        report_credential(look, title, body.field(), "MQTT CONNECT", facts, Kind.CREDENTIAL)
    elif flags & USERNAME:
        title = f"user name {facts['user']}, without password"
        report_credential(look, title, b"", "MQTT CONNECT", facts, Kind.CREDENTIAL)
    return True


READERS: Final[dict[bytes, Reader]] = dict.fromkeys(_LEVELS, _connect)
