"""``motte device``: who belongs to the fleet."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from motte.cli.invocation import DirectoryOption, Invocation, JsonOption, invocation
from motte.errors import EnrollmentError
from motte.text import printable

if TYPE_CHECKING:
    from motte.fleet.registry import CertificateRecord, IdentityRecord
    from motte.fleet.service import Enrolled
    from motte.plane.operations import Outcome
    from motte.plane.publisher import Published

__all__ = ["app"]

app = typer.Typer(
    name="device", help="Enrol, list, revoke and quarantine identities.", no_args_is_help=True
)

_Id = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
_Why = Annotated[str, typer.Option("--why", "-w", help="The reason, kept in the history.")]


@app.command("add")
def add(
    context: typer.Context,
    identity: _Id,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute", "-a", metavar="KEY=VALUE", help="What a policy can match; repeatable."
        ),
    ] = None,
    service: Annotated[
        bool, typer.Option("--service", help="Enrol a service of yours, not a device.")
    ] = False,
    why: _Why = "",
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enrol an identity and make its bundle: key, certificate and examples in one folder."""
    run = invocation(context, directory, as_json)
    attributes = _attributes(attribute or [])
    from motte.fleet.identity import Kind

    with run.open() as plane:
        kind = Kind.SERVICE if service else Kind.DEVICE
        enrolled = plane.enrolment.enrol(kind, identity, attributes, why=why)
    _show_enrolled(run, enrolled, "enrolled")


@app.command("list")
def list_identities(
    context: typer.Context,
    status: Annotated[
        str | None, typer.Option("--status", help="Only active, quarantined or revoked ones.")
    ] = None,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every identity of the fleet."""
    run = invocation(context, directory, as_json)
    from motte.cli.render import print_json, say, table
    from motte.fleet.schema import Status

    wanted = None
    if status is not None:
        if status not in set(Status):
            raise typer.BadParameter(f"`{printable(status)}` is not one of {', '.join(Status)}")
        wanted = Status(status)
    with run.open() as plane:
        records = plane.fleet.identities(wanted)
        now = plane.clock.now()
    if run.json:
        print_json([_as_json(record) for record in records])
    elif not records:
        say("nobody is enrolled; `motte device add ID` enrols" if wanted is None else "none")
    else:
        rows = [
            (
                record.identity.id,
                str(record.identity.kind),
                str(record.status),
                _attribute_text(record),
                _validity(record.certificates, now.timestamp()),
            )
            for record in records
        ]
        table(("id", "kind", "status", "attributes", "certificate"), rows)


@app.command("show")
def show(
    context: typer.Context,
    identity: _Id,
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one identity with its certificates and its history."""
    run = invocation(context, directory, as_json)
    from motte.cli.render import moment, print_json, say, table

    with run.open() as plane:
        record = plane.fleet.get(identity)
        history = plane.registry.changes(record.identity.name)
        bundle = plane.deployment.bundle(record.identity.id)
        fleet = plane.config.fleet.name
    if run.json:
        changes = [
            {"at": change.at, "actor": change.actor, "action": change.action, "why": change.why}
            for change in history
        ]
        print_json({**_as_json(record), "bundle": str(bundle), "history": changes})
        return
    why = f": {printable(record.why)}" if record.why else ""
    say(f"{record.identity.name}   {record.status} since {moment(record.status_since)}{why}")
    say(f"  identity    {record.identity.spiffe_id(fleet)}")
    say(f"  bundle      {bundle}{'' if bundle.is_dir() else ' (not here)'}")
    say()
    table(
        ("certificate", "from", "until", "revoked"),
        [
            (
                certificate.serial,
                moment(certificate.not_before),
                moment(certificate.not_after),
                moment(certificate.revoked_at) if certificate.revoked_at else "",
            )
            for certificate in record.certificates
        ],
    )
    say()
    table(
        ("when", "who", "what", "why"),
        [
            (moment(change.at), printable(change.actor), change.action, printable(change.why))
            for change in history
        ],
    )


@app.command("revoke")
def revoke(
    context: typer.Context,
    identity: _Id,
    why: _Why = "",
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse an identity for ever, and close its connections before this returns."""
    run = invocation(context, directory, as_json)
    with run.open() as plane:
        _show_outcome(run, plane.operations.revoke(identity, why=why))


@app.command("quarantine")
def quarantine(
    context: typer.Context,
    identity: _Id,
    why: _Why = "",
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse an identity until it is released, and close its connections."""
    run = invocation(context, directory, as_json)
    with run.open() as plane:
        _show_outcome(run, plane.operations.quarantine(identity, why=why))


@app.command("release")
def release(
    context: typer.Context,
    identity: _Id,
    why: _Why = "",
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a quarantined identity in again."""
    run = invocation(context, directory, as_json)
    with run.open() as plane:
        _show_outcome(run, plane.operations.release(identity, why=why))


@app.command("rotate")
def rotate(
    context: typer.Context,
    identity: _Id,
    why: _Why = "",
    directory: DirectoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a new key and certificate in a new bundle; the old ones stop working at once."""
    run = invocation(context, directory, as_json)
    with run.open() as plane:
        enrolled, published = plane.operations.rotate(identity, plane.enrolment, why=why)
    _show_enrolled(run, enrolled, "made a new key for", published)


def _attributes(given: Sequence[str]) -> dict[str, str]:
    attributes: dict[str, str] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator or not key or not value:
            raise EnrollmentError(
                f"`{printable(text)}` is not an attribute",
                hint="write key=value, for example --attribute group=toaster",
            )
        if key in attributes:
            raise EnrollmentError(
                f"the attribute {printable(key)} is given twice",
                hint="an identity has one value for each attribute",
            )
        attributes[key] = value
    return attributes


def _show_enrolled(
    run: Invocation, enrolled: "Enrolled", what: str, published: "Published | None" = None
) -> None:
    from motte.cli.render import moment, print_json, say

    if run.json:
        print_json(
            {
                "identity": enrolled.identity.name,
                "attributes": dict(enrolled.identity.attributes),
                "bundle": str(enrolled.bundle.folder),
                "serial": enrolled.serial,
                "not_after": enrolled.not_after,
                "published": _published_json(published) if published else None,
            }
        )
        return
    say(f"{what} {enrolled.identity.name}, good until {moment(enrolled.not_after)}")
    say(f"  {enrolled.bundle.folder}: the only copy of the key; README.md there shows its use")
    if published is not None:
        _say_published(published)


def _show_outcome(run: Invocation, outcome: "Outcome") -> None:
    from motte.cli.render import print_json, say

    change, published = outcome.change, outcome.published
    if run.json:
        print_json(
            {
                "identity": change.identity.name,
                "status": change.after,
                "before": change.before,
                "published": _published_json(published),
            }
        )
        return
    already = "" if change.changed else "already "
    say(f"{change.identity.name} is {already}{change.after}")
    _say_published(published)


def _say_published(published: "Published") -> None:
    from motte.cli.render import say, warn

    if published.live:
        disconnected = published.report.get("disconnected") or []
        closed = f", {len(disconnected)} disconnected" if disconnected else ""
        say(f"  in force now: snapshot {published.generation}{closed}")
    else:
        say(f"  no data plane is running: snapshot {published.generation} waits for its start")
    if published.note:
        warn(published.note)


def _published_json(published: "Published") -> dict[str, Any]:
    return {
        "generation": published.generation,
        "live": published.live,
        "changed": published.changed,
        "report": published.report,
        "note": published.note,
    }


def _as_json(record: "IdentityRecord") -> dict[str, Any]:
    return {
        "id": record.identity.id,
        "kind": record.identity.kind,
        "attributes": dict(record.identity.attributes),
        "status": record.status,
        "status_since": record.status_since,
        "why": record.why,
        "created": record.created,
        "certificates": [
            {
                "serial": certificate.serial,
                "not_before": certificate.not_before,
                "not_after": certificate.not_after,
                "revoked_at": certificate.revoked_at,
            }
            for certificate in record.certificates
        ],
    }


def _attribute_text(record: "IdentityRecord") -> str:
    return " ".join(f"{key}={value}" for key, value in sorted(record.identity.attributes.items()))


def _validity(certificates: Sequence["CertificateRecord"], now: float) -> str:
    from motte.cli.render import age

    good = [certificate for certificate in certificates if certificate.revoked_at is None]
    if not good:
        return "none"
    left = good[0].not_after.timestamp() - now
    return f"{age(left)} left" if left > 0 else f"expired {age(left)} ago"
