"""The ``motte`` command: one module per command, each of which parses and renders and no more.

Exit codes are those of `motte.errors.ExitCode`.
"""

import contextlib
import io
import os
import sys
from typing import Annotated

import typer

from motte import __version__
from motte.cli import (
    audit,
    bench,
    demo,
    device,
    firmware,
    log,
    policy,
    pub,
    status,
    store,
    sub,
    top,
    up,
)  # fmt: skip
from motte.cli.invocation import DirectoryOption, Invocation, JsonOption, invocation
from motte.errors import ExitCode, MotteError
from motte.text import printable

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
app.command("top")(top.top)
app.add_typer(device.app, name="device")
app.add_typer(policy.app, name="policy")
app.command("pub")(pub.pub)
app.command("sub")(sub.sub)
app.add_typer(log.app, name="log")
app.add_typer(store.app, name="store")
app.add_typer(firmware.app, name="firmware")
app.command("audit")(audit.audit)
app.command("demo")(demo.demo)
app.command("bench")(bench.bench)


class UsageError(MotteError):
    """The command line cannot be understood."""

    exit_code = ExitCode.USAGE


class OutputError(MotteError):
    """The operating system failed Motte where no command expects it, as a full disk does."""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the only place where errors are shown. Returns the exit code."""
    _standard_streams()
    shared = Invocation()
    given = sys.argv[1:] if arguments is None else arguments
    try:
        _check_text(given)
        outcome = app(given, prog_name="motte", obj=shared, standalone_mode=False)
        sys.stdout.flush()
    except MotteError as error:
        return _failed(error, as_json=shared.json or "--json" in given)
    except typer.TyperException as error:
        return _usage(error, as_json=shared.json or "--json" in given)
    except typer.Abort:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        _discard_output()
        return ExitCode.FAILURE
    except OSError as error:
        _discard_output()
        where = f"{error.filename}: " if error.filename else "the output cannot be written: "
        what = printable(f"{where}{error.strerror or error}")
        hint = "see whether the disk is full and where the output goes"
        return _failed(OutputError(what, hint=hint), as_json=shared.json)
    return outcome if isinstance(outcome, int) else ExitCode.OK


def _standard_streams() -> None:
    """Makes sure that there is somewhere to write to, and that every text can be written."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Else the next file that is opened would be taken for the output: the registry, say.
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or io.TextIOWrapper(io.FileIO(1, "w", closefd=False))
    sys.stderr = sys.stderr or io.TextIOWrapper(io.FileIO(2, "w", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with contextlib.suppress(OSError):  # whoever started this process moved it elsewhere
                stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Nothing more can be written, not even by the interpreter when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_text(arguments: list[str]) -> None:
    """Refuses bytes that are no text: they can be no id, no topic, no reason."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"the argument `{printable(argument)}` is not UTF-8 text",
                hint="see how the terminal or the script encodes it",
            ) from error


def _failed(error: MotteError, *, as_json: bool) -> int:
    from motte.cli.render import print_error

    print_error(error, as_json=as_json)
    return error.exit_code


def _usage(error: typer.TyperException, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is not None and type(error).__name__ == "NoArgsIsHelpError":
        typer.echo(message)
        return ExitCode.OK
    command = context.command_path if context is not None else "motte"
    what = printable(f"{message[:1].lower()}{message[1:].removesuffix('.')}")
    return _failed(UsageError(what, hint=f"see `{command} --help`"), as_json=as_json)


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
