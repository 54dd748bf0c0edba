"""AUT-01: anybody can connect."""

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


async def run(probe: Probe) -> Result:
    """CONNECT without user name, password and certificate, in 5.0 and in 3.1.1."""
    evidence: list[str] = []
    for version, name in ((wire.V5, "5.0"), (wire.V311, "3.1.1")):
        async with probe.login(version=version) as login:
            evidence += login.log
            if login.accepted:
                return failed(f"MQTT {name} lets anybody in", evidence)
            if not login.refused:
                return not_tested(f"no clear answer to MQTT {name}: {login.text}", evidence)
    return passed("refused in MQTT 5.0 and in 3.1.1", evidence)


CHECK: Final = Check(
    id="AUT-01",
    title="Nobody connects without a credential",
    severity=Severity.CRITICAL,
    rows=("A1", "T12"),
    question=Question.ANONYMOUS,
    why="Everybody who reaches the port is a client, with whatever rights a client has.",
    fix={
        Product.MOSQUITTO: "`allow_anonymous false` with `password_file` or "
        "`require_certificate true`; with `per_listener_settings` for each listener",
        Product.EMQX: "configure `authentication`; without one, everybody is let in",
        Product.HIVEMQ: "remove the extension `hivemq-allow-all-extension` and install one that "
        "authenticates",
        Product.VERNEMQ: "`allow_anonymous = off`",
        Product.NATS: "remove `no_auth_user` and define `authorization {}` or `accounts {}`",
        Product.RABBITMQ: "`mqtt.allow_anonymous = false`; from 4.0 `anonymous_login_user = none`",
        Product.MOTTE: "nothing: there is no anonymous mode",
    },
    references=("MQTT 5.0, 5.4.1", "ETSI EN 303 645, 5.1", "IEC 62443-4-2, CR 1.1"),
    run=run,
)
