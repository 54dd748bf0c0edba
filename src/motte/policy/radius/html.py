"""The report that a browser shows: the answers, the picture, the witnesses, the fleet.

One file that loads nothing and runs nothing. Names and topics come from a policy that somebody may
have sent; everything is escaped, and the page forbids itself scripts and connections.
"""

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Final

from motte import __version__
from motte.policy.radius.analysis import PRIMARY, Numbers, Question, Scope
from motte.policy.radius.picture import picture_svg
from motte.policy.radius.summary import Leak, Summary, consumption

__all__ = ["report_html"]

SHOWN_LEAKS: Final = 200
"""Leaks in the table at most, the widest first."""
SHOWN_ROLES: Final = 500
"""Roles in the table at most."""

LEGEND: Final = (
    "Red and amber lines join devices that should not reach each other; grey lines are what "
    "devices and services do for each other. Dashed: through services. A box with “+ n” stands for "
    "roles that are alike."
)
PROOF: Final = "Proved from the policy for every identity that could be enrolled, not sampled."

_QUESTIONS: Final = {
    Question.OBSERVE: "read other devices",
    Question.INFLUENCE: "send to other devices",
    Question.IMPERSONATE: "pass for other devices",
    Question.REACH: "reach devices through services",
}
_WORDS: Final = {
    Scope.ISOLATED: "nobody",
    Scope.NAMED: "by name only",
    Scope.CLASS: "a class",
    Scope.EVERYONE: "everyone",
}


def report_html(summary: Summary, numbers: Numbers | None) -> str:
    """The whole page."""
    style = files("motte.policy.radius").joinpath("report.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    title = f"Blast radius of {summary.file}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(rules)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">If {_who(summary)} is stolen, its holder can …</p>',
        *_answers(summary),
        "<h2>Who reaches whom</h2>",
        f'<p class="soft">{LEGEND}</p>',
        picture_svg(summary),
        *_leaks(summary),
        *_roles(summary),
        *_consumption(summary),
        *(_fleet(numbers) if numbers is not None and numbers.identities else ()),
        f'<p class="soft">Made by motte {escape(__version__)}. {PROOF}</p>',
        "</body></html>",
    ]
    return "\n".join(parts) + "\n"


def _who(summary: Summary) -> str:
    if len(summary.subjects) == 1:
        return f"<b>{escape(summary.subjects[0].role.name)}</b>"
    return "one device"


def _answers(summary: Summary) -> Iterator[str]:
    yield '<div class="answers">'
    for question in PRIMARY:
        scope = summary.widest(question)
        leak = summary.first(question)
        words = _WORDS[scope] if leak is None else leak.finding.condition
        detail = "" if leak is None else f"{leak.subject.name} → {leak.object.name}"
        yield (
            f'<div class="answer {scope.value}"><span>{_QUESTIONS[question]}</span>'
            f'<b>{escape(words)}</b><span class="soft">{escape(detail)}</span></div>'
        )
    yield "</div>"


def _leaks(summary: Summary) -> Iterator[str]:
    if not summary.leaks:
        yield "<h2>Leaks</h2><p>None: every device is isolated from every other one.</p>"
        return
    yield f"<h2>Leaks ({summary.leak_count})</h2>"
    yield "<table><thead><tr><th>what</th><th>for whom</th><th>witness</th></tr></thead><tbody>"
    for leak in summary.leaks[:SHOWN_LEAKS]:
        yield _leak(leak)
    yield "</tbody></table>"
    if summary.leak_count > SHOWN_LEAKS:
        yield f'<p class="soft">… and {summary.leak_count - SHOWN_LEAKS} more</p>'


def _leak(leak: Leak) -> str:
    finding = leak.finding
    steps = "".join(
        f"<p>{escape(str(hop.subject))} → {escape(str(hop.object))} on "
        f"<code>{escape(hop.topic)}</code></p>"
        f'<p class="steps"><code>{escape(hop.subject_rule)}</code></p>'
        f'<p class="steps"><code>{escape(hop.object_rule)}</code></p>'
        for hop in finding.hops
    )
    what = f"{leak.subject.name} {leak.question.verb} {leak.object.name}"
    return (
        f'<tr><td>{escape(what)}</td><td class="{finding.scope.value}">'
        f"{escape(finding.condition)}</td><td>{steps}</td></tr>"
    )


def _roles(summary: Summary) -> Iterator[str]:
    yield "<h2>Roles, towards devices</h2><table><thead><tr><th>role</th><th>kind</th>"
    yield "".join(f"<th>{question.value}</th>" for question in Question) + "</tr></thead><tbody>"
    for role in summary.roles[:SHOWN_ROLES]:
        cells = "".join(
            f'<td class="{role.to_devices[question].value if role.role.kind == "device" else ""}">'
            f"{_WORDS[role.to_devices[question]]}</td>"
            for question in Question
        )
        yield f"<tr><td>{escape(role.role.name)}</td><td>{role.role.kind.value}</td>{cells}</tr>"
    yield "</tbody></table>"
    if len(summary.roles) > SHOWN_ROLES:
        yield f'<p class="soft">… and {len(summary.roles) - SHOWN_ROLES} more</p>'


def _consumption(summary: Summary) -> Iterator[str]:
    rows = consumption(summary)
    if not rows:
        return
    yield "<h2>What one identity may use</h2><table><thead><tr><th>role</th><th>messages</th>"
    yield "<th>payload</th><th>retained</th><th>waiting</th><th>connections</th>"
    yield "</tr></thead><tbody>"
    for row in rows[:SHOWN_ROLES]:
        yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</tbody></table>"
    if len(rows) > SHOWN_ROLES:
        yield f'<p class="soft">… and {len(rows) - SHOWN_ROLES} more</p>'


def _fleet(numbers: Numbers) -> Iterator[str]:
    yield f"<h2>In this fleet of {numbers.identities} identities</h2><table><thead><tr>"
    yield "<th>one identity can …</th><th>at most</th><th>median</th><th>the widest</th>"
    yield "</tr></thead><tbody>"
    for question in PRIMARY:
        who = numbers.widest.get(question)
        name = str(who) if who is not None and numbers.highest(question) else ""
        words = _QUESTIONS[question].replace("devices", "identities")
        yield (
            f"<tr><td>{words}</td><td>{numbers.highest(question)}</td>"
            f"<td>{numbers.median(question)}</td><td>{escape(name)}</td></tr>"
        )
    yield "</tbody></table>"
    for who in numbers.collisions:
        yield f"<p>{escape(str(who))} is named like a level of a topic.</p>"
