"""How the blast radius looks on a terminal: the answer first, then who, then why."""

from typing import Final

from rich.text import Text

from motte.cli.render import say, table
from motte.policy.radius.analysis import PRIMARY, Finding, Numbers, Question, Scope
from motte.policy.radius.compare import Difference
from motte.policy.radius.summary import Leak, Summary, consumption
from motte.text import printable

__all__ = ["show_difference", "show_numbers", "show_summary"]

_STYLES: Final = {
    Scope.ISOLATED: "green",
    Scope.NAMED: "yellow",
    Scope.CLASS: "yellow",
    Scope.EVERYONE: "bold red",
}
_WORDS: Final = {
    Scope.ISOLATED: "nobody",
    Scope.NAMED: "by name only",
    Scope.CLASS: "a class",
    Scope.EVERYONE: "everyone",
}
_COLUMNS: Final = {
    Question.OBSERVE: "reads",
    Question.INFLUENCE: "sends to",
    Question.IMPERSONATE: "passes for",
    Question.REACH: "by services",
}
_QUESTIONS: Final = {
    Question.OBSERVE: "read other devices",
    Question.INFLUENCE: "send to other devices",
    Question.IMPERSONATE: "pass for other devices",
    Question.REACH: "reach devices through services",
}
SHOWN_LEAKS: Final = 12
"""Leaks explained at most; the rest are counted. `--json` and `--html` have more."""
SHOWN_ROLES: Final = 40
"""Roles in the table at most; the widest come first."""


def show_summary(summary: Summary) -> None:
    """What one stolen device reaches, each role, and the witnesses."""
    who = "one device" if len(summary.subjects) != 1 else printable(summary.subjects[0].role.name)
    say(f"{printable(summary.file)}: if {who} is stolen, its holder can …")
    for question in PRIMARY:
        scope = summary.widest(question)
        leak = summary.first(question)
        words = _WORDS[scope] if leak is None else printable(leak.finding.condition)
        line = Text.assemble(f"  {_QUESTIONS[question]:<31} ", (words, _STYLES[scope]))
        if leak is not None:
            line.append(f"   {_pair(leak)}", style="dim")
        say(line)
    say()
    _show_roles(summary)
    _show_consumption(summary)
    if summary.leaks:
        say()
        for leak in summary.leaks[:SHOWN_LEAKS]:
            _show_leak(leak)
        hidden = summary.leak_count - min(len(summary.leaks), SHOWN_LEAKS)
        if hidden:
            say(f"… and {hidden} more; --html draws them, --json lists them", style="dim")


def _show_roles(summary: Summary) -> None:
    def width(scopes: list[Scope]) -> int:
        return sum(scope.width for scope in scopes)

    roles = sorted(
        {one.role: one for one in (*summary.subjects, *summary.roles)}.values(),
        key=lambda role: -width([role.to_devices[question] for question in PRIMARY]),
    )
    rows = [
        (
            printable(role.role.name),
            role.role.kind.value,
            *(_cell(role.to_devices[question]) for question in PRIMARY),
        )
        for role in roles[:SHOWN_ROLES]
    ]
    table(("role", "", *(f"{_COLUMNS[question]}" for question in PRIMARY)), rows)
    if len(roles) > SHOWN_ROLES:
        say(f"… and {len(roles) - SHOWN_ROLES} more roles", style="dim")
    say("(towards devices; a service that reads devices does its work)", style="dim")


def _show_consumption(summary: Summary) -> None:
    """What one identity can take from the others without breaking a rule."""
    rows = consumption(summary)
    if not rows:
        return
    say()
    table(
        ("one of it may use", "messages", "payload", "retained", "waiting", "connections"),
        [tuple(map(printable, row)) for row in rows[:SHOWN_ROLES]],
    )
    if len(rows) > SHOWN_ROLES:
        say(f"… and {len(rows) - SHOWN_ROLES} more roles", style="dim")


def _cell(scope: Scope) -> Text:
    return Text(_WORDS[scope], _STYLES[scope])


def _pair(leak: Leak) -> str:
    subject, other = printable(leak.subject.name), printable(leak.object.name)
    return f"{subject} → {other}"


def _show_leak(leak: Leak) -> None:
    finding = leak.finding
    subject, other = printable(leak.subject.name), printable(leak.object.name)
    say(
        Text.assemble(
            (subject, "bold"),
            f" {leak.question.verb} ",
            (other, "bold"),
            ": ",
            (printable(finding.condition), _STYLES[finding.scope]),
        )
    )
    _show_witness(finding)


def _show_witness(finding: Finding) -> None:
    for hop in finding.hops:
        say(f"  {hop.subject} → {hop.object}  on  {printable(hop.topic)}")
        say(f"    {printable(hop.subject_rule)}", style="dim")
        say(f"    {printable(hop.object_rule)}", style="dim")


def show_numbers(numbers: Numbers) -> None:
    """The radius of the fleet that is enrolled."""
    say()
    say(f"in this fleet of {numbers.identities} identities, one of them can …")
    for question in PRIMARY:
        highest, median = numbers.highest(question), numbers.median(question)
        line = Text.assemble(
            f"  {_QUESTIONS[question].replace('devices', 'identities'):<34}",
            (f"{highest} at most", "red" if highest else "green"),
            f", {median} in the median",
        )
        who = numbers.widest.get(question)
        if who is not None and highest:
            line.append(f"   {who}", style="dim")
        say(line)
    for who in numbers.collisions:
        say(f"  {who} is named like a level of a topic", style="yellow")


def show_difference(difference: Difference) -> None:
    """What became possible and what became impossible."""
    for title, changes, style in (
        ("became possible", difference.possible, "red"),
        ("became impossible", difference.impossible, "green"),
    ):
        if not changes:
            continue
        say(f"{title}:", style=f"bold {style}")
        for change in changes[:SHOWN_LEAKS]:
            say(Text.assemble((f"  {printable(change.what)}", style)))
            for line in change.witness:
                say(f"    {printable(line)}", style="dim")
        hidden = len(changes) - SHOWN_LEAKS
        if hidden > 0:
            say(f"  … and {hidden} more", style="dim")
    if not (difference.possible or difference.impossible):
        say("nothing became possible or impossible", style="green")
    elif difference.grew:
        say("the blast radius grew", style="bold red")
    else:
        say("the blast radius did not grow", style="green")
