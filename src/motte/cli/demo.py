"""``motte demo``: the stolen-certificate drill, on this machine, in under a minute."""

from typing import Annotated

import typer

from motte.cli.invocation import JsonOption, invocation
from motte.errors import ExitCode

__all__ = ["demo"]


def demo(
    context: typer.Context,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
    mosquitto: Annotated[
        bool,
        typer.Option(
            "--mosquitto/--no-mosquitto", help="Compare with an open Mosquitto, if installed."
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Steal a toaster's certificate and see how far it gets; exit code 0 if nowhere."""
    run = invocation(context, None, as_json)
    from motte.drill.play import Silent, play
    from motte.drill.report import document

    if run.json:
        from motte.cli.render import print_json

        report = play(Silent(), keep=keep, with_mosquitto=mosquitto)
        print_json(document(report))
    else:
        from motte.drill.show import Screen

        screen = Screen()
        try:
            report = play(screen, keep=keep, with_mosquitto=mosquitto)
            screen.finished(report)
        finally:
            screen.close()
    raise typer.Exit(ExitCode.OK if report.passed else ExitCode.FAILURE)
