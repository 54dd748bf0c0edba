"""``motte log``: the evidence."""

from typing import TYPE_CHECKING, Annotated

import typer

from motte.cli.invocation import DirectoryOption, Invocation, JsonOption, invocation
from motte.errors import ExitCode, StoreError

if TYPE_CHECKING:
    from motte.plane.control import EventBatch

__all__ = ["app"]

app = typer.Typer(name="log", help="Read and verify the evidence log.", no_args_is_help=True)

DEFAULT_LINES = 10
"""Lines of history shown before new ones: enough to see what just happened."""
MAXIMUM_LINES = 10_000
"""Lines of history shown at most; for more, read the file."""


@app.command("follow")
def follow(
    context: typer.Context,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, max=MAXIMUM_LINES, help="Lines of history first.")
    ] = DEFAULT_LINES,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happens as it happens: who connects, who is refused, and by which layer."""
    import select

    from motte.plane.control import connect
    from motte.plane.evidence import tail

    run = invocation(context, directory, as_json)
    deployment = run.deployment()
    # Subscribed before the history is read, so that nothing falls between the two.
    follower = connect(deployment.control_socket).follow()
    shown = 0
    for record in tail(deployment.evidence, lines) if deployment.evidence.exists() else []:
        shown = max(shown, int(record.get("seq", 0)))
        _show(run, record)
    poller = select.poll()
    poller.register(follower.fileno(), select.POLLIN)
    while (batches := follower.read()) is not None:
        for batch in batches:
            _show_batch(run, batch, shown)
        poller.poll()
    if not run.json:
        from motte.cli.render import say

        say("the data plane has stopped", style="dim")


@app.command("verify")
def verify(
    context: typer.Context, directory: DirectoryOption = None, as_json: JsonOption = False
) -> None:
    """Recompute the chain of hashes: was a line changed, removed, added or moved?"""
    from motte.cli.render import print_json, say
    from motte.plane.evidence import Broken
    from motte.plane.evidence import verify as verify_log

    run = invocation(context, directory, as_json)
    verdict = verify_log(run.deployment().evidence)
    if isinstance(verdict, Broken):
        if run.json:
            document = {"intact": False, "file": str(verdict.file), "line": verdict.line}
            document |= {"why": verdict.why, "intact_lines": verdict.intact}
            print_json({**document, "last": verdict.last_hash})
            raise typer.Exit(ExitCode.STORE)
        raise StoreError(
            f"{verdict.file}:{verdict.line}: {verdict.why}",
            hint=f"the {verdict.intact} lines before it are intact; keep the file, compare it "
            "with a backup and find out who could write to it",
        )
    if run.json:
        document = {"intact": True, "first": verdict.first, "lines": verdict.lines}
        print_json({**document, "last": verdict.last_hash, "unfinished": verdict.unfinished})
        return
    say(f"intact: {verdict.lines} lines, each as it was written", style="green")
    say(f"  last hash {verdict.last_hash}; note it elsewhere to notice later that lines were cut")
    if verdict.first > 1:
        say(f"  it begins with line {verdict.first}: the older ones were removed for their size")
    if verdict.unfinished:
        say("  half a line follows: it is being written, or its writer was interrupted")


def _show_batch(run: Invocation, batch: "EventBatch", shown: int) -> None:
    if batch.dropped:
        _show_dropped(run, batch.dropped)
    for record in batch.events:
        if int(record.get("seq", shown + 1)) > shown:
            _show(run, record)


def _show(run: Invocation, record: dict[str, object]) -> None:
    from motte.cli.render import event_line, print_json, say

    if run.json:
        print_json(record)
    else:
        say(event_line(record))


def _show_dropped(run: Invocation, count: int) -> None:
    from motte.cli.render import print_json, warn

    if run.json:
        print_json({"dropped": count})
    else:
        warn(f"{count} events came too fast to be shown here; the log has all of them")
