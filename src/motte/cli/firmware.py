"""``motte firmware``: what a thief would find in a firmware image."""

import shlex
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motte.cli.invocation import DirectoryOption, Invocation, JsonOption, invocation
from motte.cli.policy_radius import SarifOption, say_written
from motte.deployment import DIRECTORY_VARIABLE
from motte.errors import ConfigError, ExitCode

if TYPE_CHECKING:
    from motte.firmware.fleet import DeploymentView
    from motte.firmware.report import ScannedImage

__all__ = ["app"]

app = typer.Typer(
    name="firmware", help="Find keys, certificates and passwords in firmware.", no_args_is_help=True
)


@app.callback()
def _group() -> None:
    """Find keys, certificates and passwords in firmware."""


@app.command("scan")
def scan(
    context: typer.Context,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="Images, dumps, archives.")
    ],
    fail_on_key: Annotated[
        bool,
        typer.Option(
            "--fail-on-key",
            help="Exit with 9 if a private key was found, or part of an image could not be read.",
        ),
    ] = False,
    sarif: SarifOption = None,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show the credentials in images, and whether they open this deployment; never the secrets."""
    run = invocation(context, directory, as_json)
    from motte.cli.firmware_rendering import show_image, show_summary
    from motte.cli.render import print_json
    from motte.files import write_text
    from motte.firmware.report import scan_json, scan_sarif

    scanned = []
    with ExitStack() as stack:
        fleet = _fleet(run, stack)
        for image in images:
            scanned.append(_scan(image, fleet))
            if not run.json:
                show_image(scanned[-1], _revoke_options(run))
    if sarif is not None:
        write_text(sarif, scan_sarif(scanned))
    if run.json:
        print_json(scan_json(scanned))
    else:
        show_summary(scanned, asked=fleet is not None)
        say_written(sarif)
    unsure = any(image.report.has_key or image.report.problems for image in scanned)
    return ExitCode.FOUND if fail_on_key and unsure else ExitCode.OK


def _scan(image: Path, fleet: "DeploymentView | None") -> "ScannedImage":
    from motte.cli.firmware_rendering import progress
    from motte.firmware import scan_file
    from motte.firmware.pairing import pair
    from motte.firmware.report import ScannedImage

    with progress(image) as advance:
        report = scan_file(image, advance)
    return ScannedImage(report, pair(report, fleet))


def _fleet(run: Invocation, stack: ExitStack) -> "DeploymentView | None":
    """The deployment to ask; none where there is none and nobody named one."""
    import os

    from motte.firmware.fleet import DeploymentView

    named = run.directory is not None or os.environ.get(DIRECTORY_VARIABLE)
    try:
        run.deployment()
    except ConfigError:
        if named:
            raise
        return None
    return DeploymentView(stack.enter_context(run.open()))


def _revoke_options(run: Invocation) -> str:
    """What a command that is copied from the output needs to reach the same deployment."""
    return f" -C {shlex.quote(str(run.directory))}" if run.directory is not None else ""
