"""NET-01: a listener without TLS."""

import asyncio
import base64
import contextlib
import secrets
from typing import Final

from motte.audit import wire
from motte.audit.model import Check, Product, Question, Result, Severity, failed, passed
from motte.audit.peer import Closed, Peer, Silent, Unreachable
from motte.audit.probe import Probe
from motte.audit.wire import Kind, WireError

__all__ = ["CHECK"]

LISTEN_SECONDS: Final = 3.0
"""How long a listener may take to answer in clear text; without TLS one packet is enough."""


async def run(probe: Probe) -> Result:
    """Says CONNECT, then HTTP, in clear text on each port."""
    evidence: list[str] = []
    open_ports: list[str] = []
    ports = dict.fromkeys((probe.target.port, *probe.target.plain_ports))
    for port in ports:
        for name, ask in (("MQTT", _speaks_mqtt), ("WebSocket", _speaks_websocket)):
            if await ask(probe, port, evidence):
                open_ports.append(f"{port} ({name})")
                break
    if open_ports:
        where = ", ".join(open_ports)
        local = "; reached on loopback, which says nothing about other interfaces"
        note = local if probe.target.is_loopback else ""
        return failed(f"MQTT without TLS on port {where}{note}", evidence)
    looked = ", ".join(str(port) for port in ports)
    return passed(f"no MQTT without TLS on port {looked}; other ports were not tried", evidence)


async def _speaks_mqtt(probe: Probe, port: int, evidence: list[str]) -> bool:
    try:
        peer = await Peer.open(probe.target, port=port, tls=False)
    except Unreachable as error:
        evidence.append(f"! {probe.target.address}:{port}: {error}")
        return False
    try:
        packet = wire.connect(wire.V311, probe.new_id())
        peer.version = wire.V311
        await peer.send(packet, "CONNECT 3.1.1 without credentials, in clear text")
        await peer.answer(Kind.CONNACK, within=LISTEN_SECONDS)
    except (Closed, Silent, WireError):
        return False
    finally:
        evidence.extend(peer.log)
        await peer.leave()
    return True


async def _speaks_websocket(probe: Probe, port: int, evidence: list[str]) -> bool:
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    request = (
        f"GET /mqtt HTTP/1.1\r\nHost: {probe.target.host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    )
    status = b""
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(LISTEN_SECONDS):
            reader, writer = await asyncio.open_connection(probe.target.address, port)
            try:
                writer.write(request.encode())
                status = await reader.readline()
            finally:
                writer.close()
    if b" 101 " not in status:
        return False
    evidence += [
        f"! {probe.target.address}:{port}, no TLS",
        "> GET /mqtt, Upgrade: websocket, Sec-WebSocket-Protocol: mqtt",
        "< HTTP 101",
    ]
    return True


CHECK: Final = Check(
    id="NET-01",
    title="No listener without TLS",
    severity=Severity.CRITICAL,
    rows=("T1",),
    question=Question.CLEAR_TEXT,
    why="Whoever is on the path reads every password and message, and can put in their own.",
    fix={
        Product.MOSQUITTO: "remove each `listener` that has no `certfile`, or bind it: "
        "`listener 1883 127.0.0.1`",
        Product.EMQX: "`listeners.tcp.default.enable = false` and "
        "`listeners.ws.default.enable = false`",
        Product.HIVEMQ: "remove `<tcp-listener>` and `<websocket-listener>` from config.xml",
        Product.VERNEMQ: "remove `listener.tcp.default` and `listener.ws.default`",
        Product.NATS: "give `mqtt {}` and `websocket {}` a `tls {}` block",
        Product.RABBITMQ: "`mqtt.listeners.tcp = none` and `web_mqtt.tcp.listener = none`",
        Product.MOTTE: "Motte has no listener without TLS; something else answers on that port",
    },
    references=("MQTT 5.0, 5.4", "ETSI EN 303 645, 5.5-1", "OWASP ISTG-WRLS-CRYPT-001"),
    run=run,
)
