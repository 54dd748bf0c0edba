"""Reads DER at any offset: certificates, private keys, key stores; and Java's key store."""

import hashlib
from typing import Final

from motte.firmware.limits import MAXIMUM_CERTIFICATE_BYTES
from motte.firmware.material import Material, der_length, examine
from motte.firmware.model import Kind
from motte.firmware.scan import Look, Reader

__all__ = ["READERS"]

HEAD: Final = 32
"""Bytes by which a structure that cannot be ours is told apart before it is read whole."""
KEY: Final = "key"
"""What is inside of a key is the key again in another form: PKCS#8 wraps SEC1 and PKCS#1."""
JKS_HEAD: Final = 12
JKS_VERSIONS: Final = (1, 2)
JKS_TAGS: Final = (1, 2, 3)
JKS_ENTRIES: Final = 10_000
"""Entries of a Java key store, more than which is no key store: a trust store has some hundreds."""


def _sequence(look: Look) -> None:
    head = look.read(HEAD)
    length = der_length(head)
    if length is None or length > MAXIMUM_CERTIFICATE_BYTES or look.is_read(KEY):
        return
    # Every structure that is looked for begins with a version or with another SEQUENCE.
    body = 2 + (head[1] & 0x7F if head[1] & 0x80 else 0)
    if head[body : body + 1] not in {b"\x02", b"\x30"}:
        return
    material = examine(look.read(length))
    if material is not None:
        _report(look, material)


def _short_sequence(look: Look) -> None:
    """A mark is the version inside; a header of two bytes stands before it."""
    if look.offset >= 2:  # noqa: PLR2004 (tag and length)
        _sequence(Look(look.scan, look.part, look.offset - 2))


def _report(look: Look, material: Material) -> None:
    look.part.structures.append((look.offset, look.offset + material.length))
    if material.kind.is_key:
        look.set_read(KEY, look.offset + material.length)
    look.scan.found_material(look.part, look.offset, material, f"DER, {material.form}")


def _java_key_store(look: Look) -> None:
    head = look.read(JKS_HEAD + 8)
    version, entries = (int.from_bytes(head[at : at + 4], "big") for at in (4, 8))
    tag = int.from_bytes(head[12:16], "big")
    alias = int.from_bytes(head[16:18], "big")
    if version not in JKS_VERSIONS or not 1 <= entries <= JKS_ENTRIES or tag not in JKS_TAGS:
        return
    name = look.read(alias, before=-(JKS_HEAD + 6))
    if len(name) != alias or not name.decode("utf-8", "replace").isprintable():
        return
    # An entry for a certificate alone (tag 2) is no secret, and the reader of DER reports it.
    if tag != 2:  # noqa: PLR2004
        fingerprint = hashlib.sha256(head + name).hexdigest()
        title = "key store, encrypted with a passphrase"
        form = "JKS" if head[:1] == b"\xfe" else "JCEKS"
        material = Material(Kind.KEY_STORE, title, form, JKS_HEAD, fingerprint)
        look.scan.found_material(look.part, look.offset, material, form)


READERS: Final[dict[bytes, Reader]] = {
    b"\x30\x81": _sequence,
    b"\x30\x82": _sequence,
    b"\x02\x01\x00\x30": _short_sequence,
    b"\x02\x01\x01\x30": _short_sequence,
    b"\x02\x01\x01\x04": _short_sequence,
    b"\xfe\xed\xfe\xed": _java_key_store,
    b"\xce\xce\xce\xce": _java_key_store,
}
"""Certificates have at least 128 bytes, so a long header; only the small keys have a short one."""
