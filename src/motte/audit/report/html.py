"""The report for a browser: the answers first, then each check with its evidence.

One file that loads nothing and runs nothing. A broker's answers are foreign text: everything is
escaped, and the page forbids itself scripts and connections.
"""

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from importlib.resources import files

from motte import __version__
from motte.audit.model import Finding, Outcome, Question, Report

__all__ = ["report_html"]


def report_html(report: Report) -> str:
    """The whole page."""
    style = files("motte.audit.report").joinpath("report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = escape(f"Audit of {report.target}")
    broker = report.version or report.product or "unknown product"
    about = f"{report.started:%Y-%m-%d %H:%M} UTC · {escape(broker)}"
    grade = f"<b class='grade g{report.grade or 'none'}'>{report.grade or 'no grade'}</b>"
    closing = "What was not tested is not safe; it is unknown."
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(rules)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{style}</style></head><body>",
        f"<header><h1>{title}</h1>{grade}</header>",
        f"<p class='soft'>{about} · credentials used: {report.credentials}</p>",
        *_answers(report),
        *_section(report, Outcome.FAIL, "What failed"),
        *_section(report, Outcome.NOT_TESTED, "What could not be tested"),
        *_section(report, Outcome.PASS, "What passed"),
        f"<p class='soft'>Made by motte {escape(__version__)}. {closing}</p></body></html>",
    )
    return "\n".join(page) + "\n"


def _answers(report: Report) -> Iterator[str]:
    yield "<div class='answers'>"
    for question in Question:
        kind = report.answer(question).replace(" ", "-")
        yield (
            f"<div class='answer {kind}'><span>{int(question)}. {escape(question.text)}</span>"
            f"<b>{report.answer_words(question)}</b></div>"
        )
    yield "</div>"


def _section(report: Report, outcome: Outcome, title: str) -> Iterator[str]:
    found = [each for each in report.ordered() if each.outcome is outcome]
    if found:
        yield f"<h2>{title} ({len(found)})</h2>"
        for each in found:
            yield from _finding(report, each)


def _finding(report: Report, found: Finding) -> Iterator[str]:
    check, is_failure = found.check, found.outcome is Outcome.FAIL
    word = found.severity.value if is_failure else found.outcome.value
    yield f"<details{' open' if is_failure else ''}><summary>"
    yield f"<b class='tag {word.replace(' ', '-')}'>{word}</b> {check.id} {escape(check.title)}"
    yield f"</summary><p><b>{escape(found.result.text)}</b></p><p>{escape(check.why)}</p>"
    if is_failure:
        yield "<ul>"
        for product, text in report.fixes(check).items():
            yield f"<li><b>{product}</b>: {escape(text)}</li>"
        yield "</ul>"
    if found.result.evidence:
        yield f"<pre>{escape(chr(10).join(found.result.evidence))}</pre>"
    references = " · ".join((*check.references, f"rows {', '.join(check.rows)}"))
    yield f"<p class='soft'>{escape(references)}</p></details>"
