"""``motte policy``: who may do what; check it, put it in force, ask it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from motte.cli import policy_import, policy_radius, policy_suggest
from motte.cli.invocation import DirectoryOption, Invocation, JsonOption, invocation
from motte.errors import ExitCode, MotteError, PolicyError

__all__ = ["app"]

app = typer.Typer(
    name="policy",
    help="Check policy.toml, put it in force, ask who may do what.",
    no_args_is_help=True,
)

app.command("radius")(policy_radius.radius)
app.command("diff")(policy_radius.diff)
app.command("import")(policy_import.import_rules)
app.command("suggest")(policy_suggest.suggest)


class _Action(StrEnum):
    """What can be asked about."""

    PUBLISH = "publish"
    SUBSCRIBE = "subscribe"
    WILL = "will"
    RECEIVE = "receive"


@app.command("check")
def check(
    context: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(help="The policy file; else the deployment's.", show_default=False),
    ] = None,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show everything that is wrong or odd in a policy file, and what its roles may do."""
    run = invocation(context, directory, as_json)
    path = file if file is not None else run.deployment().policy_file
    from motte.cli.policy_rendering import role_json, show_diagnostics, show_roles
    from motte.cli.render import print_json, say
    from motte.plane.reviewing import review_here
    from motte.policy.compiler import compile_policy
    from motte.policy.diagnostics import InvalidPolicyError
    from motte.policy.language import load
    from motte.policy.lint.review import review
    from motte.policy.model import Exceptions

    try:
        read = load(path)
    except InvalidPolicyError as error:
        if run.json:
            found = [one.as_json() for one in error.diagnostics]
            print_json({"file": str(path), "ok": False, "diagnostics": found, "roles": []})
            return ExitCode.POLICY
        show_diagnostics(error.source, error.diagnostics)
        raise PolicyError(error.heading, hint=f"correct {path} and check it again") from error
    # What cannot be compiled for any fleet is wrong with this file, too.
    compile_policy(read, fleet="check", generation=1, exceptions=Exceptions())
    # A file that somebody names may be meant for another fleet than the one that is here.
    warnings = review(read) if file is not None else review_here(run.deployment(), read)
    if run.json:
        print_json(
            {
                "file": str(path),
                "ok": True,
                "diagnostics": [one.as_json() for one in warnings],
                "roles": [role_json(role) for role in read.policy.roles],
            }
        )
        return ExitCode.OK
    show_diagnostics(read.source, warnings)
    roles = _counted(len(read.policy.roles), "role")
    say(f"{path} is right: {roles}, {_counted(len(warnings), 'warning')}")
    if read.policy.roles:
        say()
        show_roles(read.policy.roles)
    return ExitCode.OK


@app.command("apply")
def apply(
    context: typer.Context, directory: DirectoryOption = None, as_json: JsonOption = False
) -> None:
    """Put policy.toml in force, also for clients that are connected, before this returns."""
    run = invocation(context, directory, as_json)
    from motte.cli.policy_rendering import show_diagnostics, show_published
    from motte.cli.render import print_json, warn
    from motte.plane.explaining import generation_in_force
    from motte.plane.publisher import Source
    from motte.policy.diagnostics import InvalidPolicyError

    with run.open() as plane:
        try:
            published = plane.publisher.publish(Source.FILE, why="policy apply")
        except InvalidPolicyError as error:
            if not run.json:
                show_diagnostics(error.source, error.diagnostics)
            raise _kept(error, error.heading, generation_in_force(plane)) from error
        except PolicyError as error:
            raise _kept(error, error.message, generation_in_force(plane)) from error
    if run.json:
        print_json(
            {
                "generation": published.generation,
                "changed": published.changed,
                "live": published.live,
                "report": published.report,
                "warnings": list(published.warnings),
            }
        )
        return
    for warning in published.warnings:
        warn(warning)
    show_published(published)


def _kept(error: MotteError, message: str, generation: int) -> PolicyError:
    """The error of a policy that was not applied, with what holds instead."""
    kept = (
        f"snapshot {generation} stays in force, unchanged"
        if generation
        else "no policy is in force, so every client is refused"
    )
    return PolicyError(f"{message}; {kept}", hint=error.hint)


@app.command("explain")
def explain(  # noqa: PLR0913 (one parameter for each option)
    context: typer.Context,
    action: Annotated[_Action, typer.Argument(help="What the identity wants to do.")],
    topic: Annotated[str, typer.Argument(help="A topic; for subscribe also a filter.")],
    identity: Annotated[
        str, typer.Option("--as", metavar="ID", help="Who asks: an id, or service/ID.")
    ],
    qos: Annotated[int, typer.Option(min=0, max=2, help="QoS of the message or will.")] = 0,
    retain: Annotated[bool, typer.Option("--retain", help="The message is retained.")] = False,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            "-a",
            metavar="KEY=VALUE",
            help="An attribute it would have; who is not enrolled can be asked about; repeatable.",
        ),
    ] = None,
    service: Annotated[
        bool, typer.Option("--service", help="It would be a service, not a device.")
    ] = False,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> int:
    """Say whether an identity may do something, by which rule, and what would change that."""
    run = invocation(context, directory, as_json)
    from motte.cli.attributes import parse_attributes
    from motte.cli.policy_rendering import explained_json, show_explained
    from motte.cli.render import print_json
    from motte.plane.explaining import explain_here, find_asker
    from motte.policy.model import Action
    from motte.policy.questions import Question

    attributes = parse_attributes(attribute or [])
    with run.open() as plane:
        asker = find_asker(plane, identity, attributes, service=service)
        question = Question(asker, Action(action.value), topic, qos, retain)
        explained = explain_here(plane, question)
    if run.json:
        print_json(explained_json(explained))
    else:
        show_explained(explained, option=_option(run))
    return ExitCode.OK if explained.explanation.answer.allowed else ExitCode.REFUSED


@app.command("example")
def example() -> None:
    """Print the policy that a new deployment begins with, as a start for your own."""
    from motte.policy import default_policy_text

    typer.echo(default_policy_text(), nl=False)


def _option(run: Invocation) -> str:
    """How the commands of a hint name the deployment that this one was told about."""
    return f"-C {run.directory} " if run.directory else ""


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}" if number else f"no {noun}s"
