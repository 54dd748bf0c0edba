"""``motte policy import``: the blast radius of somebody else's broker."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from motte.cli.invocation import JsonOption, invocation
from motte.cli.policy_radius import HtmlOption, SarifOption, say_written, write_reports
from motte.errors import ExitCode
from motte.policy.foreign.formats import Format

if TYPE_CHECKING:
    from motte.policy.foreign.translation import Remark, Translation

__all__ = ["import_rules"]

SHOWN_REMARKS: Final = 20
"""Remarks shown at most; `--json` has more."""


def import_rules(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The file with the rules of the broker.")],
    source: Annotated[
        Format | None,
        typer.Option("--from", help="What it is; else it is guessed.", show_default=False),
    ] = None,
    client_id_is_user_name: Annotated[
        bool,
        typer.Option(
            "--client-id-is-user-name",
            help="Mosquitto: `use_username_as_clientid true` is set.",
        ),
    ] = False,
    no_match_denies: Annotated[
        bool,
        typer.Option("--no-match-denies", help="EMQX: `authorization.no_match = deny` is set."),
    ] = False,
    html: HtmlOption = None,
    sarif: SarifOption = None,
    as_json: JsonOption = False,
) -> int:
    """Read the rules of another broker and prove its blast radius.

    Understands Mosquitto's ACL files and dynamic security, EMQX's acl.conf, policies of AWS IoT,
    and the files of HiveMQ's RBAC extension. Nothing is put in force.
    """
    run = invocation(context, None, as_json)
    from motte.cli.radius_rendering import show_summary
    from motte.cli.render import print_json, say
    from motte.policy.foreign.importing import Options, read_foreign
    from motte.policy.radius.analysis import analyse
    from motte.policy.radius.summary import summarise, summary_json

    options = Options(client_id_is_user_name, no_match_denies)
    translation = read_foreign(file, source, options)
    policy = translation.policy
    summary = summarise(analyse(policy), policy)
    write_reports(summary, None, file, html=html, sarif=sarif)
    if run.json:
        remarks = [_remark(remark) for remark in translation.remarks]
        print_json({"source": translation.source, "remarks": remarks} | summary_json(summary, None))
        return ExitCode.OK
    _show_remarks(translation)
    if not policy.roles:
        say(f"{file} has no rules: nobody may do anything")
        return ExitCode.OK
    show_summary(summary)
    say_written(html, sarif)
    return ExitCode.OK


def _remark(remark: "Remark") -> dict[str, object]:
    return {
        "line": remark.line,
        "severity": remark.severity.value,
        "what": remark.what,
        "hint": remark.hint,
    }


def _show_remarks(translation: "Translation") -> None:
    from rich.text import Text

    from motte.cli.render import console
    from motte.text import printable

    output = console(error=True)
    for remark in translation.remarks[:SHOWN_REMARKS]:
        where = f"{printable(translation.policy.file)}:{remark.line}"
        output.print(
            Text.assemble((f"{remark.severity.value}: ", "bold yellow"), f"{where}: {remark.what}")
        )
        output.print(Text(f"  = hint: {remark.hint}", style="cyan"))
    hidden = len(translation.remarks) - SHOWN_REMARKS + translation.hidden_remarks
    if hidden > 0:
        output.print(Text(f"… and {hidden} more remarks", style="dim"))
    if translation.remarks:
        output.print()
