"""AUT-04b: a second CONNECT on a connection."""

from typing import Final

from motte.audit import wire
from motte.audit.model import Check, Product, Result, Severity, failed, not_tested, passed
from motte.audit.peer import Closed, Silent
from motte.audit.probe import Probe
from motte.audit.wire import Kind, WireError

__all__ = ["CHECK"]

SILENCE_SECONDS: Final = 2.0
"""How long the broker may take to hang up."""


async def run(probe: Probe) -> Result:
    """CONNECT, and CONNECT again under another client id."""
    holder = await probe.holder()
    if isinstance(holder, str):
        return not_tested(holder)
    async with probe.login(holder) as login:
        if login.peer is None or not login.accepted:
            return not_tested(f"the credential is not let in: {login.text}", login.log)
        try:
            other = wire.connect(login.peer.version, probe.new_id())
            await login.peer.send(other, "CONNECT again, as somebody else")
            answer = await login.peer.receive(SILENCE_SECONDS)
        except Closed:
            return passed("a second CONNECT ends the connection", login.log)
        except Silent:
            return failed("a second CONNECT did not end the connection", login.log)
        except WireError as error:
            return not_tested(f"the answer was no MQTT: {error}", login.log)
        if answer.kind is Kind.DISCONNECT:
            return passed("a second CONNECT ends the connection", login.log)
        return failed(f"a second CONNECT was answered with {answer}", login.log)


CHECK: Final = Check(
    id="AUT-04b",
    title="A second CONNECT ends the connection",
    severity=Severity.HIGH,
    rows=("A7",),
    why="Whoever can change identity on an open connection has skipped the checks made at its "
    "start.",
    fix={
        Product.MOSQUITTO: "update; no setting changes it",
        Product.EMQX: "update; no setting changes it",
        Product.HIVEMQ: "update; no setting changes it",
        Product.VERNEMQ: "update; no setting changes it",
        Product.NATS: "update; no setting changes it",
        Product.RABBITMQ: "update; no setting changes it",
        Product.MOTTE: "report it: SECURITY.md says how",
    },
    references=("MQTT 5.0, MQTT-3.1.0-2",),
    run=run,
)
