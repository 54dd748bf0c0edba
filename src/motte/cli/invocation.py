"""What every command shares: where the deployment is and whether a program reads the output."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motte.deployment import Deployment, find

if TYPE_CHECKING:
    from motte.plane.context import ControlPlane

__all__ = ["DirectoryOption", "Invocation", "JsonOption", "invocation"]

DirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        "-C",
        help="The deployment folder; else $MOTTE_DIRECTORY, the current folder or ./deployment.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@dataclass(slots=True)
class Invocation:
    """One call of the ``motte`` command."""

    directory: Path | None = None
    json: bool = False

    def deployment(self) -> Deployment:
        """The deployment that the command is about."""
        return find(self.directory)

    def open(self) -> "ControlPlane":
        """The deployment, opened; to be used in a ``with`` block."""
        from motte.plane.context import ControlPlane

        return ControlPlane(self.deployment())


def invocation(context: typer.Context, directory: Path | None, json: bool) -> Invocation:
    """The invocation with this command's own options filled in."""
    found = context.find_root().obj
    if not isinstance(found, Invocation):
        found = context.find_root().obj = Invocation()
    found.directory = directory or found.directory
    found.json = json or found.json
    return found
