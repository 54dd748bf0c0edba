"""WIL-01: a will on a topic that is not one's own."""

import asyncio
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
from motte.audit.peer import Closed, Silent
from motte.audit.probe import SETTLE_SECONDS, Login, Probe
from motte.audit.wire import REFUSED, Will

__all__ = ["CHECK"]


async def run(probe: Probe) -> Result:
    """CONNECT with a will on a topic of nobody; pulls the plug and watches for the will."""
    holder = await probe.holder()
    if isinstance(holder, str):
        return not_tested(holder)
    topic = probe.canary("will")
    async with probe.login(holder) as control:
        if not control.accepted:
            return not_tested(f"the credential is not let in: {control.text}", control.log)
    async with probe.login(holder, client_id=probe.new_id()) as watcher:
        watching = await _watch(watcher, topic)
        async with probe.login(holder, will=Will(topic, probe.nonce.encode())) as login:
            if login.refused:
                return passed("a CONNECT with a will for others is refused", login.log)
            if login.peer is None or not login.accepted:
                return not_tested(f"no clear answer: {login.text}", login.log)
            login.peer.cut()
            await asyncio.sleep(0)
        evidence = [*watcher.log, *login.log, "! cut"]
        if watching and watcher.peer is not None:
            heard = await watcher.peer.messages(SETTLE_SECONDS)
            if any(each.topic == topic for each in heard):
                return failed(f"its will is published on {topic}, which is not its own", evidence)
    return not_tested("the will is taken, and it could not be watched whether it is sent", evidence)


async def _watch(watcher: Login, topic: str) -> bool:
    if watcher.peer is None or not watcher.accepted:
        return False
    try:
        codes = await watcher.peer.subscribe(topic)
    except (Closed, Silent):
        return False
    return bool(codes) and codes[0] < REFUSED


CHECK: Final = Check(
    id="WIL-01",
    title="A will is held to the rights of its client",
    severity=Severity.CRITICAL,
    rows=("W1",),
    question=Question.STRICT,
    why="A broker that checks what a client publishes and not its will lets it publish by hanging "
    "up.",
    fix={
        Product.MOSQUITTO: "`acl_file` with `pattern write …/%u/…`, which holds for wills too",
        Product.EMQX: "update to 5.0.8 or later, and `authorization.no_match = deny`",
        Product.HIVEMQ: "topic permissions in the extension that authorizes; they hold for wills",
        Product.VERNEMQ: "`pattern write …/%u/…` in the ACL",
        Product.NATS: "`permissions { publish: { allow: […] } }` for each user",
        Product.RABBITMQ: "`rabbitmqctl set_topic_permissions` with `{client_id}`",
        Product.MOTTE: "nothing: a will needs the right to publish, twice",
    },
    references=("MQTT 5.0, 3.1.2.5",),
    run=run,
)
