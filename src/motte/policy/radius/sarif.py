"""The leaks as SARIF 2.1.0, which code hosts show at the lines of the policy.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

from motte import __version__
from motte.policy.radius.analysis import Hop, Question, Scope
from motte.policy.radius.summary import Leak, Summary

__all__ = ["sarif_json"]

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS: Final = {Scope.EVERYONE: "error", Scope.CLASS: "warning", Scope.NAMED: "note"}
_RULE: Final = re.compile(r"(?P<file>.*):(?P<line>[0-9]+) role\.")
_MEANINGS: Final = {
    Question.OBSERVE: "A device can read what other devices publish.",
    Question.INFLUENCE: "A device can send messages to other devices.",
    Question.RETAINED: "A device can leave retained messages for other devices.",
    Question.WILL: "A device can leave a will for other devices.",
    Question.IMPERSONATE: "A device can publish where other devices publish.",
    Question.REACH: "A device can reach other devices through services.",
}


def sarif_json(summary: Summary, path: Path) -> str:
    """One run with a result for each leak; ``path`` is what the results call the policy file."""
    run = {
        "tool": {
            "driver": {
                "name": "motte policy radius",
                "version": __version__,
                "rules": [
                    {
                        "id": f"radius/{question.value}",
                        "shortDescription": {"text": _MEANINGS[question]},
                        "defaultConfiguration": {"level": "warning"},
                    }
                    for question in Question
                ],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(leak, path) for leak in summary.leaks],
        "properties": {"leaks": summary.leak_count},
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(leak: Leak, path: Path) -> dict[str, Any]:
    finding = leak.finding
    first, last = finding.hops[0], finding.hops[-1]
    steps = "; ".join(f"{hop.subject} to {hop.object} on {hop.topic}" for hop in finding.hops)
    text = f"{leak.subject.name} {leak.question.verb} {leak.object.name}: {finding.condition}"
    return {
        "ruleId": f"radius/{leak.question.value}",
        "ruleIndex": list(Question).index(leak.question),
        "level": _LEVELS[finding.scope],
        "message": {"text": f"{text}. Witness: {steps}."},
        "locations": [_location(first, "subject", path)],
        "relatedLocations": [
            {**_location(last, "object", path), "message": {"text": "the other grant"}}
        ],
        "partialFingerprints": {
            "leak/v1": f"{leak.question.value}:{leak.subject.name}:{leak.object.name}"
        },
    }


def _location(hop: Hop, side: str, path: Path) -> dict[str, Any]:
    rule = hop.subject_rule if side == "subject" else hop.object_rule
    found = _RULE.match(rule)
    region = {"startLine": int(found["line"])} if found else {"startLine": 1}
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": path.as_posix()},
            "region": region,
        },
        "logicalLocations": [{"fullyQualifiedName": rule}],
    }
