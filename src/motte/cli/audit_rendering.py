"""How an audit looks on a terminal: the four answers and the grade, then what failed."""

import contextlib
from collections.abc import Iterator
from typing import Final

from rich.text import Text

from motte.audit.model import Check, Finding, Outcome, Question, Report, Severity
from motte.audit.run import Progress
from motte.cli.render import console, say
from motte.text import printable

__all__ = ["progress", "show_report"]

SHOWN_EVIDENCE: Final = 12
"""Lines of evidence shown for one finding at most, the last ones; reports have all."""
_STYLES: Final = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "yellow",
}
_OUTCOMES: Final = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.NOT_TESTED: "yellow"}


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Says on standard error what is being asked, if somebody is looking."""
    shown = console(error=True)
    if not shown.is_terminal:
        yield lambda _check, _finding: None
        return
    with shown.status("connecting") as status:

        def advance(check: Check, finding: Finding | None) -> None:
            if finding is None:
                status.update(f"{check.id} {check.title}")
                return
            line = Text(f"  {check.id:<8} ", "dim")
            line.append(f"{finding.outcome:<10} ", _OUTCOMES[finding.outcome])
            shown.print(line.append(check.title))

        yield advance


def show_report(report: Report) -> None:
    """The whole report, what matters most first."""
    broker = report.version or report.product
    say(Text(f"{report.target}{f': {printable(broker)}' if broker else ''}", "bold"))
    say()
    for question in Question:
        outcome = report.answer(question)
        line = Text(f"  {int(question)}  {question.text:<72} ")
        say(line.append(report.answer_words(question), _OUTCOMES[outcome]))
    say()
    grade = report.grade or "none, because nothing failed and not every question has an answer"
    say(Text.assemble("  grade  ", (grade, "green" if report.grade == "A" else "bold")))
    say()
    for found in report.failures():
        _show_failure(report, found)
    _show_rest(report, Outcome.NOT_TESTED)
    _show_rest(report, Outcome.PASS)


def _show_failure(report: Report, found: Finding) -> None:
    check = found.check
    head = Text(f"{found.severity.upper()} ", _STYLES[found.severity])
    say(head.append(f"{check.id} {printable(found.result.text)}", "bold"))
    say(f"  {check.why}")
    for product, text in report.fixes(check).items():
        say(Text.assemble("  fix   ", (f"{product}: ", "bold"), text))
    evidence = found.result.evidence
    if len(evidence) > SHOWN_EVIDENCE:
        say(f"  … {len(evidence) - SHOWN_EVIDENCE} lines before; --json has them", style="dim")
    for line in evidence[-SHOWN_EVIDENCE:]:
        say(f"  {printable(line)}", style="dim")
    say(f"  see   {'; '.join(check.references)}", style="dim")
    say()


def _show_rest(report: Report, outcome: Outcome) -> None:
    found = [each for each in report.ordered() if each.outcome is outcome]
    for each in found:
        line = Text(f"{outcome:<10} ", _OUTCOMES[outcome])
        line.append(f" {each.check.id:<8} {each.check.title}")
        say(line.append(f": {printable(each.result.text)}", "dim"))
    if found:
        say()
