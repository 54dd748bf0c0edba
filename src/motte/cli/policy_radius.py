"""``motte policy radius`` and ``diff``: what one stolen device reaches, and what changes it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motte.cli.invocation import DirectoryOption, JsonOption, invocation
from motte.errors import ExitCode

if TYPE_CHECKING:
    from motte.policy.radius.analysis import Numbers
    from motte.policy.radius.compare import Change
    from motte.policy.radius.summary import Summary

__all__ = ["HtmlOption", "SarifOption", "diff", "radius", "say_written", "write_reports"]

HtmlOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write a report with a picture.")
]
SarifOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write SARIF 2.1.0 for code scanning.")
]

RADIUS_GREW = 3
"""Exit code of ``diff`` when somebody can do more to others than before. The code of a wrong
``motte.toml`` elsewhere; this command reads none."""


def radius(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help="The policy file; else the deployment's.", show_default=False),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option("--as", metavar="ID", help="Of one identity: an id, or service/ID."),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            "-a",
            metavar="KEY=VALUE",
            help="An attribute of it, where it is not enrolled; repeatable.",
        ),
    ] = None,
    html: HtmlOption = None,
    sarif: SarifOption = None,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> int:
    """Prove how many others one compromised device reaches, whoever is enrolled."""
    run = invocation(context, directory, as_json)
    from motte.cli.attributes import parse_attributes
    from motte.cli.radius_rendering import show_numbers, show_summary
    from motte.cli.render import print_json
    from motte.plane.radius import numbers_here, subject_here
    from motte.policy.language import load
    from motte.policy.radius.analysis import analyse
    from motte.policy.radius.summary import summarise, summary_json

    path = file if file is not None else run.deployment().policy_file
    policy = load(path).policy
    subject = None
    if identity is not None:
        deployment = None if file is not None else run.deployment()
        subject = subject_here(deployment, identity, parse_attributes(attribute or []))
    analysis = analyse(policy, subject)
    summary = summarise(analysis, policy, only_last=subject is not None)
    numbers = None
    if file is None and subject is None:
        numbers = numbers_here(run.deployment(), analysis)
    write_reports(summary, numbers, path, html=html, sarif=sarif)
    if run.json:
        print_json(summary_json(summary, numbers))
        return ExitCode.OK
    show_summary(summary)
    if numbers is not None and numbers.identities:
        show_numbers(numbers)
    say_written(html, sarif)
    return ExitCode.OK


def write_reports(
    summary: "Summary",
    numbers: "Numbers | None",
    path: Path,
    *,
    html: Path | None,
    sarif: Path | None,
) -> None:
    """Writes the reports that were asked for; ``path`` is the file with the rules."""
    from motte.files import write_text
    from motte.policy.radius.html import report_html
    from motte.policy.radius.sarif import sarif_json

    if html is not None:
        write_text(html, report_html(summary, numbers))
    if sarif is not None:
        write_text(sarif, sarif_json(summary, path))


def say_written(*targets: Path | None) -> None:
    """Says which files were written."""
    from motte.cli.render import say

    for target in targets:
        if target is not None:
            say(f"written: {target}")


def diff(
    context: typer.Context,
    old: Annotated[Path, typer.Argument(help="The policy as it was.")],
    new: Annotated[Path, typer.Argument(help="The policy as it is to be.")],
    as_json: JsonOption = False,
) -> int:
    """Show what a change makes possible and impossible; exit code 3 if the radius grows."""
    run = invocation(context, None, as_json)
    from motte.cli.radius_rendering import show_difference
    from motte.cli.render import print_json
    from motte.policy.language import load
    from motte.policy.radius.compare import compare

    difference = compare(load(old).policy, load(new).policy)
    if run.json:
        print_json(
            {
                "grew": difference.grew,
                "possible": [_change(change) for change in difference.possible],
                "impossible": [_change(change) for change in difference.impossible],
            }
        )
    else:
        show_difference(difference)
    return RADIUS_GREW if difference.grew else ExitCode.OK


def _change(change: "Change") -> dict[str, object]:
    return {
        "what": change.what,
        "radius": change.is_radius,
        "witness": list(change.witness),
    }
