"""``motte store``: what the broker keeps on disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from motte.cli.invocation import DirectoryOption, JsonOption, invocation
from motte.errors import ConfigError, ExitCode, StoreError

if TYPE_CHECKING:
    from motte.plane.storage import Contents

__all__ = ["app"]

app = typer.Typer(
    name="store",
    help="Look after what the broker keeps: sessions, queues, retained messages, wills.",
    no_args_is_help=True,
)


@app.command("check")
def check(
    context: typer.Context, directory: DirectoryOption = None, as_json: JsonOption = False
) -> None:
    """Read every row of the store and say what is in it and what is wrong with it."""
    from motte.cli.render import print_json, say
    from motte.plane import storage

    run = invocation(context, directory, as_json)
    found = storage.check(run.deployment())
    if run.json:
        print_json(found.raw)
        raise typer.Exit(ExitCode.STORE if found.problems else ExitCode.OK)
    _show(found)
    if not found.problems:
        say("nothing is wrong with it", style="green")
        return
    for problem in found.problems:
        say(f"  {problem}", style="red")
    raise StoreError(
        f"{found.path} is damaged",
        hint="stop the data plane, then `motte store restore` saves what can be read, or "
        "`motte store restore --from FILE` takes a backup; the damaged file is kept",
    )


@app.command("backup")
def backup(
    context: typer.Context,
    target: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the store as it is at this moment; the broker goes on meanwhile."""
    from motte.cli.render import print_json, say
    from motte.plane import storage

    run = invocation(context, directory, as_json)
    storage.back_up(run.deployment(), target.absolute())
    if run.json:
        print_json({"written": str(target.absolute())})
        return
    say(f"written: {target}", style="green")
    say("  it holds messages and identities in clear: keep it as safe as the deployment")


@app.command("restore")
def restore(
    context: typer.Context,
    backup_file: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take this backup.")
    ] = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Begin anew; what was kept is set aside.")
    ] = False,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a good store in the place of a damaged one: what can be read of it, or a backup.

    The damaged file is set aside and not removed. The data plane must not run.
    """
    from motte.cli.render import print_json, say
    from motte.plane import storage

    run = invocation(context, directory, as_json)
    if backup_file is not None and empty:
        raise ConfigError(
            "`--from` and `--empty` cannot be had together",
            hint="`--from FILE` takes a backup, `--empty` begins anew",
        )
    source = backup_file.absolute() if backup_file is not None else None
    restored = storage.restore(run.deployment(), backup=source, empty=empty)
    if run.json:
        print_json(restored.raw)
        return
    _show(restored.contents)
    for problem in restored.contents.problems:
        say(f"  lost: {problem}", style="yellow")
    if restored.set_aside is not None:
        say(f"the former file is kept as {restored.set_aside}")
    say("restored: start it with `motte up`", style="green")


def _show(found: "Contents") -> None:
    from motte.cli.render import say

    say(f"store        {found.path}, {found.bytes / 1024:,.0f} KiB")
    say(f"sessions     {found.sessions}, with {found.subscriptions} subscriptions")
    say(f"messages     {found.messages} on their way to clients, {found.held} held for PUBREL")
    say(f"             {found.retained} retained, {found.wills} wills")
