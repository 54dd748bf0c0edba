"""How the findings in firmware look on a terminal: what opens this fleet first."""

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.text import Text

from motte.cli.render import console, moment, say
from motte.firmware.model import CertificateFacts, Finding, Kind
from motte.firmware.pairing import Paired, State
from motte.firmware.report import ScannedImage, revocation
from motte.text import printable

__all__ = ["progress", "show_image", "show_summary"]

SHOWN_FINDINGS: Final = 50
"""Findings shown for one image at most; the rest are counted. `--json` has all."""
SHOWN_PLACES: Final = 4
"""Places shown for one finding at most."""
SHOWN_PROBLEMS: Final = 10
"""Problems shown for one image at most."""
_STYLES: Final = {
    Kind.PRIVATE_KEY: "bold red",
    Kind.ENCRYPTED_KEY: "red",
    Kind.KEY_STORE: "red",
    Kind.CREDENTIAL: "bold red",
    Kind.TOKEN: "bold red",
}
_WORDS: Final = {
    State.LIVE: "live in this fleet",
    State.QUARANTINED: "quarantined in this fleet",
    State.REVOKED: "revoked in this fleet, so worth nothing",
    State.EXPIRED: "of this fleet, and expired",
    State.UNREGISTERED: "signed by this fleet's authority and not in its registry",
    State.AUTHORITY: "the authority of this fleet",
    State.BROKER: "the broker of this fleet",
    State.FOREIGN: "not of this fleet",
}
_KEY_IS_HERE: Final = {
    State.AUTHORITY: ", with its key: who has this image can be every device",
    State.BROKER: ", with its key: who has this image can pass for the broker",
}


@contextlib.contextmanager
def progress(image: Path) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while an image is scanned, if somebody is looking."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    shown = console(error=True)
    if not shown.is_terminal:
        yield lambda _: None
        return
    total = image.stat().st_size if image.is_file() else None
    with Progress(*columns, console=shown, transient=True) as bar:
        task = bar.add_task(Text(printable(image.name)).plain, total=total)
        yield lambda size: bar.advance(task, size)


def show_image(image: ScannedImage, revoke_options: str) -> None:
    """Everything about one image."""
    report = image.report
    parts = f", {_count(report.parts - 1, 'part')} unpacked" if report.parts > 1 else ""
    say(Text(f"{printable(report.name)}: {report.size:,} bytes{parts}", "bold"))
    shown = [one for one in image.findings if not _is_told_by_its_key(one)]
    for paired in shown[:SHOWN_FINDINGS]:
        _show(paired, report.name, revoke_options)
    if len(shown) > SHOWN_FINDINGS:
        say(f"  … and {len(shown) - SHOWN_FINDINGS} more; --json lists them", style="dim")
    if not image.findings:
        say("  nothing found")
    for problem in report.problems[:SHOWN_PROBLEMS]:
        where = printable(f"{' → '.join(problem.path)}, {problem.offset:#x}")
        say(Text.assemble(("  not read  ", "yellow"), f"{where}: {problem.what}"))
    hidden = len(report.problems[SHOWN_PROBLEMS:]) + report.more_problems
    if hidden:
        say(f"  … and {hidden} more that could not be read", style="dim")
    say()


def show_summary(images: Sequence[ScannedImage], *, asked: bool) -> None:
    """The result in a line or two."""
    findings = [paired for image in images for paired in image.findings]
    keys = sum(one.finding.kind.is_key for one in findings)
    others = sum(one.finding.kind.is_secret for one in findings) - keys
    live = {
        one.standing.identity or one.standing.state
        for one in findings
        if one.standing is not None and one.opens_the_fleet
    }
    style = "bold red" if keys or others else "green"
    what = f"{_count(keys, 'key')}, {_count(others, 'other secret')}"
    say(Text(f"{what} in {_count(len(images), 'image')}", style))
    if live:
        say(Text(f"{_count(len(live), 'identity', 'identities')} of this fleet in them", style))
    if not asked:
        say("no deployment here to ask who is live; name its folder with --directory", style="dim")


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _is_told_by_its_key(paired: Paired) -> bool:
    return paired.finding.kind is Kind.CERTIFICATE and paired.has_key


def _show(paired: Paired, image: str, revoke_options: str) -> None:
    finding = paired.finding
    style = _STYLES.get(finding.kind, "default")
    say(Text.assemble(("  ", ""), (printable(finding.title), style)))
    if finding.fingerprint is not None:
        say(f"    SHA-256       {finding.fingerprint}")
    for name, value in finding.facts.items():
        say(f"    {name:<13} {printable(value)}")
    _show_places(finding)
    if finding.certificate is not None:
        _show_certificate(finding.certificate)
    for certificate in paired.certificates:
        say(Text(f"    belongs to    {printable(certificate.title)}", "bold"))
        _show_places(certificate)
        if certificate.certificate is not None:
            _show_certificate(certificate.certificate)
    _show_standing(paired, image, revoke_options)


def _show_places(finding: Finding) -> None:
    for place in finding.places[:SHOWN_PLACES]:
        say(f"    at            {printable(place.text)}   {place.form}", style="dim")
    hidden = len(finding.places[SHOWN_PLACES:]) + finding.more_places
    if hidden:
        say(f"    … and at {_count(hidden, 'more place')}", style="dim")


def _show_certificate(certificate: CertificateFacts) -> None:
    if certificate.spiffe_id is not None:
        say(f"    identity      {certificate.spiffe_id}")
    say(f"    issued by     {certificate.issuer or 'nobody'}, serial {certificate.serial:x}")
    say(f"    valid         {moment(certificate.not_before)} to {moment(certificate.not_after)}")


def _show_standing(paired: Paired, image: str, revoke_options: str) -> None:
    standing = paired.standing
    if standing is None:
        return
    what = _WORDS[standing.state]
    if standing.identity is not None:
        what += f": {printable(standing.identity)}"
    if standing.state.is_dangerous:
        with_key = _KEY_IS_HERE.get(standing.state, "")
        what += with_key if paired.has_key else "; its key was not found here"
    say(Text(f"    here          {what}", "bold red" if paired.opens_the_fleet else "dim"))
    command = revocation(paired, image)
    if command is not None:
        say(Text(f"    revoke with   {printable(shlex.join(command))}{revoke_options}", "bold"))
