"""The ``motte`` command: one module per command, each of which parses and renders and no more.

Exit codes are those of `motte.errors.ExitCode`.
"""

import os
import sys
from typing import Annotated

import typer

from motte import __version__
from motte.cli import demo, device, log, policy, pub, status, sub, up
from motte.cli.invocation import DirectoryOption, Invocation, JsonOption, invocation
from motte.errors import ExitCode, MotteError

__all__ = ["app", "main"]

app = typer.Typer(
    name="motte",
    help="MQTT where one stolen device stays one stolen device.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("status")(status.status)
app.add_typer(device.app, name="device")
app.add_typer(policy.app, name="policy")
app.command("pub")(pub.pub)
app.command("sub")(sub.sub)
app.add_typer(log.app, name="log")
app.command("demo")(demo.demo)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the only place where errors are shown. Returns the exit code."""
    shared = Invocation()
    try:
        outcome = app(arguments, prog_name="motte", obj=shared, standalone_mode=False)
        sys.stdout.flush()
    except MotteError as error:
        from motte.cli.render import print_error

        print_error(error, as_json=shared.json)
        return error.exit_code
    except typer.TyperException as error:
        return _usage(error)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Nothing more can be written, not even by
        # the interpreter when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILURE
    return outcome if isinstance(outcome, int) else ExitCode.OK


def _usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is not None and type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message)
        return ExitCode.OK
    command = context.command_path if context is not None else "motte"
    typer.echo(f"error: {message[:1].lower()}{message[1:].removesuffix('.')}", err=True)
    typer.echo(f"\nhint: see `{command} --help`", err=True)
    return ExitCode.USAGE


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"motte {__version__}")
        raise typer.Exit


@app.callback()
def _shared(
    context: typer.Context,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
    _wanted: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    invocation(context, directory, as_json)
