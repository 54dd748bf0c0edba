"""Which key belongs to which certificate, and what somebody who has them is to this fleet."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from motte.firmware.model import CertificateFacts, Finding, ImageReport, Kind

__all__ = ["FleetView", "Paired", "Standing", "State", "pair"]


class State(StrEnum):
    """What a credential is worth in this deployment at this moment."""

    LIVE = "live"
    QUARANTINED = "quarantined"
    REVOKED = "revoked"
    EXPIRED = "expired"
    UNREGISTERED = "unregistered"
    AUTHORITY = "authority"
    BROKER = "broker"
    FOREIGN = "foreign"

    @property
    def is_dangerous(self) -> bool:
        """Whether the holder of the key gets in, or can let others in."""
        return self in {State.LIVE, State.UNREGISTERED, State.AUTHORITY, State.BROKER}


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer of a fleet; ``identity`` is the id there, if it has one."""

    state: State
    identity: str | None = None


class FleetView(Protocol):
    """A fleet that can be asked."""

    def of_certificate(self, certificate: CertificateFacts) -> Standing:
        """Where the owner of a certificate stands."""

    def of_key(self, public_key: str) -> Standing | None:
        """Where the owner of a key stands, if a certificate of the fleet has it."""


@dataclass(frozen=True, slots=True)
class Paired:
    """A finding with what belongs to it: for a key its certificates, for a certificate its keys."""

    finding: Finding
    partners: tuple[Finding, ...]
    standing: Standing | None

    @property
    def certificates(self) -> tuple[Finding, ...]:
        """The certificates among the partners."""
        return tuple(one for one in self.partners if one.kind is Kind.CERTIFICATE)

    @property
    def has_key(self) -> bool:
        """Whether the private key is in the image, not the certificate alone."""
        return any(one.kind.is_key for one in (self.finding, *self.partners))

    @property
    def opens_the_fleet(self) -> bool:
        """Whether who has the image gets into this fleet, or can let others in."""
        return self.has_key and self.standing is not None and self.standing.state.is_dangerous


def pair(report: ImageReport, fleet: FleetView | None) -> list[Paired]:
    """All findings of an image, the worst first: keys that open this fleet lead."""
    paired = [_paired(finding, report, fleet) for finding in report.findings]
    order = list(Kind)
    paired.sort(
        key=lambda one: (
            order.index(one.finding.kind),
            not one.opens_the_fleet,
        )
    )
    return paired


def _paired(finding: Finding, report: ImageReport, fleet: FleetView | None) -> Paired:
    partners = tuple(
        other
        for other in report.findings
        if finding.public_key is not None
        and other.public_key == finding.public_key
        and other.kind is not finding.kind
    )
    return Paired(finding, partners, _standing(finding, partners, fleet))


def _standing(
    finding: Finding, partners: tuple[Finding, ...], fleet: FleetView | None
) -> Standing | None:
    if fleet is None or finding.public_key is None:
        return None
    answers = [
        fleet.of_certificate(one.certificate)
        for one in (finding, *partners)
        if one.certificate is not None
    ]
    own = [answer for answer in answers if answer.state is not State.FOREIGN]
    dangerous = [answer for answer in own if answer.state.is_dangerous]
    if dangerous or own:
        return (dangerous or own)[0]
    # The certificate need not be in the image: the fleet may know the key.
    return fleet.of_key(finding.public_key) or (answers[0] if answers else None)
