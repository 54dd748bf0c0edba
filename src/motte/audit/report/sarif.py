"""What failed, as SARIF 2.1.0 for code scanning.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

import json
from typing import Any, Final

from motte import __version__
from motte.audit.model import Finding, Outcome, Report, Severity

__all__ = ["report_sarif"]

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
_KINDS: Final = {
    Outcome.FAIL: "fail",
    Outcome.PASS: "pass",
    Outcome.NOT_TESTED: "notApplicable",
}


def report_sarif(report: Report) -> str:
    """One run with a result for each check; those that did not fail say so in their kind."""
    ordered = report.ordered()
    run = {
        "tool": {
            "driver": {
                "name": "motte audit",
                "version": __version__,
                "rules": [_rule(report, found) for found in ordered],
            }
        },
        "results": [_result(report, index, found) for index, found in enumerate(ordered)],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(report: Report, found: Finding) -> dict[str, Any]:
    check = found.check
    fixes = report.fixes(check).items()
    return {
        "id": f"audit/{check.id}",
        "shortDescription": {"text": check.title},
        "fullDescription": {"text": check.why},
        "help": {"text": "\n".join(f"{product}: {text}" for product, text in fixes)},
        "defaultConfiguration": {"level": _LEVELS[check.severity]},
    }


def _result(report: Report, index: int, found: Finding) -> dict[str, Any]:
    is_failure = found.outcome is Outcome.FAIL
    place = f"{report.target}#{found.check.id}"
    return {
        "ruleId": f"audit/{found.check.id}",
        "ruleIndex": index,
        "kind": _KINDS[found.outcome],
        "level": _LEVELS[found.severity] if is_failure else "none",
        "message": {"text": found.result.text},
        "locations": [
            {
                # A code host shows a result at a file, and a broker is none.
                "physicalLocation": {
                    "artifactLocation": {"uri": "broker"},
                    "region": {"startLine": 1},
                },
                "logicalLocations": [{"fullyQualifiedName": place}],
            }
        ],
        "partialFingerprints": {"audit/v1": place},
    }
