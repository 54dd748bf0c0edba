"""The audit as JUnit XML, which every CI system shows: one test case for each check."""

from io import BytesIO
from xml.etree.ElementTree import Element, ElementTree, SubElement  # writes, never reads

from motte.audit.model import Finding, Outcome, Report

__all__ = ["report_junit"]


def report_junit(report: Report) -> str:
    """A test suite; what could not be tested is skipped, with the reason."""
    outcomes = [found.outcome for found in report.findings]
    suite = Element(
        "testsuite",
        name=f"motte audit {report.target}",
        tests=str(len(outcomes)),
        failures=str(outcomes.count(Outcome.FAIL)),
        skipped=str(outcomes.count(Outcome.NOT_TESTED)),
        errors="0",
        timestamp=f"{report.started:%Y-%m-%dT%H:%M:%S}",
    )
    for found in report.ordered():
        _case(suite, report, found)
    out = BytesIO()
    ElementTree(suite).write(out, encoding="utf-8", xml_declaration=True)
    return out.getvalue().decode() + "\n"


def _case(suite: Element, report: Report, found: Finding) -> None:
    name = f"{found.check.id} {found.check.title}"
    case = SubElement(suite, "testcase", classname="motte.audit", name=name)
    if found.outcome is Outcome.NOT_TESTED:
        SubElement(case, "skipped", message=found.result.text)
    if found.outcome is Outcome.FAIL:
        failure = SubElement(case, "failure", message=found.result.text, type=found.severity.value)
        fixes = (f"{product}: {fix}" for product, fix in report.fixes(found.check).items())
        failure.text = "\n".join((found.check.why, *fixes, *found.result.evidence))
