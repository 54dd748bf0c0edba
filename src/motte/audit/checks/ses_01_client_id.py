"""SES-01: a client id that belongs to somebody else."""

from typing import Final

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
    """CONNECT with a good credential and a client id that has nothing to do with it.

    The id is one that nobody uses: whoever may take it may take any, and no device is disturbed.
    """
    holder = await probe.holder()
    if isinstance(holder, str):
        return not_tested(holder)
    async with probe.login(holder) as control:
        if not control.accepted:
            return not_tested(f"the credential is not let in: {control.text}", control.log)
    async with probe.login(holder, client_id=probe.new_id()) as login:
        if login.accepted:
            return failed("the credential may use any client id, so also a device's", login.log)
        if login.refused:
            return passed("a client id of somebody else is refused", login.log)
        return not_tested(f"no clear answer: {login.text}", login.log)


CHECK: Final = Check(
    id="SES-01",
    title="A client id belongs to a credential",
    severity=Severity.CRITICAL,
    rows=("S1", "S2", "S3"),
    question=Question.STRICT,
    why="Whoever connects with a device's client id throws the device out and gets its session, "
    "with the commands that wait in it.",
    fix={
        Product.MOSQUITTO: "`use_username_as_clientid true` on a listener with "
        "`use_identity_as_username true`",
        Product.EMQX: "`mqtt.peer_cert_as_clientid = cn`, or a check of `${clientid}` in the "
        "authenticator",
        Product.HIVEMQ: "an extension that compares client id and certificate on CONNECT",
        Product.VERNEMQ: "a plugin at `auth_on_register` that compares client id and user",
        Product.NATS: "one account for each device: sessions belong to an account",
        Product.RABBITMQ: "`mqtt.ssl_cert_client_id_from = distinguished_name`, which has to match",
        Product.MOTTE: "nothing: the client id is the identity, or the identity and a suffix",
    },
    references=("MQTT 5.0, 5.4.2",),
    run=run,
)
