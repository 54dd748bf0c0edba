"""Certificates and private keys in their DER forms. What is returned has been parsed and checked.

Sources: X.690 (DER), RFC 5280 (certificates), RFC 5958 (PKCS#8), RFC 5915 (SEC1 keys), RFC 8017
(PKCS#1), RFC 7292 (PKCS#12).
"""

import hashlib
import re
import warnings
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x448, x25519
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
    PublicKeyTypes,
)

from motte.firmware.limits import MAXIMUM_CERTIFICATE_BYTES, MAXIMUM_KEY_BYTES
from motte.firmware.model import CertificateFacts, Kind
from motte.text import printable

__all__ = [
    "Material",
    "certificate_facts",
    "der_length",
    "examine",
    "key_material",
    "public_key_hash",
    "read_scalar",
]

_SEQUENCE: Final = 0x30
_LONG_FORM: Final = 0x80
MINIMUM_RSA_BITS: Final = 512
"""Bits of an RSA modulus from which on a number is one: below, chance could have written it."""
_PKCS5_OR_12: Final = re.compile(
    rb"\x30[\x08-\x7f\x81\x82].{0,2}?\x06[\x09\x0a]\x2a\x86\x48\x86\xf7\x0d\x01(?:\x05|\x0c\x01)",
    re.DOTALL,
)
"""AlgorithmIdentifier of a password-based encryption, which begins an EncryptedPrivateKeyInfo."""
_PKCS12_VERSION: Final = b"\x02\x01\x03\x30"
_CURVES_BY_LENGTH: Final[dict[int, type[ec.EllipticCurve]]] = {
    32: ec.SECP256R1,
    48: ec.SECP384R1,
    66: ec.SECP521R1,
}
_OTHERS: Final[dict[type[PrivateKeyTypes], str]] = {
    dsa.DSAPrivateKey: "DSA",
    ed25519.Ed25519PrivateKey: "Ed25519",
    ed448.Ed448PrivateKey: "Ed448",
    x25519.X25519PrivateKey: "X25519",
    x448.X448PrivateKey: "X448",
}
"""Kinds of keys whose halves fit by the way they are read."""


@dataclass(frozen=True, slots=True)
class Material:
    """A certificate, a key or a key store, and how many bytes it takes."""

    kind: Kind
    title: str
    form: str
    length: int
    fingerprint: str | None = None
    public_key: str | None = None
    certificate: CertificateFacts | None = None


def der_length(data: bytes) -> int | None:
    """Bytes of the DER SEQUENCE that begins ``data``, or ``None`` if none does."""
    if len(data) < 2 or data[0] != _SEQUENCE:  # noqa: PLR2004
        return None
    first = data[1]
    if first < _LONG_FORM:
        return 2 + first
    count = first - _LONG_FORM
    if not 1 <= count <= 3 or len(data) < 2 + count:  # noqa: PLR2004
        return None
    length = int.from_bytes(data[2 : 2 + count], "big")
    # DER has one way to write a length, the shortest.
    if length < _LONG_FORM or length >> (8 * (count - 1)) == 0:
        return None
    return 2 + count + length


def examine(data: bytes) -> Material | None:
    """What the DER that begins ``data`` is, if it is one of the forms that this module knows."""
    length = der_length(data)
    if length is None or length > len(data) or length > MAXIMUM_CERTIFICATE_BYTES:
        return None
    whole = data[:length]
    inner = whole[2 + (whole[1] & 0x7F if whole[1] >= _LONG_FORM else 0) :]
    if inner.startswith(_PKCS12_VERSION):
        return _key_store(whole)
    if inner[:1] == b"\x02":
        return _private_key(whole, inner) if length <= MAXIMUM_KEY_BYTES else None
    if _PKCS5_OR_12.match(inner):
        return _encrypted_key(whole, inner) if length <= MAXIMUM_KEY_BYTES else None
    if inner[:1] == b"\x30":
        return _certificate(whole)
    return None


def public_key_hash(key: PublicKeyTypes | CertificatePublicKeyTypes) -> str:
    """SHA-256 of the SubjectPublicKeyInfo, in hex: the name of a key pair."""
    spki = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).hexdigest()


def key_material(key: PrivateKeyTypes, form: str, length: int) -> Material | None:
    """A private key as material; ``None`` if its halves do not fit, so that it is no key."""
    if not _is_sound(key):
        return None
    name = public_key_hash(key.public_key())
    return Material(
        Kind.PRIVATE_KEY, f"{_algorithm(key)} private key", form, length, name, public_key=name
    )


def read_scalar(scalar: bytes, curve: ec.EllipticCurve) -> ec.EllipticCurvePrivateKey | None:
    """The key with this secret number, if the number is one of the curve's."""
    try:
        return ec.derive_private_key(int.from_bytes(scalar, "big"), curve)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _certificate(whole: bytes) -> Material | None:
    try:
        with warnings.catch_warnings():
            # Old certificates break rules that were made later, and are reported all the same.
            warnings.simplefilter("ignore")
            certificate = x509.load_der_x509_certificate(whole)
            facts = certificate_facts(certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm, OverflowError):
        return None
    try:
        public_key = public_key_hash(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        public_key = None
    fingerprint = hashlib.sha256(whole).hexdigest()
    title = f"certificate of {facts.subject or facts.spiffe_id or 'nobody'}"
    return Material(
        Kind.CERTIFICATE, title, "X.509", len(whole), fingerprint, public_key, certificate=facts
    )


def certificate_facts(certificate: x509.Certificate) -> CertificateFacts:
    """What stands in a certificate; ``ValueError`` if a part that is needed cannot be read."""
    return CertificateFacts(
        subject=printable(certificate.subject.rfc4514_string()),
        issuer=printable(certificate.issuer.rfc4514_string()),
        serial=certificate.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        spiffe_id=_spiffe_id(certificate),
        is_authority=_is_authority(certificate),
        der=certificate.public_bytes(serialization.Encoding.DER),
    )


def _spiffe_id(certificate: x509.Certificate) -> str | None:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return None
    return next((printable(uri) for uri in uris if uri.startswith("spiffe://")), None)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return basic.ca


def _private_key(whole: bytes, inner: bytes) -> Material | None:
    form = "PKCS#8" if inner[3:4] == b"\x30" else "SEC1" if inner[3:4] == b"\x04" else "PKCS#1"
    try:
        # The check that OpenSSL makes of an RSA key takes seconds for a long one; ours does not.
        key = serialization.load_der_private_key(whole, None, unsafe_skip_rsa_key_validation=True)
        return key_material(key, form, len(whole))
    except (ValueError, TypeError, UnsupportedAlgorithm, OverflowError):
        return _bare_sec1(whole, inner) if form == "SEC1" else None


def _bare_sec1(whole: bytes, inner: bytes) -> Material | None:
    """A SEC1 key that leaves its curve to the reader: the length of the number names it."""
    length = inner[4] if len(inner) > 4 else 0  # noqa: PLR2004
    curve = _CURVES_BY_LENGTH.get(length)
    if not inner.startswith(b"\x02\x01\x01\x04") or curve is None:
        return None
    scalar, rest = inner[5 : 5 + length], inner[5 + length :]
    key = read_scalar(scalar, curve()) if len(scalar) == length else None
    if key is None:
        return None
    point = key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    # Without the public half only a structure that ends where the number ends is believed.
    if rest and not rest.endswith(point):
        return None
    return key_material(key, "SEC1", len(whole)) if len(set(scalar)) > length // 3 else None


def _encrypted_key(whole: bytes, inner: bytes) -> Material | None:
    algorithm = der_length(inner)
    if algorithm is None or inner[algorithm : algorithm + 1] != b"\x04":
        return None
    # The rest is one OCTET STRING, the encrypted key, to the last byte.
    octets = der_length(b"\x30" + inner[algorithm + 1 : algorithm + 8])
    if octets is None or algorithm + octets != len(inner):
        return None
    name = hashlib.sha256(whole).hexdigest()
    title = "private key, encrypted with a passphrase"
    return Material(Kind.ENCRYPTED_KEY, title, "PKCS#8", len(whole), name)


def _key_store(whole: bytes) -> Material | None:
    # ContentInfo of type data or signedData (RFC 2315): nothing else with version 3 has it.
    if b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07" not in whole[:32]:
        return None
    name = hashlib.sha256(whole).hexdigest()
    title = "key store, encrypted with a passphrase"
    return Material(Kind.KEY_STORE, title, "PKCS#12", len(whole), name)


def _is_sound(key: PrivateKeyTypes) -> bool:
    """Whether the private half makes the public one that stands beside it."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        p, q, d = numbers.p, numbers.q, numbers.d
        product = d * numbers.public_numbers.e - 1
        return (
            p * q == numbers.public_numbers.n
            and key.key_size >= MINIMUM_RSA_BITS
            and min(p, q) > 1
            and product % (p - 1) == 0
            and product % (q - 1) == 0
        )
    if isinstance(key, ec.EllipticCurvePrivateKey):
        made = ec.derive_private_key(key.private_numbers().private_value, key.curve)
        return made.public_key().public_numbers() == key.public_key().public_numbers()
    return isinstance(key, tuple(_OTHERS))


def _algorithm(key: PrivateKeyTypes) -> str:
    if isinstance(key, rsa.RSAPrivateKey):
        return f"RSA-{key.key_size}"
    if isinstance(key, ec.EllipticCurvePrivateKey):
        names = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
        return names.get(key.curve.name, key.curve.name)
    return next(name for kind, name in _OTHERS.items() if isinstance(key, kind))
