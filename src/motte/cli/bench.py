"""``motte bench``: load against this broker or any other."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from motte.cli.invocation import JsonOption, invocation

if TYPE_CHECKING:
    from motte.bench.lines import Line, Parties
    from motte.bench.target import Target

__all__ = ["bench"]

DEFAULT_CLIENTS = 200
"""Devices of a run: enough to spread over many sockets, and ready within a second."""
DEFAULT_SECONDS = 2.0
"""Measured time of a line."""

_Certificate = Annotated[
    str | None,
    typer.Option("--cert", help="PEM file of the clients; {n} is the number of the client."),
]
_Key = Annotated[str | None, typer.Option("--key", help="PEM file with the key for --cert.")]


def bench(  # noqa: PLR0913 (options of one command)
    context: typer.Context,
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="[URL]",
            help="mqtts://HOST:PORT; without it, a Motte set up for the purpose.",
            show_default=False,
        ),
    ] = None,
    *,
    authority: Annotated[
        Path | None, typer.Option("--ca", help="PEM file that the broker's certificate needs.")
    ] = None,
    certificate: _Certificate = None,
    key: _Key = None,
    client_id: Annotated[
        str, typer.Option(help="Client ids; {n} is 0 for the service, then 1, 2, …")
    ] = "bench-{n}",
    topic: Annotated[str, typer.Option(help="Topic of a device's messages.")] = "bench/{client}/up",
    topics: Annotated[str, typer.Option("--filter", help="Filter of all of them.")] = "bench/+/up",
    command: Annotated[str, typer.Option(help="Topic that all devices read.")] = "bench/all/down",
    clients: Annotated[
        int, typer.Option(min=1, max=15_000, help="Devices at most.")
    ] = DEFAULT_CLIENTS,
    seconds: Annotated[
        float, typer.Option(min=0.2, max=120, help="Measured time of a line.")
    ] = DEFAULT_SECONDS,
    payload: Annotated[int, typer.Option(min=16, max=65536, help="Bytes of a message.")] = 64,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Lines to run; again for more.")
    ] = None,
    i_own_this: Annotated[
        str | None,
        typer.Option(metavar="HOST", help="Needed for any broker that is not on this machine."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put load on a broker: throughput, latency and handshakes over mutual TLS."""
    run = invocation(context, None, as_json)
    from motte.bench.lines import Group, Parties, lines
    from motte.bench.target import BenchError, resolve

    if url is None:
        if authority or certificate or key:
            raise BenchError(
                "--ca, --cert and --key are for a broker that a URL names",
                hint="add mqtts://HOST:PORT, or leave them out",
            )
        with _own(clients) as (target, parties):
            _measure(target, list(lines(parties, seconds, payload)), only, as_json=run.json)
        return
    if authority is None or certificate is None or key is None:
        raise BenchError(
            "a broker by URL needs --ca, --cert and --key",
            hint="name the PEM files that its clients use",
        )
    everybody = Group(client_id, certificate, key)
    parties = Parties(
        devices=Group(client_id, certificate, key, first=1, count=clients),
        service=everybody,
        report=topic,
        reports=topics,
        command=command,
    )
    target = resolve(url, authority, i_own_this)
    _measure(target, list(lines(parties, seconds, payload)), only, as_json=run.json)


@contextmanager
def _own(clients: int) -> "Iterator[tuple[Target, Parties]]":
    from motte.bench.fleet import DataPlane, make_fleet

    with tempfile.TemporaryDirectory(prefix="motte-bench-") as folder:
        fleet = make_fleet(Path(folder), clients)
        with DataPlane(fleet) as plane:
            yield fleet.target(plane.port), fleet.parties


def _measure(
    target: "Target", all_lines: "list[Line]", only: list[str] | None, *, as_json: bool
) -> None:
    from motte.bench.target import BenchError
    from motte.cli.render import console, print_json, table

    known = [line.key for line in all_lines]
    for key in only or ():
        if key not in known:
            raise BenchError(f"there is no line `{key}`", hint=f"one of: {', '.join(known)}")
    rates: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    with console(error=True).status("starting") as status:
        for line in all_lines:
            if not _is_wanted(line, only):
                continue
            status.update(f"{line.title}")
            row = _measure_one(target, line, rates)
            if only is None or line.key in only:
                rows.append(row)
    if as_json:
        print_json({"address": target.address, "port": target.port, "lines": rows})
        return
    table(
        ("line", "", "p50 µs", "p99 µs", "lost", "generator µs each"),
        [
            (
                row["title"],
                f"{row['value']:,.0f} {row['unit']}",
                f"{row['p50']:,.0f}",
                f"{row['p99']:,.0f}",
                f"{row['lost']:,}",
                f"{row['generator_microseconds']:.1f}",
            )
            for row in rows
        ],
    )


def _is_wanted(line: "Line", only: list[str] | None) -> bool:
    """Whether it is asked for, or gives the rate of one that is."""
    return only is None or line.key in only or line.key.replace("one", "latency", 1) in only


def _measure_one(target: "Target", line: "Line", rates: dict[str, float]) -> dict[str, Any]:
    from motte.bench.generator import run, value_of

    if line.half_of is not None:
        line = line.at_rate(rates[line.half_of] / 2)
    load = line.mode.get("throughput") or line.mode["handshakes"]
    result = run(target, line.mode, seconds=load["seconds"])
    value, count = value_of(line, result.report)
    rates[line.key] = value
    latency = result.report["latency_microseconds"] or {}
    return {
        "line": line.key,
        "title": line.title,
        "value": value,
        "unit": line.unit,
        "p50": latency.get("p50", 0.0),
        "p99": latency.get("p99", 0.0),
        "lost": result.report.get("lost", 0),
        "generator_microseconds": result.cpu_seconds * 1e6 / max(1, count),
        "tls": result.report["tls"],
    }
