"""AUT-02: a user name with no password, or with nothing in it."""

from typing import Final

from motte.audit import wire
from motte.audit.model import (
    Check,
    Product,
    Question,
    Result,
    Severity,
    failed,
    not_tested,
    passed,
)
from motte.audit.probe import Probe

__all__ = ["CHECK"]

ATTEMPTS: Final = (
    ("admin", None, "a user name without a password"),
    ("admin", b"", "a user name with an empty password"),
    ("", None, "an empty user name"),
    ("", b"", "an empty user name with an empty password"),
)
"""User names and passwords that prove nothing. A password alone is for 5.0 and left out."""


async def run(probe: Probe) -> Result:
    """CONNECT with each of them in both versions."""
    evidence: list[str] = []
    names = [name for name, _, _ in ATTEMPTS]
    own = probe.credentials[0].username if probe.credentials else None
    attempts = list(ATTEMPTS)
    if own and own not in names:
        attempts.append((own, None, "the user name of a credential without its password"))
    for username, password, what in attempts:
        for version in (wire.V5, wire.V311):
            async with probe.login(version=version, username=username, password=password) as login:
                evidence += login.log
                if login.accepted:
                    return failed(f"{what} is let in", evidence)
                if not login.refused:
                    return not_tested(f"no clear answer to {what}: {login.text}", evidence)
    return passed("user names without a password are refused, empty ones too", evidence)


CHECK: Final = Check(
    id="AUT-02",
    title="A missing or empty password is refused",
    severity=Severity.CRITICAL,
    rows=("A2", "A3"),
    question=Question.ANONYMOUS,
    why="A broker that looks at the password only if there is one has no passwords.",
    fix={
        Product.MOSQUITTO: "`allow_anonymous false`, and no empty line or user in `password_file`",
        Product.EMQX: "an `authentication` chain that ends in a refusal",
        Product.HIVEMQ: "an extension that authenticates, in place of the one that allows all",
        Product.VERNEMQ: "`allow_anonymous = off` and `vmq_passwd.password_file`",
        Product.NATS: "users with a password or an nkey in `authorization {}`",
        Product.RABBITMQ: "update: CVE-2016-9877 is this fault",
        Product.MOTTE: "nothing: a password is never missing from a proof",
    },
    references=("CVE-2016-9877", "CVE-2018-12551", "MQTT 5.0, 3.1.2.9"),
    run=run,
)
