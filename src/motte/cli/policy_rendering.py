"""How a policy, its problems and its answers look on a terminal."""

from collections.abc import Iterable
from typing import Any, Final

from rich.text import Text

from motte.cli.render import console, say, table
from motte.plane.explaining import Explained
from motte.plane.publisher import Published
from motte.policy.diagnostics import Diagnostic, Severity, Source
from motte.policy.limits import LIMITS
from motte.policy.model import HIGHEST_QOS, Action, Denial, PublishGrant, Role, SubscribeGrant
from motte.text import printable

__all__ = [
    "explained_json",
    "role_json",
    "show_diagnostics",
    "show_explained",
    "show_published",
    "show_roles",
]

_STYLES: Final = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow"}
_REPORT: Final = {
    "subscriptions_pruned": "subscriptions pruned",
    "wills_dropped": "wills dropped",
    "messages_withheld": "queued messages withheld",
    "retained_withheld": "retained messages withheld",
}
"""Counts of the data plane's report, as people call them."""
SHOWN_NAMES: Final = 10
"""Disconnected clients named at most; the rest are counted."""


def show_diagnostics(source: Source, diagnostics: Iterable[Diagnostic]) -> None:
    """Every problem with its source line, to standard error."""
    output = console(error=True)
    for diagnostic in diagnostics:
        first, *middle, hint = source.render(diagnostic).split("\n")
        style = _STYLES[diagnostic.severity]
        output.print(Text(first, style=style))
        for line in middle:
            marks = set(line.partition("|")[2].strip()) == {"^"}
            output.print(Text(line, style=style if marks else "default"))
        output.print(Text(hint, style="cyan"))
        output.print()


def show_roles(roles: tuple[Role, ...]) -> None:
    """A table of what each role may do, in the words of the policy file.

    Topics stand below each other, so that they are whole on a terminal of 80 columns.
    """
    rows: list[tuple[str, str, str]] = []
    for role in roles:
        facts = {
            "who": [str(role.match)],
            "may publish": [_publish(grant) for grant in role.publish],
            "may subscribe": [*map(_subscribe, role.subscribe), *_wildcards(role)],
            "may share as": list(role.share),
            "never": [_denial(denial) for denial in role.deny],
            "limits": [", ".join(_limits(role))],
        }
        name = role.name
        for what, values in facts.items():
            for index, value in enumerate(values):
                rows.append((name, "" if index else what, value))
                name = ""
    table(("role", "", ""), rows)


def _publish(grant: PublishGrant) -> str:
    notes = [f"QoS {grant.qos} at most"] if grant.qos < HIGHEST_QOS else []
    notes += ["retained, too"] if grant.retain else []
    notes += [] if grant.will else ["not as a will"]
    return _with_notes(grant.topic.text, notes)


def _subscribe(grant: SubscribeGrant) -> str:
    notes = [f"QoS {grant.qos} at most"] if grant.qos < HIGHEST_QOS else []
    return _with_notes(grant.topic.text, notes)


def _denial(denial: Denial) -> str:
    only = [f"to {denial.actions[0]}"] if len(denial.actions) == 1 else []
    return _with_notes(denial.topic.text, only)


def _with_notes(topic: str, notes: list[str]) -> str:
    shown = printable(topic)
    return f"{shown} ({', '.join(notes)})" if notes else shown


def _wildcards(role: Role) -> tuple[str, ...]:
    if not any(grant.topic.has_wildcard for grant in role.subscribe):
        return ()
    return ("(with wildcards)",) if role.wildcards else ("(concrete topics only)",)


def _limits(role: Role) -> list[str]:
    stated = [
        f"{limit.key} {limit.shown(role.limits[limit.field])}"
        for limit in LIMITS.values()
        if limit.field in role.limits
    ]
    return stated or ["defaults"]


def role_json(role: Role) -> dict[str, Any]:
    """One role for programs."""
    return {
        "name": role.name,
        "line": role.place.line,
        "match": {
            "kind": role.match.kind.value,
            "id": role.match.id,
            "attributes": dict(role.match.attributes),
        },
        "publish": [
            {
                "topic": grant.topic.text,
                "qos": grant.qos,
                "retain": grant.retain,
                "will": grant.will,
                "line": grant.place.line,
            }
            for grant in role.publish
        ],
        "subscribe": [
            {"topic": grant.topic.text, "qos": grant.qos, "line": grant.place.line}
            for grant in role.subscribe
        ],
        "deny": [
            {
                "topic": denial.topic.text,
                "actions": [action.value for action in denial.actions],
                "line": denial.place.line,
            }
            for denial in role.deny
        ],
        "wildcards": role.wildcards,
        "share": list(role.share),
        "limits": dict(role.limits),
    }


def show_published(published: Published) -> None:
    """What applying a policy did, to connected clients above all."""
    number = published.generation
    if not published.changed:
        say(f"nothing to do: snapshot {number} already is this policy")
        return
    if not published.live:
        say(f"no data plane is running: snapshot {number} waits for its start, `motte up`")
        return
    say(f"in force now: snapshot {number}", style="green")
    report = published.report
    names = [printable(str(name)) for name in report.get("disconnected") or []]
    if names:
        more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
        say(f"  disconnected: {', '.join(names[:SHOWN_NAMES])}{more}")
    counts = [f"{words}: {report[key]}" for key, words in _REPORT.items() if report.get(key)]
    for line in counts:
        say(f"  {line}")
    if not names and not counts:
        say("  no connected client is affected")


def show_explained(explained: Explained, *, option: str) -> None:
    """The answer first, then why, then what to change."""
    explanation = explained.explanation
    answer, question = explanation.answer, explanation.question
    verdict = Text("allowed", "bold green") if answer.allowed else Text("refused", "bold red")
    say(Text.assemble(verdict, f"  {question}"))
    attributes = " ".join(f"{k}={v}" for k, v in sorted(question.asker.attributes.items()))
    facts = [
        ("identity", f"{question.asker.kind}/{question.asker.id} {attributes}".rstrip()),
        ("roles", ", ".join(answer.roles) or "none"),
        ("because", explanation.because),
    ]
    if answer.nearest and not answer.allowed:
        facts.append(("nearest", answer.nearest))
    if answer.counterexample and question.action is Action.SUBSCRIBE:
        facts.append(("example", f"`{printable(answer.counterexample)}` must not reach it"))
    for name, value in facts:
        say(Text.assemble((f"  {name:<9} ", "dim"), value))
    for index, line in enumerate(explanation.advice):
        say(Text.assemble(("  to change " if index == 0 else "            ", "cyan"), line))
    _show_in_force(explained, option)


def _show_in_force(explained: Explained, option: str) -> None:
    in_force = explained.in_force
    if in_force is None:
        say("  in force  nothing yet: every client is refused until a policy is applied",
            style="yellow")  # fmt: skip
    elif explained.differs:
        now = "allowed" if in_force.allowed else "refused"
        rule = f" by {in_force.rule}" if in_force.rule else ""
        say(
            f"  in force  still {now}{rule} (snapshot {in_force.generation}); "
            f"`motte {option}policy apply` puts policy.toml in force",
            style="yellow",
        )
    else:
        say(Text.assemble(("  in force  ", "dim"), f"the same (snapshot {in_force.generation})"))


def explained_json(explained: Explained) -> dict[str, Any]:
    """An explanation for programs."""
    in_force = explained.in_force
    return explained.explanation.as_json() | {
        "in_force": None
        if in_force is None
        else {
            "allowed": in_force.allowed,
            "cause": in_force.cause,
            "rule": in_force.rule,
            "generation": in_force.generation,
        },
        "differs_from_in_force": explained.differs,
    }
