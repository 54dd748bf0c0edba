"""The whole audit as one JSON document."""

from typing import Any

from motte.audit.model import Finding, Outcome, Question, Report

__all__ = ["report_json"]


def report_json(report: Report) -> dict[str, Any]:
    """Everything that is known, without secrets; findings with the worst first."""
    return {
        "target": report.target,
        "started": report.started.isoformat(),
        "broker": {"product": report.product, "version": report.version},
        "credentials": report.credentials,
        "grade": report.grade,
        "questions": [
            {
                "number": int(question),
                "question": question.text,
                "answer": report.answer_words(question),
                "outcome": report.answer(question),
            }
            for question in Question
        ],
        "counts": {
            outcome: sum(found.outcome is outcome for found in report.findings)
            for outcome in Outcome
        },
        "findings": [_finding(report, found) for found in report.ordered()],
    }


def _finding(report: Report, found: Finding) -> dict[str, Any]:
    check = found.check
    return {
        "id": check.id,
        "title": check.title,
        "outcome": found.outcome,
        "severity": found.severity,
        "question": check.question,
        "rows": check.rows,
        "result": found.result.text,
        "evidence": found.result.evidence,
        "why": check.why,
        "fix": dict(report.fixes(check)),
        "references": check.references,
    }
