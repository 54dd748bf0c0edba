"""Asks a deployment about certificates and keys that were found. Changes nothing there."""

import contextlib
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from motte.deployment import Deployment
from motte.firmware.material import certificate_facts, public_key_hash
from motte.firmware.model import CertificateFacts
from motte.firmware.pairing import Standing, State
from motte.fleet.authority import authority_certificate, serial_text
from motte.fleet.bundle import CERTIFICATE_FILE
from motte.fleet.registry import Registry
from motte.fleet.schema import Status
from motte.plane.context import ControlPlane

__all__ = ["MAXIMUM_BUNDLES", "DeploymentView"]

MAXIMUM_BUNDLES: Final = 10_000
"""Bundles of a deployment whose keys are compared with a key that was found without certificate.
Each is a file to read; a larger fleet hands its bundles on."""


class DeploymentView:
    """One deployment's registry, authority and bundles."""

    def __init__(self, plane: ControlPlane) -> None:
        self._registry: Final[Registry] = plane.registry
        self._deployment: Final[Deployment] = plane.deployment
        self._now: Final[datetime] = plane.clock.now()
        self._authority: Final = authority_certificate(plane.deployment.authority)
        self._authority_key: Final = public_key_hash(self._authority.public_key())
        self._keys: dict[str, x509.Certificate] | None = None

    def of_certificate(self, certificate: CertificateFacts) -> Standing:
        """Where the owner of a certificate stands.

        A certificate says anything about itself, so the first question is who signed it.
        """
        found = x509.load_der_x509_certificate(certificate.der)
        with contextlib.suppress(ValueError, UnsupportedAlgorithm):
            if public_key_hash(found.public_key()) == self._authority_key:
                return Standing(State.AUTHORITY)
        try:
            found.verify_directly_issued_by(self._authority)
        except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
            return Standing(State.FOREIGN)
        return self._of_member(certificate)

    def of_key(self, public_key: str) -> Standing | None:
        """Where the owner of a key stands, if the authority or a bundle that is here has it."""
        if public_key == self._authority_key:
            return Standing(State.AUTHORITY)
        if self._keys is None:
            self._keys = dict(_bundle_keys(self._deployment.bundles))
        found = self._keys.get(public_key)
        if found is None:
            return None
        return self.of_certificate(certificate_facts(found))

    def _of_member(self, certificate: CertificateFacts) -> Standing:
        if certificate.spiffe_id is None:
            expired = certificate.not_after < self._now
            return Standing(State.EXPIRED if expired else State.BROKER)
        name = certificate.spiffe_id.rpartition("/")[2]
        record = self._registry.get(name)
        serial = serial_text(certificate.serial)
        known = {one.serial: one for one in record.certificates} if record is not None else {}
        if record is None or serial not in known:
            return Standing(State.UNREGISTERED, name)
        if record.status is Status.REVOKED or known[serial].revoked_at is not None:
            return Standing(State.REVOKED, name)
        if certificate.not_after < self._now:
            return Standing(State.EXPIRED, name)
        if record.status is Status.QUARANTINED:
            return Standing(State.QUARANTINED, name)
        return Standing(State.LIVE, name)


def _bundle_keys(folder: Path) -> list[tuple[str, x509.Certificate]]:
    """Public keys and certificates of the bundles in a folder, as far as they can be read."""
    found = []
    bundles = sorted(folder.iterdir())[:MAXIMUM_BUNDLES] if folder.is_dir() else []
    for bundle in bundles:
        with contextlib.suppress(OSError, ValueError, UnsupportedAlgorithm):
            pem = (bundle / CERTIFICATE_FILE).read_bytes()
            certificate = x509.load_pem_x509_certificate(pem)
            found.append((public_key_hash(certificate.public_key()), certificate))
    return found
