"""``motte audit``: the four questions, asked of any MQTT broker from outside."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from motte.audit.model import AuditError, Product, Severity
from motte.audit.target import PLAIN_PORTS
from motte.cli.invocation import JsonOption, invocation
from motte.cli.policy_radius import HtmlOption, SarifOption, say_written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from motte.audit.model import Check, Report
    from motte.audit.target import Credential

__all__ = ["audit"]

CLEAN: Final = 0
"""Exit code: nothing at or above ``--fail-on`` was found."""
FOUND: Final = 1
"""Exit code: something was. That the audit could not run is 2, as for a wrong command line."""


def audit(  # noqa: PLR0913 (options of one command)
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="mqtts://HOST:PORT or mqtt://HOST.")],
    *,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="A bundle, to act as its device.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--cert", help="PEM file of a client certificate.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="PEM file with its key.")] = None,
    user: Annotated[str | None, typer.Option(help="User name of a credential.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File whose first line is its password.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(help="Client id of the credential; else the user or the CN.")
    ] = None,
    authority: Annotated[
        Path | None, typer.Option("--ca", help="PEM file that the broker's certificate needs.")
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option(help="Topic of one client, with {id} for its id; again for more."),
    ] = None,
    port: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            max=65535,
            help="Look for a listener without TLS here as well; again for more. "
            f"[default: {', '.join(map(str, PLAIN_PORTS))}]",
            show_default=False,
        ),
    ] = None,
    product: Annotated[
        Product | None, typer.Option("--broker", help="What it is, for advice that fits.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Checks to run; again for more.")
    ] = None,
    fail_on: Annotated[
        Severity, typer.Option(help="Exit with 1 if something at least this bad is found.")
    ] = Severity.HIGH,
    html: HtmlOption = None,
    sarif: SarifOption = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit XML for a CI system.")
    ] = None,
    i_own_this: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Needed for any broker that is not on this machine."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Ask any MQTT broker the four questions from outside, with evidence for each answer."""
    run = invocation(context, None, as_json)
    from motte.audit.probe import Probe
    from motte.audit.run import audit as ask
    from motte.audit.target import resolve
    from motte.cli.audit_rendering import progress, show_report
    from motte.cli.render import print_json

    credential = _credential(bundle, certificate, key, user, password_file, client_id)
    if bundle is not None and authority is None:
        authority = bundle / "authority.pem"
    target = resolve(
        url,
        i_own_this=i_own_this,
        authority=authority,
        plain_ports=tuple(port) if port else PLAIN_PORTS,
    )
    credentials = [credential] if credential else []
    probe = Probe(target, credentials, tuple(topic or ()))
    with progress() as advance:
        report = asyncio.run(
            ask(
                probe,
                product=product,
                progress=advance,
                checks=_chosen(only),
            )
        )
    _write(report, html, sarif, junit)
    if run.json:
        from motte.audit.report import report_json

        print_json(report_json(report))
    else:
        show_report(report)
        say_written(*(path for path in (html, sarif, junit) if path is not None))
    return FOUND if report.reaches(fail_on) else CLEAN


def _credential(
    bundle: Path | None,
    certificate: Path | None,
    key: Path | None,
    user: str | None,
    password_file: Path | None,
    client_id: str | None,
) -> "Credential | None":
    from motte.audit.target import Credential, common_name, read_password

    if bundle is not None:
        if certificate or key or user or password_file:
            raise AuditError("--bundle and another credential were given", hint="name one of them")
        certificate, key = bundle / "certificate.pem", bundle / "key.pem"
        client_id = client_id or bundle.resolve().name
    if certificate is None and user is None:
        if key or password_file or client_id:
            raise AuditError(
                "a key, a password or a client id alone is no credential",
                hint="add --cert or --user",
            )
        return None
    if certificate is not None and key is None:
        key = certificate
    password = read_password(password_file) if password_file is not None else None
    name = client_id or user or (common_name(certificate) if certificate is not None else "")
    return Credential(name, name, user, password, certificate, key)


def _chosen(only: "Sequence[str] | None") -> "Sequence[Check] | None":
    from motte.audit.checks import all_checks

    if not only:
        return None
    known = {check.id.lower(): check for check in all_checks()}
    for name in only:
        if name.lower() not in known:
            ids = ", ".join(check.id for check in known.values())
            raise AuditError(f"there is no check `{name}`", hint=f"one of: {ids}")
    return [known[name.lower()] for name in dict.fromkeys(only)]


def _write(report: "Report", html: Path | None, sarif: Path | None, junit: Path | None) -> None:
    from motte.audit.report import report_html, report_junit, report_sarif
    from motte.files import write_text

    for path, make in ((html, report_html), (sarif, report_sarif), (junit, report_junit)):
        if path is not None:
            write_text(path, make(report))
