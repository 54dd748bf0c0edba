"""Audits as the tests run them: of one check, or of all, against a port of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from motte.audit.checks import all_checks
from motte.audit.model import Finding, Outcome, Report
from motte.audit.probe import Probe
from motte.audit.run import audit
from motte.audit.target import Credential, resolve

CHECKS = {check.id: check for check in all_checks()}

PASS, FAIL, NOT_TESTED = Outcome.PASS, Outcome.FAIL, Outcome.NOT_TESTED


def run(
    port: int,
    *ids: str,
    tls: bool = True,
    authority: Path | None = None,
    credentials: Sequence[Credential] = (),
    topics: Sequence[str] = (),
    plain_ports: tuple[int, ...] = (),
) -> Report:
    """Audits a port with these checks, or with all."""
    url = f"{'mqtts' if tls else 'mqtt'}://localhost:{port}"
    target = resolve(url, authority=authority, plain_ports=plain_ports)
    probe = Probe(target, credentials=credentials, topics=topics)
    checks = [CHECKS[each] for each in ids] or None
    return asyncio.run(audit(probe, checks=checks))


def outcomes(report: Report) -> dict[str, Outcome]:
    """The outcome of each check."""
    return {found.check.id: found.outcome for found in report.findings}


def only(report: Report) -> Finding:
    """The one finding of a report."""
    (found,) = report.findings
    return found
