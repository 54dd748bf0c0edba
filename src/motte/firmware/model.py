"""What a scan says: findings with their places, and what could not be read.

No value here holds a secret. A key is known by the SHA-256 of its public half; a password by a
hash with a key that dies with the process, which serves to notice that two are the same.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

__all__ = ["CertificateFacts", "Finding", "ImageReport", "Kind", "Place", "Problem"]


class Kind(StrEnum):
    """What was found."""

    PRIVATE_KEY = "private key"
    ENCRYPTED_KEY = "encrypted private key"
    KEY_STORE = "key store"
    CREDENTIAL = "credential"
    TOKEN = "token"  # noqa: S105 (a kind, no secret)
    CERTIFICATE = "certificate"
    ENDPOINT = "endpoint"

    @property
    def is_key(self) -> bool:
        """Whether it is a private key or holds one."""
        return self in {Kind.PRIVATE_KEY, Kind.ENCRYPTED_KEY, Kind.KEY_STORE}

    @property
    def is_secret(self) -> bool:
        """Whether a thief can use it, alone or after guessing a passphrase."""
        return self not in {Kind.CERTIFICATE, Kind.ENDPOINT}


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: containers from the outside in, then the offset in the last one."""

    path: tuple[str, ...]
    offset: int
    form: str

    @property
    def text(self) -> str:
        """The place as one line: ``dump.bin → gzip at 0x400, 0x1f``."""
        return f"{' → '.join(self.path)}, {self.offset:#x}"


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What stands in a certificate."""

    subject: str
    issuer: str
    serial: int
    not_before: datetime
    not_after: datetime
    spiffe_id: str | None
    is_authority: bool
    der: bytes = field(repr=False)


@dataclass(slots=True)
class Finding:
    """One thing that was found, at one or several places.

    ``fingerprint`` is the SHA-256 of a certificate or of a key's public half (its
    SubjectPublicKeyInfo), in hex, and ``None`` where there is none to show. ``same`` is equal for
    findings of one kind that are the same thing.
    """

    kind: Kind
    title: str
    same: str
    places: list[Place]
    fingerprint: str | None = None
    public_key: str | None = None
    certificate: CertificateFacts | None = None
    facts: dict[str, str] = field(default_factory=dict)
    more_places: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """A part that could not be read, or not to its end."""

    path: tuple[str, ...]
    offset: int
    what: str


@dataclass(slots=True)
class ImageReport:
    """Everything about one image. ``scanned`` counts bytes of the image and all its parts."""

    name: str
    size: int
    scanned: int = 0
    parts: int = 0
    findings: list[Finding] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    more_problems: int = 0

    @property
    def has_key(self) -> bool:
        """Whether a private key, encrypted or not, was found."""
        return any(finding.kind.is_key for finding in self.findings)
