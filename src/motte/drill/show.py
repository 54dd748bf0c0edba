"""The drill for people: a story while it happens, tables at the end. Words carry the meaning."""

import shutil
import sys
from typing import Final

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.status import Status
from rich.table import Table
from rich.text import Text

from motte.drill.clients import Endpoint, Tally
from motte.drill.report import Outcome, Radius, Report, Revocation, Side, Verdict
from motte.drill.thief import Answer, Attack
from motte.text import printable

__all__ = ["Screen"]

WIDEST: Final = 100
"""Columns used at most: longer lines are hard to read."""
WIDTH_IN_A_PIPE: Final = 80
"""Columns where there is no terminal to ask."""
OUR_WIDTH: Final = len("refused · layer 4")
"""Columns of a cell of the comparison that is as it should be."""
THEIR_WIDTH: Final = len("SUCCEEDED: 2 others obeyed")
"""Columns of most cells of the comparison that are not."""
INDENT: Final = 5
"""Columns before whatever belongs to an attack."""
SHORT: Final = {
    "connected": "let in",
    "read": "read {} others",
    "learned": "broker's data",
    "commanded": "{} others obeyed",
    "evicted": "{} evicted",
}
"""Effects in the words of the table."""
GOOD: Final = "green"
BAD: Final = "bold red"
FAINT: Final = "dim"


class Screen:
    """Shows the drill on standard output."""

    def __init__(self) -> None:
        width = min(shutil.get_terminal_size((WIDTH_IN_A_PIPE, 24)).columns, WIDEST)
        self._console = Console(file=sys.stdout, highlight=False, width=width)
        self._waiting: Status | None = None
        self._begun = False
        self._sides: list[str] = []

    # --- while it happens ------------------------------------------------------------------------

    def progress(self, what: str) -> None:
        """A step of the preparation is done."""
        if not self._begun:
            self._begun = True
            self._heading("The stolen-certificate drill")
        self._wait(what)

    def ready(self, side: str, endpoint: Endpoint, tallies: dict[str, Tally]) -> None:
        """A broker runs and everybody's messages arrive."""
        self._sides.append(side)
        if len(self._sides) > 1:
            self._say(f"The same thief, the same script, on {side}")
            self._say("with two lines of configuration that are in common use:", style=FAINT)
            self._say(f"  listener {endpoint.port} {endpoint.host}", style=FAINT)
            self._say("  allow_anonymous true", style=FAINT)
            return
        telemetry = sum(tally.telemetry_seen for tally in tallies.values())
        commands = sum(tally.commands_seen for tally in tallies.values())
        self._say(f"{side} on {endpoint.host}:{endpoint.port}, in a temporary folder")
        self._say(f"Enrolled: {', '.join(tallies)} and the service dashboard")
        self._say(
            f"The dashboard has seen {telemetry} messages of them, and {commands} of its commands "
            "have arrived"
        )

    def stolen(self, name: str) -> None:
        """The thief has the key."""
        if len(self._sides) > 1:
            return
        self._say()
        self._say(
            f"{name} is stolen. The thief reads key and certificate out of its flash, and starts "
            "a few lines of Python:",
            style="bold",
        )

    def trying(self, attack: Attack) -> None:
        """An attack begins."""
        self._wait(f"the thief tries: {attack.title}")

    def tried(self, verdict: Verdict) -> None:
        """An attack is over."""
        if len(self._sides) > 1:
            return
        self._say()
        line = Table.grid(expand=True, padding=(0, 1))
        line.add_column(width=INDENT - 2, no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(verdict.key, Text(verdict.title, style="bold"), _outcome(verdict))
        self._print(line)
        self._print(_indented(Text(f"← {printable(str(verdict.answer))}"), _rule(verdict)))
        harmful = bool(verdict.effects) and verdict.key != "0"
        self._print(_indented(Text(f"→ {verdict.finding}", style=BAD if harmful else "")))

    def judged(self, side: Side) -> None:
        """All attacks on one broker are over."""
        succeeded = sum(verdict.outcome is Outcome.SUCCEEDED for verdict in side.attacks)
        if len(self._sides) > 1:
            self._say(f"{succeeded} of {len(side.attacks)} attacks had an effect")
            return
        self._heading("Four questions")
        self._print(_questions(side))
        self._say()
        self._print(_radius_line(side.radius))

    def revoking(self, name: str) -> None:
        """The operator revokes while the thief is connected."""
        self._heading("The operator")
        self._say(f"The thief is connected as {name}. The operator types:")
        self._say(f"  motte device revoke {name}", style="bold")
        self._wait("revoking")

    def thrown_out(self, answer: Answer, closed_after: float | None, returned: float) -> None:
        """The command has returned; milliseconds from its beginning."""
        when = f"after {closed_after:.0f} ms" if closed_after is not None else "NEVER"
        self._say(
            f"The thief's connection was closed {when}, the command returned after "
            f"{returned:.0f} ms:"
        )
        self._print(_indented(Text(f"← {printable(str(answer))}")))

    def revoked(self, revocation: Revocation) -> None:
        """The revocation is over."""
        self._say()
        for name, after in revocation.after.items():
            before = revocation.before[name].telemetry_seen
            lost = after.telemetry_sent - after.telemetry_seen
            lost += after.commands_sent - after.commands_seen
            self._say(
                f"{name}: {before} messages before, {after.telemetry_seen - before} after, "
                f"{lost} lost, {after.drops} reconnects, "
                f"{'undisturbed' if after.is_whole else 'DISTURBED'}",
                style=GOOD if after.is_whole else BAD,
            )
        self._heading("For comparison")

    # --- at the end ------------------------------------------------------------------------------

    def finished(self, report: Report) -> None:
        """Everything is over."""
        if report.mosquitto is not None:
            self._say()
            is_wide = self._console.width >= WIDTH_IN_A_PIPE
            self._print(_comparison(report.mosquitto, report.motte, is_wide=is_wide))
            self._say()
            self._say(
                "Mosquitto can do certificates and access control, too; this configuration does "
                "not ask it to.",
                style=FAINT,
            )
        else:
            self._say(f"Mosquitto: {report.mosquitto_note}")
        worked = "worked" if report.revocation.worked else "DID NOT WORK"
        refused = sum(verdict.is_named_refusal for verdict in report.motte.attacks)
        self._heading("PASSED" if report.passed else "FAILED")
        self._say(
            f"{refused} of {len(report.motte.attacks)} attacks refused, blast radius "
            f"{report.motte.radius} toasters, revocation {worked}",
            style=GOOD if report.passed else BAD,
        )
        state = "chain intact" if report.evidence_intact else "CHAIN BROKEN"
        self._say(
            f"{report.evidence_lines} lines of evidence, {state}; {report.seconds:.0f} seconds",
            style=FAINT,
        )
        if report.folder is not None:
            self._say(f"Kept: {report.folder}; read it with motte -C {report.folder} log verify")

    def close(self) -> None:
        """Leaves the terminal as it was."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None

    # --- means -----------------------------------------------------------------------------------

    def _heading(self, text: str) -> None:
        self._say()
        self._print(Rule(Text(text, style="bold"), align="left", style=FAINT))

    def _say(self, text: str = "", *, style: str = "") -> None:
        self._print(Text(text, style=style))

    def _print(self, what: object) -> None:
        self.close()
        self._console.print(what)

    def _wait(self, what: str) -> None:
        """Shows that something goes on; only on a terminal."""
        if not self._console.is_terminal:
            return
        if self._waiting is None:
            self._waiting = self._console.status(what)
            self._waiting.start()
        else:
            self._waiting.update(what)


def _outcome(verdict: Verdict) -> Text:
    if verdict.key == "0":
        return Text("works, as it should" if verdict.effects else "DOES NOT WORK")
    if verdict.outcome is Outcome.REFUSED:
        found = verdict.testimony
        layer = f"layer {found.layer} {found.name}" if found else "NOT ON RECORD"
        return Text(f"refused · {layer}", style=GOOD if found else BAD)
    style = BAD if verdict.outcome is Outcome.SUCCEEDED else "yellow"
    return Text(verdict.outcome.value, style=style)


def _rule(verdict: Verdict) -> Text:
    found = verdict.testimony
    if verdict.outcome is not Outcome.REFUSED or found is None or found.rule is None:
        return Text()
    return Text(f"  {found.rule}", style=FAINT)


def _indented(*parts: Text) -> Padding:
    return Padding(Text.assemble(*parts), (0, 0, 0, INDENT), expand=False)


def _questions(side: Side) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(width=INDENT - 2)
    table.add_column(ratio=1)
    table.add_column(justify="right", no_wrap=True)
    for question in side.questions:
        answer = "yes" if question.answer else "no"
        verdict = "right" if question.right else "WRONG"
        style = GOOD if question.right else BAD
        table.add_row(
            f"Q{question.number}", question.text, Text(f"{answer}, {verdict}", style=style)
        )
    return table


def _radius_line(radius: Radius) -> Text:
    names = ", ".join(radius.toasters)
    contained = len(radius.toasters) == 1
    line = Text("Blast radius of the stolen key: ", style="bold")
    line.append(f"{radius} toasters", style=GOOD if contained else BAD)
    return line.append(f" ({names}{', itself' if contained else ''})")


def _comparison(other: Side, motte: Side, *, is_wide: bool) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        expand=True,
        show_footer=True,
    )
    table.add_column("", no_wrap=True, width=2)
    table.add_column("the thief's step", footer="blast radius, in toasters", ratio=4)
    for side, name, width in (
        (other, f"{other.broker}, allow_anonymous", THEIR_WIDTH),
        (motte, motte.broker, OUR_WIDTH),
    ):
        table.add_column(
            name,
            footer=_radius_cell(side.radius),
            width=width if is_wide else None,
            ratio=None if is_wide else 3,
        )
    for theirs, ours in zip(other.attacks, motte.attacks, strict=True):
        table.add_row(ours.key, ours.title, _cell(theirs), _cell(ours))
    return table


def _radius_cell(radius: Radius) -> Text:
    return Text(str(radius), style=GOOD if len(radius.toasters) == 1 else BAD)


def _cell(verdict: Verdict) -> Text:
    if verdict.outcome is Outcome.REFUSED:
        layer = f" · layer {verdict.testimony.layer}" if verdict.testimony else ""
        return Text(f"refused{layer}", style=GOOD)
    if verdict.outcome is Outcome.NO_EFFECT:
        return Text(verdict.outcome.value, style="yellow")
    return Text(f"{verdict.outcome.value}: {_short(verdict)}", style=BAD)


def _short(verdict: Verdict) -> str:
    return ", ".join(
        SHORT.get(effect.kind, effect.kind).format(len(effect.toasters))
        for effect in verdict.effects
    )
