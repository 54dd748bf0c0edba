"""Reads keys and certificates that are written as text: PEM, C arrays, hex and base64 digits."""

import base64
import binascii
import re
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from motte.firmware.limits import MAXIMUM_TEXT_BYTES
from motte.firmware.material import Material, examine, key_material
from motte.firmware.model import Kind
from motte.firmware.scan import Look, Reader

__all__ = ["READERS"]

_PEM: Final = re.compile(
    rb"-----BEGIN (?P<label>[A-Z0-9 ]{1,40})-----"
    rb"(?P<body>[A-Za-z0-9+/=\s\\\"',:.\-]*?)"
    rb"-----END (?P=label)-----"
)
_PEM_HEAD: Final = re.compile(rb"-----BEGIN [A-Z0-9 ]{1,40}-----[\s\\\"'A-Za-z0-9+/=:,-]{16}")
_ESCAPES: Final = re.compile(rb"\\[rnt]|[\s\"'\\,]")
"""What stands between the digits where a PEM is written in C, JSON or the like."""
_PEM_HEADERS: Final = re.compile(rb"[A-Za-z0-9-]+:[ ][^\r\n\\]*(?:\r|\n|\\[rn])+")
_BASE64_RUN: Final = re.compile(rb"[A-Za-z0-9+/](?:[A-Za-z0-9+/]|[\r\n])*={0,2}")
_HEX_RUN: Final = re.compile(rb"(?:[0-9a-fA-F]{2}[\s:]?)+")
_ARRAY_RUN: Final = re.compile(rb"(?:0[xX][0-9a-fA-F]{1,2}[uU]?[lL]?\s*(?:,\s*)?)+")
_ARRAY_NUMBER: Final = re.compile(rb"0[xX]([0-9a-fA-F]{1,2})")
_ESCAPED_RUN: Final = re.compile(rb"(?:\\x[0-9a-fA-F]{2}(?:\"\s*\")?)+")
_ESCAPED_NUMBER: Final = re.compile(rb"\\x([0-9a-fA-F]{2})")
TEXT: Final = "text"
ARRAY_MINIMUM: Final = 32
"""Numbers of an array, fewer than which can hold no key."""


def _pem(look: Look) -> None:
    if look.is_read(TEXT):
        return
    if not _PEM_HEAD.match(look.read(128)):
        return
    found = _PEM.match(look.read(8192)) or _PEM.match(look.read(MAXIMUM_TEXT_BYTES))
    if found is None:
        return
    look.set_read(TEXT, look.offset + found.end())
    material = _pem_material(found["label"].decode(), found["body"], found[0])
    if material is not None:
        look.scan.found_material(look.part, look.offset, material, f"PEM, {material.form}")


def _pem_material(label: str, body: bytes, whole: bytes) -> Material | None:
    encrypted = b"Proc-Type: 4,ENCRYPTED" in body
    der = _base64(_ESCAPES.sub(b"", _PEM_HEADERS.sub(b"", body.lstrip(b"\\nr \r\n\t\"'"))))
    if der is None:
        return None
    if label == "OPENSSH PRIVATE KEY":
        return _openssh(der)
    if encrypted and label.endswith("PRIVATE KEY"):
        title = "private key, encrypted with a passphrase"
        return Material(Kind.ENCRYPTED_KEY, title, "OpenSSL", len(whole), _hash(der))
    return examine(der)


def _openssh(der: bytes) -> Material | None:
    armored = base64.b64encode(der)
    pem = b"-----BEGIN OPENSSH PRIVATE KEY-----\n%s\n-----END OPENSSH PRIVATE KEY-----\n" % armored
    if not der.startswith(b"openssh-key-v1\x00"):
        return None
    # The name of the cipher comes first; with one, reading would need the passphrase.
    if not der[15:].startswith(b"\x00\x00\x00\x04none"):
        title = "private key, encrypted with a passphrase"
        return Material(Kind.ENCRYPTED_KEY, title, "OpenSSH", len(der), _hash(der))
    try:
        key = serialization.load_ssh_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key_material(key, "OpenSSH", len(der))


def _hash(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _base64(digits: bytes) -> bytes | None:
    digits = digits.rstrip(b"=")
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    try:
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except binascii.Error:
        return None


def _base64_run(look: Look) -> None:
    if look.is_read(TEXT) or look.read(1, before=1).isalnum():
        return
    found = _BASE64_RUN.match(look.read(8192)) or None
    if found is not None and found.end() == 8192:  # noqa: PLR2004
        found = _BASE64_RUN.match(look.read(MAXIMUM_TEXT_BYTES))
    der = _base64(re.sub(rb"[\r\n]", b"", found[0])) if found else None
    if found is not None and der is not None:
        _report_run(look, der, found.end(), "base64")


def _hex_run(look: Look) -> None:
    if look.is_read(TEXT):
        return
    found = _HEX_RUN.match(look.read(MAXIMUM_TEXT_BYTES))
    if found is not None and found.end() >= 2 * ARRAY_MINIMUM:
        _report_run(
            look, bytes.fromhex(re.sub(rb"[\s:]", b"", found[0]).decode()), found.end(), "hex"
        )


def _report_run(look: Look, der: bytes, length: int, form: str) -> None:
    material = examine(der)
    if material is not None:
        look.set_read(TEXT, look.offset + length)
        look.scan.found_material(look.part, look.offset, material, f"{form}, {material.form}")


def _array(look: Look) -> None:
    _numbers(look, _ARRAY_RUN, _ARRAY_NUMBER, "C array")


def _escaped(look: Look) -> None:
    _numbers(look, _ESCAPED_RUN, _ESCAPED_NUMBER, "C string")


def _numbers(look: Look, run: re.Pattern[bytes], number: re.Pattern[bytes], name: str) -> None:
    """Reads the bytes of an array in source code; they are scanned as a part of their own."""
    if look.is_read(TEXT):
        return
    if not (found := run.match(look.read(6 * ARRAY_MINIMUM))):
        return
    if found.end() >= 4 * ARRAY_MINIMUM:
        found = run.match(look.read(MAXIMUM_TEXT_BYTES))
    if found is None:
        return
    look.set_read(TEXT, look.offset + found.end())
    data = bytes(int(one, 16) for one in number.findall(found[0]))
    if len(data) >= ARRAY_MINIMUM:
        look.scan.unpack(look.part, look.offset, name, [data])


READERS: Final[dict[bytes, Reader]] = {
    b"-----BEGIN ": _pem,
    # Base64 of `30 82`, `30 81`, `30 77 02 01 01 04`, `30 2e 02 01 00 30`, `30 41 02 01 00 30`.
    **dict.fromkeys([b"MII", b"MIG", b"MIH", b"MHcCAQEE", b"MC4CAQAw", b"MEECAQAw"], _base64_run),
    # The same in hex.
    **dict.fromkeys(
        [b"3082", b"30818", b"3081a", b"3081A", b"307702010104", b"302e0201", b"302E0201"], _hex_run
    ),
    # Arrays that begin like DER or like PEM, or hold a point of a curve.
    **dict.fromkeys([b"0x30", b"0X30", b"0x2d", b"0x2D", b"0x04", b"0x4,"], _array),
    **dict.fromkeys([b"\\x30", b"\\x2d", b"\\x2D", b"\\x04"], _escaped),
}
