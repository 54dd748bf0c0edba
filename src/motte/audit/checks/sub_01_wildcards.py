"""SUB-01: wildcard subscriptions."""

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
from motte.audit.peer import Closed, Silent
from motte.audit.probe import SETTLE_SECONDS, Login, Probe
from motte.audit.target import Credential
from motte.audit.wire import REFUSED

__all__ = ["CHECK"]

FILTERS: Final = ("#", "+", "+/+", "+/#", "+/+/#", "/#")
"""Filters that reach everybody's topics."""


async def run(probe: Probe) -> Result:
    """SUBSCRIBE to each filter, then a message on a canary topic that they would bring."""
    holder = await probe.holder()
    if isinstance(holder, str):
        return not_tested(holder)
    evidence: list[str] = []
    granted: list[str] = []
    for topic_filter in FILTERS:
        async with probe.login(holder) as login:
            if login.peer is None or not login.accepted:
                return not_tested(f"the credential is not let in: {login.text}", login.log)
            try:
                codes = await login.peer.subscribe(topic_filter)
            except Closed:
                codes = (REFUSED,)
            except Silent:
                return not_tested(f"no answer to SUBSCRIBE {topic_filter}", login.log)
            finally:
                evidence += login.log
        if codes and codes[0] < REFUSED:
            granted.append(topic_filter)
    if not granted:
        return passed(f"{', '.join(FILTERS)} are refused", evidence)
    what = f"{', '.join(granted)} granted"
    if await _brings_the_canary(probe, holder, granted[0], evidence):
        return failed(f"{what}, and messages of a topic that is nobody's arrive", evidence)
    return failed(
        f"{what}; no canary could be shown to arrive, so that what they bring is up to the read "
        "rules",
        evidence,
        Severity.HIGH,
    )


async def _brings_the_canary(
    probe: Probe, holder: Credential | None, topic_filter: str, evidence: list[str]
) -> bool:
    topic = probe.canary("wildcard") if topic_filter in {"#", "+/#", "+/+/#"} else "motte-audit"
    async with probe.login(holder) as login:
        try:
            return await _round_trip(login, topic_filter, topic, probe.nonce.encode())
        except (Closed, Silent, wire.WireError):
            return False
        finally:
            evidence += login.log


async def _round_trip(login: Login, topic_filter: str, topic: str, payload: bytes) -> bool:
    if login.peer is None or not login.accepted:
        return False
    await login.peer.subscribe(topic_filter)
    await login.peer.publish(topic, payload)
    return any(
        message.topic == topic and message.payload == payload
        for message in await login.peer.messages(SETTLE_SECONDS)
    )


CHECK: Final = Check(
    id="SUB-01",
    title="Wildcard subscriptions are refused",
    severity=Severity.CRITICAL,
    rows=("B1", "B2"),
    question=Question.WILDCARDS,
    why="One subscription shows a thief the whole fleet: who is there, what it says, what it is "
    "told.",
    fix={
        Product.MOSQUITTO: "an `acl_file` with `pattern read …/%u/…` and no `#` decides what is "
        "delivered; `subscribePattern` of the dynamic security plugin refuses the filter itself",
        Product.EMQX: "`mqtt.wildcard_subscription = false`, or rules with `eq #` denied and "
        "`authorization.no_match = deny`",
        Product.HIVEMQ: "`<wildcard-subscriptions><enabled>false</enabled>` in `<mqtt>`",
        Product.VERNEMQ: "an ACL with `pattern read …/%u/…` and no `#`",
        Product.NATS: "`permissions { subscribe: { allow: […] } }` without `>` and `*`",
        Product.RABBITMQ: "`rabbitmqctl set_topic_permissions` with a read pattern that names the "
        "client: `^dev\\.{client_id}\\.`",
        Product.MOTTE: "remove `wildcards = true` from the role",
    },
    references=("OWASP IoT Top 10, I3", "MQTT 5.0, 4.7.1"),
    run=run,
)
