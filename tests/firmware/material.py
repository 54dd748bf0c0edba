"""Keys and certificates to plant, and what has to be found of them."""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from motte.firmware.model import ImageReport, Kind
from motte.firmware.readers import readers
from motte.firmware.scalars import ScalarSearch
from motte.firmware.scan import Scan
from motte.firmware.source import BytesSource

DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
TRADITIONAL = serialization.PrivateFormat.TraditionalOpenSSL
OPENSSH = serialization.PrivateFormat.OpenSSH
PLAIN = serialization.NoEncryption()
PASSPHRASE = serialization.BestAvailableEncryption(b"correct horse battery")


@dataclass(frozen=True)
class Pair:
    """A key and its certificate."""

    key: Any
    certificate: x509.Certificate

    def private(self, encoding: Any, form: Any, encryption: Any = PLAIN) -> bytes:
        """The private key."""
        return bytes(self.key.private_bytes(encoding, form, encryption))

    @property
    def scalar(self) -> bytes:
        """The secret number of a key of a curve."""
        return int(self.key.private_numbers().private_value).to_bytes(32, "big")

    @property
    def point(self) -> bytes:
        """Its public point."""
        return bytes(
            self.key.public_key().public_bytes(
                serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
            )
        )

    @property
    def name(self) -> str:
        """What the key is reported by."""
        spki = self.key.public_key().public_bytes(
            DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hashlib.sha256(spki).hexdigest()

    @property
    def certificate_name(self) -> str:
        """What the certificate is reported by."""
        return hashlib.sha256(self.certificate.public_bytes(DER)).hexdigest()

    def store(self) -> bytes:
        """A PKCS#12 key store with both."""
        return pkcs12.serialize_key_and_certificates(
            b"device", self.key, self.certificate, None, PASSPHRASE
        )


@cache
def pair(kind: str = "P-256") -> Pair:
    """A key of each kind with a certificate; the same in one run."""
    key: Any = {
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "RSA": lambda: rsa.generate_private_key(65537, 2048),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }[kind]()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"toaster {kind}")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(0x1234)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=3650))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier("spiffe://home/group/toaster/device/toaster-9")]
            ),
            critical=False,
        )
    )
    return Pair(key, builder.sign(key, None if kind == "Ed25519" else hashes.SHA256()))


def chance(length: int, seed: int = 1) -> bytes:
    """Bytes of chance, the same in every run."""
    return Random(seed).randbytes(length)  # noqa: S311 (the same in every run)


def scan(image: bytes, name: str = "image.bin") -> ImageReport:
    """The report on an image."""
    return Scan(readers(), points=ScalarSearch().look).run(name, BytesSource(image))


def found(report: ImageReport, *kinds: Kind) -> dict[str, str]:
    """Kind and fingerprint of what was found; of certain kinds if some are given."""
    return {
        finding.fingerprint or finding.title: finding.kind.value
        for finding in report.findings
        if not kinds or finding.kind in kinds
    }


def text_of(report: ImageReport) -> str:
    """Everything that a report could show, as one text."""
    return repr(report)
