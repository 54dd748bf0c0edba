"""What can be done with identities: enrol, look, revoke, quarantine, release, rotate.

A change here is a change of the registry. What makes it true for connected clients is the
snapshot that `motte.plane.operations` pushes right after it.
"""

import getpass
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from motte.errors import EnrollmentError
from motte.fleet.authority import Authority, Issued, private_key_pem
from motte.fleet.bundle import Bundle, BundleDraft, Endpoint, Examples, draft_bundle
from motte.fleet.identity import Identity, Kind
from motte.fleet.registry import CertificateRecord, IdentityRecord, Registry
from motte.fleet.schema import Status
from motte.text import nearest, printable

__all__ = ["Bundles", "Enrolled", "Enrolment", "Fleet", "StatusChange", "current_actor"]

MAXIMUM_REASON: Final = 500
"""Characters of a reason: a sentence or two for whoever reads the history later."""


@dataclass(frozen=True, slots=True)
class Bundles:
    """Where bundles go and what stands in them besides the credential."""

    folder: Path
    endpoint: Endpoint
    examples: Callable[[Identity], Examples]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An identity that has just got a certificate."""

    identity: Identity
    bundle: Bundle
    serial: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class StatusChange:
    """What a change of status did; ``changed`` is false if it already was so."""

    identity: Identity
    before: Status
    after: Status

    @property
    def changed(self) -> bool:
        """Whether the registry changed."""
        return self.before is not self.after


class Fleet:
    """The identities of one fleet."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def identities(self, status: Status | None = None) -> list[IdentityRecord]:
        """All identities, or those with one status."""
        return self._registry.identities(status)

    def get(self, identity: str) -> IdentityRecord:
        """The identity with that id (or ``kind/id``); an error that helps if there is none."""
        kind, separator, name = identity.rpartition("/")
        record = self._registry.get(name)
        if record is not None and (not separator or kind == record.identity.kind):
            return record
        known = [known.identity.id for known in self._registry.identities()]
        meant = nearest(name, known)
        raise EnrollmentError(
            f"there is no identity `{printable(identity)}` in this fleet",
            hint=f"did you mean `{meant}`?" if meant else "`motte device list` shows all of them",
        )

    def revoke(self, identity: str, *, why: str) -> StatusChange:
        """Refuses an identity for ever, with every certificate it has."""
        return self._change(self.get(identity), Status.REVOKED, why)

    def quarantine(self, identity: str, *, why: str) -> StatusChange:
        """Refuses an identity until it is released."""
        record = self.get(identity)
        if record.status is Status.REVOKED:
            raise EnrollmentError(
                f"{record.identity.id} is revoked, which is for ever and stronger",
                hint="nothing needs to be done",
            )
        return self._change(record, Status.QUARANTINED, why)

    def release(self, identity: str, *, why: str) -> StatusChange:
        """Lets a quarantined identity in again."""
        record = self.get(identity)
        if record.status is Status.REVOKED:
            raise EnrollmentError(
                f"{record.identity.id} is revoked, and that is for ever: its key may be copied",
                hint="enrol the device again under a new id: motte device add NEW-ID",
            )
        return self._change(record, Status.ACTIVE, why)

    def _change(self, record: IdentityRecord, status: Status, why: str) -> StatusChange:
        why = check_reason(why)
        if record.status is not status:
            self._registry.set_status(record.identity, status, why=why)
        return StatusChange(record.identity, record.status, status)


class Enrolment:
    """Makes credentials: the only place where a private key of an identity exists in memory."""

    def __init__(
        self,
        registry: Registry,
        authority: Authority,
        *,
        bundles: Bundles,
        lifetime: timedelta,
    ) -> None:
        self._registry = registry
        self._authority = authority
        self._bundles = bundles
        self._lifetime = lifetime

    def enrol(
        self, kind: Kind, name: str, attributes: Mapping[str, str], *, why: str = ""
    ) -> Enrolled:
        """Enrols a new identity and leaves its bundle in the folder of bundles."""
        why = check_reason(why)
        identity = Identity(kind, name, dict(attributes))
        known = self._registry.get(name)
        if known is not None:
            raise _already_enrolled(known)
        target = self._bundles.folder / name
        if target.exists():
            raise EnrollmentError(
                f"{target} already exists, but {name} is not enrolled",
                hint="a bundle is never written over; move that folder away first",
            )
        issued, draft = self._draft(identity)
        with draft:
            self._registry.add(identity, _certificate_record(issued), why=why)
        # Enrolled now. A crash before the next line leaves an identity without a bundle, which
        # `rotate` repairs; the other order could leave a credential that cannot be revoked.
        return Enrolled(identity, draft.keep(), issued.serial, issued.not_after)

    def rotate(self, name: str, *, fleet: Fleet, why: str = "") -> Enrolled:
        """Gives an identity a new key and certificate; the old ones are revoked."""
        why = check_reason(why)
        record = fleet.get(name)
        if record.status is not Status.ACTIVE:
            raise EnrollmentError(
                f"{record.identity.id} is {record.status}: it gets no new certificate",
                hint="release it first"
                if record.status is Status.QUARANTINED
                else "enrol the device again under a new id: motte device add NEW-ID",
            )
        issued, draft = self._draft(record.identity)
        with draft:
            self._registry.replace_certificate(
                record.identity, _certificate_record(issued), why=why
            )
        return Enrolled(record.identity, draft.replace(), issued.serial, issued.not_after)

    def _draft(self, identity: Identity) -> tuple[Issued, BundleDraft]:
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self._authority.issue_identity(identity, key.public_key(), self._lifetime)
        draft = draft_bundle(
            self._bundles.folder / identity.id,
            identity=identity,
            key_pem=private_key_pem(key),
            certificate_pem=issued.pem,
            authority_pem=self._authority.certificate_pem,
            endpoint=self._bundles.endpoint,
            examples=self._bundles.examples(identity),
        )
        return issued, draft


def check_reason(why: str) -> str:
    """A reason fit for the history; refuses one that is too long."""
    if len(why) > MAXIMUM_REASON:
        raise EnrollmentError(
            f"the reason has {len(why)} characters, but at most {MAXIMUM_REASON} are kept",
            hint="say it shorter",
        )
    return why


def current_actor() -> str:
    """Who is doing this, for the history: the user's name on this host."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def _certificate_record(issued: Issued) -> CertificateRecord:
    return CertificateRecord(issued.serial, issued.not_before, issued.not_after)


def _already_enrolled(known: IdentityRecord) -> EnrollmentError:
    name = known.identity.id
    if known.status is Status.REVOKED:
        return EnrollmentError(
            f"{name} was revoked on {known.status_since:%Y-%m-%d}, and that is for ever",
            hint="choose another id",
        )
    return EnrollmentError(
        f"{name} is already enrolled, as {known.identity.name} ({known.status})",
        hint=f"choose another id, or give it a new key: motte device rotate {name}",
    )
