"""How things look: data to standard output, everything else to standard error."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from motte.errors import MotteError
from motte.plane import evidence
from motte.text import printable

__all__ = [
    "age",
    "console",
    "event_line",
    "moment",
    "print_error",
    "print_json",
    "say",
    "table",
    "warn",
]

LAYERS: Final = {number: name for name, number in evidence.LAYERS.items()}
"""The layers' numbers and names."""

_STYLES: Final = {
    "refused": "red",
    "withheld": "yellow",
    "session_taken_over": "yellow",
    "connected": "green",
    "disconnected": "dim",
    "snapshot": "cyan",
    "started": "cyan",
    "stopped": "cyan",
}
"""Colours of kinds of event; never the only bearer of a meaning."""
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def console(*, error: bool = False) -> Console:
    """A console on standard output or standard error; wide enough for its lines in a pipe."""
    stream = sys.stderr if error else sys.stdout
    width = None if stream.isatty() else 200
    return Console(file=stream, highlight=False, soft_wrap=True, width=width)


def say(text: str | Text = "", *, style: str | None = None) -> None:
    """One line to standard output. Plain strings are shown as they are, never as markup."""
    console().print(Text(text) if isinstance(text, str) else text, style=style)


def warn(text: str) -> None:
    """One line to standard error that deserves attention."""
    console(error=True).print(Text.assemble(("warning: ", "bold yellow"), text))


def print_json(value: object) -> None:
    """One JSON document on one line, for programs; ASCII, so that no terminal can be driven."""
    sys.stdout.write(json.dumps(value, default=_plain) + "\n")
    sys.stdout.flush()


def print_error(error: MotteError, *, as_json: bool) -> None:
    """An error: what is wrong, a blank line, what to do."""
    if as_json:
        document = {
            "error": {
                "kind": type(error).__name__,
                "message": error.message,
                "hint": error.hint,
                "exit_code": int(error.exit_code),
            }
        }
        sys.stderr.write(json.dumps(document) + "\n")
        return
    output = console(error=True)
    output.print(Text.assemble(("error: ", "bold red"), error.message))
    if error.hint:
        output.print()
        output.print(Text.assemble(("hint: ", "bold cyan"), error.hint))


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table on standard output."""
    shown = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    console().print(shown)


def moment(when: datetime) -> str:
    """A point in time for people: UTC to the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def age(seconds: float) -> str:
    """A span of time for people, in its two largest units: ``6 d 23 h``, ``40 s``."""
    left = int(abs(seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size or parts:
            parts.append(f"{left // size} {unit}")
            left %= size
        if len(parts) == 2:  # noqa: PLR2004 (two units)
            break
    return " ".join(part for part in parts if not part.startswith("0 ")) or "0 s"


def event_line(record: Mapping[str, Any]) -> Text:
    """One evidence record as one line; whatever a peer wrote is escaped."""
    kind = str(record.get("kind", "?"))
    line = Text()
    line.append(_clock_time(record.get("at_unix_ms")), style="dim")
    line.append(f"  {printable(kind).replace('_', ' '):<13}", style=_STYLES.get(kind, "default"))
    line.append(f" {_who(record)}")
    layer = record.get("layer")
    if layer is not None:
        line.append(f"  {_layer(layer)}", style="bold")
    parts = [printable(str(record[key])) for key in ("topic", "rule", "detail") if record.get(key)]
    # A detail that names the topic need not be told it twice.
    if len(parts) > 1 and record.get("topic") and f'"{parts[0]}"' in parts[-1]:
        parts.pop(0)
    manner = record.get("manner")
    if isinstance(manner, Mapping):
        parts.append(_manner(manner))
    if parts:
        line.append("  " + " · ".join(parts))
    count = record.get("count")
    if isinstance(count, int) and count > 1:
        line.append(f"  {count} times", style="bold")
    return line


def _who(record: Mapping[str, Any]) -> str:
    names = [printable(str(record[key])) for key in ("identity", "client_id") if record.get(key)]
    # The client id is worth a word only where it says more than the identity.
    if len(names) > 1 and names[0].endswith(f"/{names[1]}"):
        names.pop()
    peer = record.get("peer")
    text = " as ".join(names)
    if peer:
        text += f" from {printable(str(peer))}" if text else printable(str(peer))
    return text


def _manner(manner: Mapping[str, Any]) -> str:
    retained = ", retained" if manner.get("retain") else ""
    return f"{printable(str(manner.get('act')))} QoS {printable(str(manner.get('qos')))}{retained}"


def _layer(layer: object) -> str:
    if isinstance(layer, int):
        return f"layer {layer} {LAYERS.get(layer, '')}".rstrip()
    number = next((n for n, name in LAYERS.items() if name == layer), None)
    name = printable(str(layer))
    return f"layer {number} {name}" if number is not None else f"layer {name}"


def _clock_time(milliseconds: object) -> str:
    if not isinstance(milliseconds, int):
        return "--:--:--"
    try:
        return f"{datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone():%H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return "--:--:--"


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else str(value)
