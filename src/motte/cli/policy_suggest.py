"""``motte policy suggest``: a policy that grants no more than what was used."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from motte.cli.invocation import DirectoryOption, JsonOption, invocation
from motte.errors import ExitCode

if TYPE_CHECKING:
    from motte.plane.suggesting import Suggestion
    from motte.policy.suggest.proposal import Change

__all__ = ["suggest"]

ENOUGH: Final = timedelta(days=7)
"""Watched for less than this, what happens once a week may not have been seen."""
SHOWN_CHANGES: Final = 60
"""Changes shown at most; `--json` has all."""


def suggest(
    context: typer.Context,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="TIME", help="Only what was used in the last 30d, 12h, …"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write the proposed policy.")
    ] = None,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> int:
    """Propose the least privilege that the traffic in the evidence log needs.

    Never grants more than policy.toml does, and changes nothing: what is proposed is for you to
    read, to try with policy diff, and to apply.
    """
    run = invocation(context, directory, as_json)
    from motte.cli.render import print_json
    from motte.files import write_text
    from motte.plane.suggesting import suggest_here

    span = None if within is None else _span(within)
    with run.open() as plane:
        found = suggest_here(plane, within=span)
        policy_file = plane.deployment.policy_file
    if output is not None:
        write_text(output, _heading(found) + found.proposal.text)
    if run.json:
        print_json(_json(found))
    else:
        _show(found, policy_file, output)
    return ExitCode.OK


def _span(text: str) -> timedelta:
    from motte.policy import quantities
    from motte.policy.quantities import QuantityError

    try:
        return timedelta(seconds=quantities.duration(text))
    except QuantityError as error:
        raise typer.BadParameter(f"{error.message}: {error.hint}", param_hint="--within") from error


def _heading(found: "Suggestion") -> str:
    from motte.cli.render import age

    return (
        f"# Proposed from what was used in {age(found.watched.total_seconds())}. "
        "Comments of the old file are not in it.\n\n"
    )


def _json(found: "Suggestion") -> dict[str, object]:
    return {
        "watched_seconds": int(found.watched.total_seconds()),
        "changes": [
            {
                "role": change.role,
                "change": change.kind.value,
                "what": change.what,
                "old": change.old,
                "new": list(change.new),
                "line": change.line,
            }
            for change in found.proposal.changes
        ],
        "unused_roles": list(found.proposal.unused),
        "impossible": [change.what for change in found.difference.impossible],
        "policy": found.proposal.text,
    }


def _show(found: "Suggestion", policy_file: Path, output: Path | None) -> None:
    from motte.cli.radius_rendering import show_difference
    from motte.cli.render import age, say, warn
    from motte.policy.radius.compare import Difference

    proposal = found.proposal
    if found.watched < ENOUGH:
        warn(
            f"the log tells of {age(found.watched.total_seconds())} only: what happens more rarely "
            "was not seen, and would be taken away"
        )
    for name in proposal.unused:
        say(f"role {name} was not used at all: it stays as it is", style="dim")
    if not proposal.changes:
        say("everything that is granted is used: there is nothing to propose", style="green")
        return
    say(f"{policy_file} grants more than was used:")
    role = None
    for change in proposal.changes[:SHOWN_CHANGES]:
        if change.role != role:
            role = change.role
            say()
            say(f"role {role}", style="bold")
        _show_change(change)
    hidden = len(proposal.changes) - SHOWN_CHANGES
    if hidden > 0:
        say(f"  … and {hidden} more; `--json` has all", style="dim")
    say()
    leaks = tuple(change for change in found.difference.impossible if change.is_radius)
    show_difference(Difference(found.difference.possible, leaks))
    say()
    if output is None:
        say("write it with --output FILE; nothing has been changed", style="dim")
    else:
        say(f"written: {output}; nothing has been applied")
        say(f"compare it: motte policy diff {policy_file} {output}", style="dim")


def _show_change(change: "Change") -> None:
    from rich.text import Text

    from motte.cli.render import say
    from motte.policy.suggest.proposal import ChangeKind
    from motte.text import printable

    old = printable(change.old)
    new = ", ".join(printable(one) for one in change.new)
    text, style = {
        ChangeKind.REMOVE: (f"- {change.what} {old}  never used", "red"),
        ChangeKind.NARROW: (f"~ {change.what} {old}  only {new}", "yellow"),
        ChangeKind.LOWER: (f"~ {change.what} {old}  {new}", "yellow"),
    }[change.kind]
    say(Text.assemble(("  " + text, style), (f"  line {change.line}", "dim")))
