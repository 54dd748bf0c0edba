"""A TLS ClientHello of the auditor's own making: what a broker would speak, whatever we can.

The auditor's TLS library no longer knows the versions and suites that it has to ask for, so it
writes the first packet itself and reads only the ServerHello.
Source: RFC 5246 section 7.4.1, RFC 8422 section 5.1, RFC 6066 section 3.
"""

import asyncio
import ipaddress
import secrets
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from motte.audit.peer import OPEN_SECONDS
from motte.audit.target import Target

__all__ = ["Hello", "TlsVersion", "say_hello"]

_HANDSHAKE: Final = 22
_ALERT: Final = 21
_SERVER_HELLO: Final = 2
_RECORD_HEADER: Final = 5
_SERVER_HELLO_START: Final = 38
"""Type, length, version and random come before the session id of a ServerHello."""


class TlsVersion(IntEnum):
    """Versions that a ClientHello without extensions for 1.3 can ask for."""

    SSL_3_0 = 0x0300
    TLS_1_0 = 0x0301
    TLS_1_1 = 0x0302
    TLS_1_2 = 0x0303

    @property
    def text(self) -> str:
        """The version as people write it."""
        return self.name.replace("_", " ", 1).replace("_", ".")


@dataclass(frozen=True, slots=True)
class Hello:
    """What came back: a version and a suite, or ``refused`` with the reason, or nothing clear."""

    version: int | None = None
    suite: int | None = None
    refused: str | None = None


async def say_hello(target: Target, version: TlsVersion, suites: tuple[int, ...]) -> Hello:
    """Offers one version and these suites, and reads the answer."""
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            reader, writer = await asyncio.open_connection(target.address, target.port)
            try:
                writer.write(_client_hello(target.host, version, suites))
                return await _read(reader)
            finally:
                writer.close()
    except TimeoutError:
        return Hello()
    except OSError as error:
        return Hello(refused=error.strerror or "the connection was reset")


async def _read(reader: asyncio.StreamReader) -> Hello:
    try:
        header = await reader.readexactly(_RECORD_HEADER)
        body = await reader.readexactly(int.from_bytes(header[3:5], "big"))
    except asyncio.IncompleteReadError:
        return Hello(refused="the connection was closed")
    if header[0] == _ALERT and len(body) > 1:
        return Hello(refused=f"TLS alert {body[1]}")
    if header[0] != _HANDSHAKE or body[:1] != bytes([_SERVER_HELLO]):
        return Hello()
    after_session = _SERVER_HELLO_START + 1 + int.from_bytes(body[38:39], "big")
    version = int.from_bytes(body[4:6], "big")
    return Hello(version, int.from_bytes(body[after_session : after_session + 2], "big"))


def _client_hello(host: str, version: TlsVersion, suites: tuple[int, ...]) -> bytes:
    extensions = b"".join(
        (
            _server_name(host),
            _extension(10, _sized(bytes.fromhex("001d001700180019"), 2)),
            _extension(11, _sized(b"\0", 1)),
            # RSA and ECDSA with SHA-256, SHA-384, SHA-512 and SHA-1
            _extension(
                13, _sized(bytes.fromhex("04010403050105030601060308040805080602010203"), 2)
            ),
        )
    )
    body = (
        min(version, TlsVersion.TLS_1_2).to_bytes(2, "big")
        + secrets.token_bytes(32)
        + b"\0"
        + _sized(b"".join(suite.to_bytes(2, "big") for suite in suites), 2)
        + b"\x01\0"
        + _sized(extensions, 2)
    )
    handshake = b"\x01" + _sized(body, 3)
    record_version = min(version, TlsVersion.TLS_1_0).to_bytes(2, "big")
    return bytes([_HANDSHAKE]) + record_version + _sized(handshake, 2)


def _server_name(host: str) -> bytes:
    """The extension that names the host, which may be no address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _extension(0, _sized(b"\0" + _sized(host.encode("idna"), 2), 2))
    return b""


def _extension(number: int, body: bytes) -> bytes:
    return number.to_bytes(2, "big") + _sized(body, 2)


def _sized(data: bytes, width: int) -> bytes:
    return len(data).to_bytes(width, "big") + data
