"""``motte top``: what the data plane is doing right now, on a terminal of 80 by 24."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from motte.cli.invocation import DirectoryOption, JsonOption, invocation

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from motte.deployment import Deployment

__all__ = ["frame", "top"]

LAYERS: Final = (
    "network", "tls", "fingerprint", "identity", "authorization", "protocol", "quota",
    "detection", "evidence",
)  # fmt: skip
"""The layers in their order."""
_KIBI: Final = 1024
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def top(
    context: typer.Context,
    interval: Annotated[
        float, typer.Option(min=0.1, max=60.0, help="Seconds between two looks.")
    ] = 1.0,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Looks before it ends; else until Ctrl-C, and 1 into a pipe."),
    ] = None,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show connections, messages and refusals as they happen, until Ctrl-C."""
    from rich.live import Live

    from motte.cli.render import console, print_json

    run = invocation(context, directory, as_json)
    deployment = run.deployment()
    is_live = sys.stdout.isatty() and not run.json
    if count is None and not (is_live or run.json):
        count = 1
    looks = _looks(deployment, interval, count)
    with contextlib.suppress(KeyboardInterrupt):
        if run.json:
            for status, _, _ in looks:
                print_json(status)
            return
        output = console()
        if not is_live:
            for look in looks:
                output.print(frame(*look))
            return
        with Live(console=output, screen=True, auto_refresh=False) as live:
            for look in looks:
                live.update(frame(*look), refresh=True)


def _looks(
    deployment: "Deployment", interval: float, count: int | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None, float]]:
    """The status, the one before, and the seconds between them."""
    from motte.plane.control import connect

    earlier: dict[str, Any] | None = None
    before = 0.0
    while count is None or count > 0:
        with connect(deployment.control_socket) as client:
            status, now = client.status().raw, time.monotonic()
        yield status, earlier, now - before
        earlier, before = status, now
        count = None if count is None else count - 1
        if count != 0:
            time.sleep(interval)


def frame(
    status: Mapping[str, Any], earlier: Mapping[str, Any] | None, seconds: float
) -> "RenderableType":
    """One picture. Rates are those since the look before; at the first they are left out."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    look = _Look(status, earlier, seconds)
    facts = Table.grid(padding=(0, 2))
    for name, *values in _facts(look):
        facts.add_row(Text(name, style="bold"), *(Text(value) for value in values))
    actions = tuple(status.get("counters", {}).get("passed", {}))
    both = Table.grid(padding=(0, 4))
    both.add_row(
        _counters("refused", LAYERS, "refused", look),
        _counters("permitted", actions, "passed", look),
    )
    return Group(facts, Text(), both)


@dataclass(frozen=True, slots=True)
class _Look:
    """Two states of the data plane and the time between them."""

    status: Mapping[str, Any]
    earlier: Mapping[str, Any] | None
    seconds: float

    def value(self, *path: str) -> int:
        return _at(self.status, *path)

    def number(self, *path: str) -> str:
        return _short(self.value(*path))

    def rate(self, *path: str) -> float | None:
        """Per second; nothing at the first look, and where the process is another one."""
        earlier = self.earlier
        if earlier is None or self.seconds <= 0 or _at(earlier, "pid") != self.value("pid"):
            return None
        return max(0, self.value(*path) - _at(earlier, *path)) / self.seconds


def _facts(look: _Look) -> Iterator[tuple[str, ...]]:
    from motte.cli.render import age

    generation = look.value("generation")
    yield (
        "data plane",
        f"process {look.value('pid')}",
        f"up {age(look.value('uptime_seconds'))}",
        f"snapshot {generation}" if generation else "no snapshot in force",
    )
    yield (
        "clients",
        f"{look.number('connections')} connected",
        f"{look.number('sessions')} sessions",
        f"{look.number('subscriptions')} subscriptions",
    )
    for name in ("received", "sent"):
        messages, size = look.rate("messages", name), look.rate("traffic", name)
        yield (
            name,
            f"{look.number('messages', name)} messages",
            "" if messages is None else f"{_short(messages)}/s",
            _size(look.value("traffic", name)) + ("" if size is None else f", {_size(size)}/s"),
        )
    yield (
        "not sent",
        f"{look.number('messages', 'withheld')} withheld",
        f"{look.number('messages', 'expired')} expired",
        f"{look.number('messages', 'dropped')} dropped",
    )
    for name in ("queued", "retained"):
        yield name, f"{look.number(name, 'messages')} messages", _size(look.value(name, "bytes"))
    failing = look.status.get("evidence", {}).get("failing")
    yield (
        "evidence",
        f"{look.number('evidence', 'seq')} records",
        f"{look.number('evidence', 'waiting')} waiting",
        "cannot be written" if failing else f"{look.number('evidence', 'lost')} lost",
    )


def _counters(title: str, names: tuple[str, ...], kind: str, look: _Look) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(title)
    table.add_column("in all", justify="right")
    table.add_column("now", justify="right", min_width=6)
    for name in names:
        rate = look.rate("counters", kind, name)
        style = "bold" if rate else "dim"
        now = "" if rate is None else f"{_short(rate)}/s"
        number = look.number("counters", kind, name)
        table.add_row(Text(name, style=style), number, Text(now, style=style))
    return table


def _at(status: Mapping[str, Any], *path: str) -> int:
    """A number of the status; 0 where a data plane of another version has none."""
    found: Any = status
    for name in path:
        found = found.get(name, 0) if isinstance(found, Mapping) else 0
    return found if isinstance(found, int) else 0


def _short(count: float) -> str:
    """In full up to 999,999, then in millions or billions."""
    for size, unit in ((10**9, "G"), (10**6, "M")):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f}"


def _size(count: float) -> str:
    """Bytes in the unit that suits them."""
    unit = 0
    while count >= _KIBI and unit < len(_UNITS) - 1:
        count /= _KIBI
        unit += 1
    return f"{count:,.1f} {_UNITS[unit]}" if unit else f"{count:,.0f} B"
