"""A report for programs: JSON, and SARIF 2.1.0 for code scanning.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from motte import __version__
from motte.firmware.model import Finding, ImageReport, Kind, Place
from motte.firmware.pairing import Paired

__all__ = ["ScannedImage", "revocation", "scan_json", "scan_sarif"]

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS: Final = {Kind.CERTIFICATE: "note", Kind.ENDPOINT: "note", Kind.KEY_STORE: "warning"}
_MEANINGS: Final = {
    Kind.PRIVATE_KEY: "A private key stands in the image.",
    Kind.ENCRYPTED_KEY: "A private key stands in the image, encrypted with a passphrase.",
    Kind.KEY_STORE: "A key store stands in the image.",
    Kind.CREDENTIAL: "A user name, password or other credential stands in the image.",
    Kind.TOKEN: "A token stands in the image.",
    Kind.CERTIFICATE: "A certificate stands in the image.",
    Kind.ENDPOINT: "The address of a broker stands in the image.",
}


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """A report and what its findings are to each other and to the fleet."""

    report: ImageReport
    findings: Sequence[Paired]


def revocation(paired: Paired, image: str) -> list[str] | None:
    """The command that makes a credential worthless, where there is one."""
    standing = paired.standing
    if standing is None or standing.identity is None or not paired.opens_the_fleet:
        return None
    why = f"its key was found in {Path(image).name}"
    return ["motte", "device", "revoke", standing.identity, "--why", why]


def scan_json(images: Sequence[ScannedImage]) -> dict[str, Any]:
    """The whole scan as one document, without secrets."""
    return {
        "images": [_image(image) for image in images],
        "key_found": any(image.report.has_key for image in images),
        "complete": not any(image.report.problems for image in images),
    }


def _image(image: ScannedImage) -> dict[str, Any]:
    report = image.report
    return {
        "file": report.name,
        "bytes": report.size,
        "scanned_bytes": report.scanned,
        "parts": report.parts,
        "findings": [_finding(paired, report.name) for paired in image.findings],
        "problems": [
            {"where": list(problem.path), "offset": problem.offset, "what": problem.what}
            for problem in report.problems
        ],
        "more_problems": report.more_problems,
    }


def _finding(paired: Paired, name: str) -> dict[str, Any]:
    finding = paired.finding
    standing = paired.standing
    shown: dict[str, Any] = {
        "kind": finding.kind.value,
        "what": finding.title,
        "places": [_place(place) for place in finding.places],
        "more_places": finding.more_places,
        "fingerprint_sha256": finding.fingerprint,
        "public_key_sha256": finding.public_key,
        "belongs_to": [one.fingerprint for one in paired.partners],
        **({"facts": finding.facts} if finding.facts else {}),
    }
    if finding.certificate is not None:
        shown["certificate"] = {
            "subject": finding.certificate.subject,
            "issuer": finding.certificate.issuer,
            "serial": f"{finding.certificate.serial:x}",
            "not_before": finding.certificate.not_before,
            "not_after": finding.certificate.not_after,
            "spiffe_id": finding.certificate.spiffe_id,
            "is_authority": finding.certificate.is_authority,
        }
    if standing is not None:
        shown["fleet"] = {
            "state": standing.state.value,
            "identity": standing.identity,
            "revoke": revocation(paired, name),
        }
    return shown


def _place(place: Place) -> dict[str, Any]:
    return {"where": list(place.path), "offset": place.offset, "form": place.form}


def scan_sarif(images: Sequence[ScannedImage]) -> str:
    """One run with a result for each finding."""
    rules = [
        {
            "id": f"firmware/{kind.value.replace(' ', '-')}",
            "shortDescription": {"text": _MEANINGS[kind]},
            "defaultConfiguration": {"level": _LEVELS.get(kind, "error")},
        }
        for kind in Kind
    ]
    run = {
        "tool": {"driver": {"name": "motte firmware scan", "version": __version__, "rules": rules}},
        "results": [
            _result(paired, image.report.name) for image in images for paired in image.findings
        ],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(paired: Paired, name: str) -> dict[str, Any]:
    finding = paired.finding
    state = f" It is {paired.standing.state.value} in this fleet." if paired.standing else ""
    fingerprint = finding.fingerprint or f"{finding.title} {finding.places[0].text}"
    return {
        "ruleId": f"firmware/{finding.kind.value.replace(' ', '-')}",
        "ruleIndex": list(Kind).index(finding.kind),
        "level": _LEVELS.get(finding.kind, "error"),
        "message": {"text": f"{finding.title} at {finding.places[0].text}.{state}"},
        "locations": [_location(finding, place, name) for place in finding.places[:1]],
        "partialFingerprints": {"finding/v1": f"{finding.kind.value}:{fingerprint}"},
    }


def _location(finding: Finding, place: Place, name: str) -> dict[str, Any]:
    region = {"byteOffset": place.offset} if len(place.path) == 1 else {"byteOffset": 0}
    return {
        "physicalLocation": {"artifactLocation": {"uri": name}, "region": region},
        "logicalLocations": [{"fullyQualifiedName": place.text, "kind": finding.kind.value}],
    }
