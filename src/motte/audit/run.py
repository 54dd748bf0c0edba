"""Runs the checks one after the other and gathers what they say."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from motte.audit.checks import all_checks
from motte.audit.model import Check, Finding, Product, Report, Result, not_tested
from motte.audit.peer import Closed, Silent, Unreachable
from motte.audit.probe import Probe
from motte.audit.target import check_reachable
from motte.audit.wire import WireError

__all__ = ["Progress", "audit"]

CHECK_SECONDS: Final = 120.0
"""How long one check may take in all; the slowest make some dozen connections."""

BANNED: Final = (
    "the broker stopped talking to this address, as one does that bans attackers, so that refusals "
    "prove nothing; raise its limit for this address, or wait and use --only"
)
"""Why a check that ends with the auditor shut out says nothing."""

Progress = Callable[[Check, Finding | None], None]
"""Told before a check, with ``None``, and after it."""


async def audit(
    probe: Probe,
    *,
    product: Product | None = None,
    progress: Progress = lambda _check, _finding: None,
    checks: Sequence[Check] | None = None,
) -> Report:
    """Asks the broker everything.

    Args:
        probe: The target and the credentials.
        product: What the broker is, if its owner said so; else it is taken from what it tells.
        progress: See `Progress`.
        checks: Only these checks.

    Raises:
        AuditError: Nothing answers at the target, or a credential cannot be used.
    """
    await check_reachable(probe.target)
    report = Report(probe.target.url, datetime.now(UTC), credentials=len(probe.credentials))
    talked = await probe.talks()
    for check in all_checks() if checks is None else checks:
        progress(check, None)
        result = await _run(check, probe)
        if talked and not await probe.talks():
            result = not_tested(BANNED, result.evidence)
        report.findings.append(Finding(check, result))
        progress(check, report.findings[-1])
    report.version = probe.version
    report.product = product or _product(probe.version)
    return report


async def _run(check: Check, probe: Probe) -> Result:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check.run(probe)
    except TimeoutError:
        return not_tested(f"it was not done within {CHECK_SECONDS:g} s")
    except Silent:
        return not_tested("the broker fell silent")
    except (Closed, Unreachable) as error:
        return not_tested(f"the connection ended: {error}")
    except WireError as error:
        return not_tested(f"the broker sent what is no MQTT: {error}")


def _product(version: str | None) -> Product | None:
    named = (version or "").lower()
    return next((product for product in Product if product.value in named), None)
