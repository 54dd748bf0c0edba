"""The fleet's certificate authority: one key that says who belongs, and for how long.

An authority issues two kinds of certificate and no other: the broker's own (``serverAuth``, host
names) and an identity's (``clientAuth``, exactly one SPIFFE id). Each is read back and verified
against the authority, as a peer would do it, before anybody gets it.
"""

import ipaddress
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from motte.errors import StoreError
from motte.files import (
    PRIVATE_FOLDER,
    check_private,
    file_errors,
    read_private,
    sync_folder,
    write_private,
)
from motte.fleet.identity import Clock, Identity

__all__ = [
    "AUTHORITY_LIFETIME",
    "CLOCK_SKEW",
    "Authority",
    "FileSigner",
    "Issued",
    "Signer",
    "authority_certificate",
    "create_authority",
    "needs_renewal",
    "private_key_pem",
    "serial_text",
]

AUTHORITY_LIFETIME: Final = timedelta(days=3652)
"""Lifetime of the fleet authority, ten years: replacing it means touching every device."""
CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far certificates are backdated: devices without a battery clock run a little behind."""
RENEWAL_SHARE: Final = 3
"""A server certificate is renewed in the last 1/3 of its lifetime: a month's time to notice."""
SERIAL_BITS: Final = 126
"""Random bits of a serial: unguessable and never repeated. With the bit above them set, every
serial is positive and exactly 16 bytes long, so there is one way to write it."""
MAXIMUM_PEM_BYTES: Final = 64 * 1024
"""Size of a key or certificate file read at most; one PEM of ours has under 2 KiB."""

CERTIFICATE_NAME: Final = "fleet.pem"
KEY_NAME: Final = "fleet.key"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate fresh from the authority, read back and checked."""

    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate as PEM text."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def serial(self) -> str:
        """The serial number as the registry and the snapshot write it."""
        return serial_text(self.certificate.serial_number)

    @property
    def not_before(self) -> datetime:
        """Start of validity."""
        return self.certificate.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """End of validity."""
        return self.certificate.not_valid_after_utc


class Signer(Protocol):
    """Holds the authority's key, on disk or in a token, and signs what it is given."""

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's own certificate."""

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Signs a finished builder with the authority's key."""


class FileSigner:
    """A signer whose key is a PKCS#8 file that only the owner can read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._certificate, self._key = _read_authority(folder)

    def __repr__(self) -> str:
        return f"FileSigner({str(self._folder)!r}, key=****)"

    @property
    def certificate(self) -> x509.Certificate:
        """The authority's own certificate."""
        return self._certificate

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Signs a finished builder with the authority's key."""
        return builder.sign(self._key, hashes.SHA256())


class Authority:
    """Issues the certificates of one fleet."""

    def __init__(self, signer: Signer, *, fleet: str, clock: Clock) -> None:
        self._signer = signer
        self._fleet = fleet
        self._clock = clock

    @property
    def certificate_pem(self) -> bytes:
        """The authority's certificate, which every peer of the fleet trusts."""
        return self._signer.certificate.public_bytes(serialization.Encoding.PEM)

    def issue_identity(
        self, identity: Identity, public_key: ec.EllipticCurvePublicKey, lifetime: timedelta
    ) -> Issued:
        """A client certificate that names ``identity`` and nothing else."""
        uri = identity.spiffe_id(self._fleet)
        builder = self._builder(public_key, identity.id, lifetime).add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
        )
        issued = self._sign(builder, ExtendedKeyUsageOID.CLIENT_AUTH)
        try:
            verified = self._policy(issued).build_client_verifier().verify(issued.certificate, [])
        except VerificationError as error:
            raise _unusable(identity.name, str(error)) from error
        names = [name.value for name in verified.subjects or []]
        if names != [uri]:
            raise _unusable(identity.name, f"it names {names} instead of {uri}")
        return issued

    def issue_server(
        self,
        public_key: ec.EllipticCurvePublicKey,
        lifetime: timedelta,
        names: Iterable[x509.GeneralName],
    ) -> Issued:
        """The broker's certificate for the host names and addresses it is reached by."""
        names = list(names)
        builder = self._builder(public_key, "motte", lifetime).add_extension(
            x509.SubjectAlternativeName(names), critical=False
        )
        issued = self._sign(builder, ExtendedKeyUsageOID.SERVER_AUTH)
        for name in names:
            if not isinstance(name, x509.DNSName | x509.IPAddress):
                raise _unusable("the server", f"{name} is neither a host name nor an address")
            try:
                self._policy(issued).build_server_verifier(name).verify(issued.certificate, [])
            except VerificationError as error:
                raise _unusable(f"the server name {name.value}", str(error)) from error
        return issued

    def _builder(
        self, public_key: ec.EllipticCurvePublicKey, common_name: str, lifetime: timedelta
    ) -> x509.CertificateBuilder:
        authority = self._signer.certificate
        now = self._clock.now().replace(microsecond=0)
        if not authority.not_valid_before_utc <= now < authority.not_valid_after_utc:
            raise StoreError(
                f"the fleet's authority is good from {authority.not_valid_before_utc:%Y-%m-%d} to "
                f"{authority.not_valid_after_utc:%Y-%m-%d}, but today is {now:%Y-%m-%d}",
                hint="check the clock of this host; an authority that has ended means a new "
                "deployment and enrolling everything again",
            )
        key_identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        # A common name has at most 64 characters; the id in full stands in the SPIFFE id.
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])]))
            .issuer_name(authority.subject)
            .public_key(public_key)
            .serial_number(_random_serial())
            .not_valid_before(max(now - CLOCK_SKEW, authority.not_valid_before_utc))
            .not_valid_after(min(now + lifetime, authority.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    key_identifier.value
                ),
                critical=False,
            )
        )

    def _sign(self, builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier) -> Issued:
        """Signs, then reads the result back from its bytes as a peer would."""
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        signed = self._signer.sign(builder)
        certificate = x509.load_der_x509_certificate(
            signed.public_bytes(serialization.Encoding.DER)
        )
        usages = list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        if usages != [usage]:
            raise _unusable(certificate.subject.rfc4514_string(), "it has another key usage")
        return Issued(certificate)

    def _policy(self, issued: Issued) -> PolicyBuilder:
        # Just inside the validity, so that the check is about the certificate, not about today.
        moment = issued.not_after - timedelta(seconds=1)
        return PolicyBuilder().store(Store([self._signer.certificate])).time(moment)


def create_authority(folder: Path, *, fleet: str, clock: Clock) -> None:
    """Makes the key and the self-signed certificate of a new fleet, both or neither."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = clock.now().replace(microsecond=0)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Motte fleet {fleet}"[:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(_random_serial())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    temporary = folder.with_name(f".{folder.name}.new")
    with file_errors("make the authority in", folder):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(mode=PRIVATE_FOLDER)
        write_private(temporary / KEY_NAME, private_key_pem(key))
        write_private(
            temporary / CERTIFICATE_NAME, certificate.public_bytes(serialization.Encoding.PEM)
        )
        _read_authority(temporary)
        temporary.rename(folder)
        sync_folder(folder.parent)


def private_key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PKCS#8 PEM without passphrase: the file's mode is what protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def serial_text(serial: int) -> str:
    """A serial number as an even number of lower-case hexadecimal digits."""
    text = f"{serial:x}"
    return text.zfill(len(text) + len(text) % 2)


def needs_renewal(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether less than a third of the certificate's lifetime is left."""
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < lifetime / RENEWAL_SHARE


def ip_name(address: str) -> x509.IPAddress:
    """An IP address as a certificate writes it."""
    return x509.IPAddress(ipaddress.ip_address(address))


def _random_serial() -> int:
    return secrets.randbits(SERIAL_BITS) | 1 << SERIAL_BITS


def _key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def authority_certificate(folder: Path) -> x509.Certificate:
    """The certificate of the authority in ``folder``; its key is not touched."""
    path = folder / CERTIFICATE_NAME
    if not path.exists():
        raise _lost(path, "is missing")
    try:
        certificate = x509.load_pem_x509_certificate(read_private(path, limit=MAXIMUM_PEM_BYTES))
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature) as error:
        raise _lost(path, "is empty or damaged: it is not our certificate") from error
    if not constraints.value.ca:
        raise _lost(path, "is not the certificate of an authority made by Motte")
    return certificate


def _read_authority(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The authority in ``folder``, refused unless both files are whole and belong together."""
    for path in (folder / KEY_NAME, folder / CERTIFICATE_NAME):
        if not path.exists():
            raise _lost(path, "is missing")
    check_private(folder, folder=True)
    key_path, certificate_path = folder / KEY_NAME, folder / CERTIFICATE_NAME
    try:
        key = serialization.load_pem_private_key(
            read_private(key_path, limit=MAXIMUM_PEM_BYTES), password=None
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise _lost(key_path, "is empty or damaged: it is not a PEM private key") from error
    certificate = authority_certificate(folder)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _lost(key_path, "is not the key of a certificate authority made by Motte")
    if key.public_key() != certificate.public_key():
        raise _lost(key_path, f"does not belong to {certificate_path.name}")
    return certificate, key


def _lost(path: Path, what: str) -> StoreError:
    return StoreError(
        f"{path} {what}",
        hint=f"every identity of this fleet is trusted through it; put {path.parent} back from a "
        "backup, or make a new deployment in an empty folder and enrol everything again",
    )


def _unusable(subject: str, why: str) -> StoreError:
    return StoreError(
        f"the authority made an unusable certificate for {subject}: {why}",
        hint="check the clock of this host and the names in motte.toml",
    )
