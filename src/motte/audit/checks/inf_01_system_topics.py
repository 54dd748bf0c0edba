"""INF-01: what the broker tells about itself and others."""

from typing import Final

from motte.audit import wire
from motte.audit.model import Check, Product, Result, Severity, failed, not_tested, passed
from motte.audit.peer import Closed, Silent
from motte.audit.probe import Probe
from motte.audit.wire import Answer

__all__ = ["CHECK"]

LISTEN_SECONDS: Final = 1.0
"""How long the kept messages under $SYS may take to arrive."""
SHOWN: Final = 8
"""Topics that the evidence names at most."""


async def run(probe: Probe) -> Result:
    """SUBSCRIBE $SYS/# and its best known topics, and see what comes."""
    holder = await probe.holder()
    if isinstance(holder, str):
        return not_tested(holder)
    async with probe.login(holder) as login:
        if login.peer is None or not login.accepted:
            return not_tested(f"the credential is not let in: {login.text}", login.log)
        found: list[Answer] = []
        try:
            for topic_filter in ("$SYS/#", "$SYS/broker/version"):
                await login.peer.subscribe(topic_filter, retained=True)
            found = await login.peer.messages(LISTEN_SECONDS)
        except Closed:
            pass
        except (Silent, wire.WireError):
            return not_tested("no clear answer to SUBSCRIBE", login.log)
        evidence = [line for line in login.log if not line.startswith("< PUBLISH")]
        if not found:
            return passed("nothing under $SYS is shown", evidence)
        topics = list(dict.fromkeys(message.topic for message in found))
        evidence += [f"< PUBLISH {topic}" for topic in topics[:SHOWN]]
        probe.remember_version(found)
        told = f", and says that it is {probe.version}" if probe.version else ""
        return failed(f"shows {len(topics)} topics under $SYS{told}", evidence)


CHECK: Final = Check(
    id="INF-01",
    title="The broker tells clients nothing about itself",
    severity=Severity.MEDIUM,
    rows=("I1", "I2"),
    why="Version, load and names of clients are what an attacker looks for first.",
    fix={
        Product.MOSQUITTO: "no `topic read $SYS/#` for devices in the `acl_file`, or "
        "`sys_interval 0`",
        Product.EMQX: '`{deny, all, subscribe, ["$SYS/#"]}.` in acl.conf',
        Product.HIVEMQ: "permissions without `$SYS` in the extension that authorizes",
        Product.VERNEMQ: "no `topic read $SYS/#` in the ACL, or `systree_enabled = off`",
        Product.NATS: "NATS has no $SYS over MQTT",
        Product.RABBITMQ: "RabbitMQ has no $SYS over MQTT",
        Product.MOTTE: "remove the grant on `$SYS` from the role",
    },
    references=("OWASP ISTG-DES-INFO-001", "MQTT 5.0, 4.7.2"),
    run=run,
)
