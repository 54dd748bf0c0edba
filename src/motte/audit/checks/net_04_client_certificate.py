"""NET-04: whether a client needs a certificate of its own."""

from typing import Final

from motte.audit.model import Check, Product, Result, Severity, failed, not_tested, passed
from motte.audit.probe import Probe

__all__ = ["CHECK"]


async def run(probe: Probe) -> Result:
    """CONNECT with a user name and without a certificate."""
    if not probe.target.tls:
        return not_tested("the target has no TLS; name it as mqtts://")
    async with probe.login(username="motte-audit") as login:
        if login.accepted:
            return failed(
                "a user name alone, without certificate and password, is let in", login.log
            )
        if login.connack is not None:
            return failed(
                "the listener takes clients without a certificate, so that a password is all that "
                "stands before it",
                login.log,
                Severity.MEDIUM,
            )
        if login.refused:
            return passed("without a certificate there is no MQTT at all", login.log)
        return not_tested(f"no clear answer: {login.text}", login.log)


CHECK: Final = Check(
    id="NET-04",
    title="A client certificate is required",
    severity=Severity.CRITICAL,
    rows=("T3",),
    why="A password can be guessed, reused and read from a log; a key that never leaves the device "
    "cannot.",
    fix={
        Product.MOSQUITTO: "`cafile` and `require_certificate true`, with "
        "`use_identity_as_username true`",
        Product.EMQX: "`verify = verify_peer` and `fail_if_no_peer_cert = true` in `ssl_options`",
        Product.HIVEMQ: "`<client-authentication-mode>REQUIRED</client-authentication-mode>`",
        Product.VERNEMQ: "`listener.ssl.require_certificate = on` and "
        "`listener.ssl.use_identity_as_username = on`",
        Product.NATS: "`verify_and_map: true` in the `tls {}` block",
        Product.RABBITMQ: "`ssl_options.verify = verify_peer` and "
        "`ssl_options.fail_if_no_peer_cert = true`",
        Product.MOTTE: "nothing: a listener for passwords is one that somebody opened by name",
    },
    references=("RFC 8446, 4.3.2", "IEC 62443-4-2, CR 1.2", "ETSI EN 303 645, 5.1"),
    run=run,
)
