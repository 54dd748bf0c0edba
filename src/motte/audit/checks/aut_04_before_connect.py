"""AUT-04: packets before CONNECT."""

from typing import Final

from motte.audit import wire
from motte.audit.model import Check, Product, Result, Severity, failed, not_tested, passed
from motte.audit.peer import Closed, Peer, Silent, Unreachable
from motte.audit.probe import Probe
from motte.audit.wire import WireError

__all__ = ["CHECK"]

SILENCE_SECONDS: Final = 2.0
"""How long the broker may take to hang up on a client that begins with the wrong packet."""


async def run(probe: Probe) -> Result:
    """Begins a connection with each packet that a client may only send later."""
    topic = probe.canary("before-connect")
    packets = {
        "PUBLISH": wire.publish(wire.V311, topic, b"canary", packet_id=1),
        "SUBSCRIBE": wire.subscribe(wire.V311, 1, [topic]),
        "PINGREQ": wire.PINGREQ,
        "AUTH": wire.frame(0xF0, b"\x18\x00"),
    }
    evidence: list[str] = []
    held: list[str] = []
    credential = probe.credentials[0] if probe.credentials else None
    async with probe.login(credential) as control:
        if control.connack is None:
            why = "without the right certificate TLS ends first, and MQTT is never reached"
            return not_tested(why, control.log)
    for name, packet in packets.items():
        try:
            peer = await Peer.open(probe.target, credential=credential)
        except Unreachable as error:
            return not_tested(f"no connection: {error}", evidence)
        try:
            await peer.send(packet, f"{name} without a CONNECT before it")
            answer = await peer.receive(SILENCE_SECONDS)
        except (Closed, WireError):
            continue
        except Silent:
            held.append(name)
            continue
        finally:
            evidence += peer.log
            await peer.close()
        if answer.kind is not wire.Kind.DISCONNECT:
            return failed(f"{name} before CONNECT was answered with {answer.kind.name}", evidence)
    if held:
        what = f"{', '.join(held)} before CONNECT did not end the connection"
        return failed(what, evidence, Severity.LOW)
    return passed("every packet but CONNECT ends the connection", evidence)


CHECK: Final = Check(
    id="AUT-04",
    title="Nothing happens before CONNECT",
    severity=Severity.HIGH,
    rows=("A6",),
    why="What runs before authentication runs for everybody.",
    fix={
        Product.MOSQUITTO: "update; no setting changes it",
        Product.EMQX: "update; no setting changes it",
        Product.HIVEMQ: "update; no setting changes it",
        Product.VERNEMQ: "update; no setting changes it",
        Product.NATS: "update; no setting changes it",
        Product.RABBITMQ: "update; no setting changes it",
        Product.MOTTE: "report it: SECURITY.md says how",
    },
    references=("MQTT 5.0, MQTT-3.1.0-1", "MQTT 3.1.1, MQTT-3.1.0-1"),
    run=run,
)
