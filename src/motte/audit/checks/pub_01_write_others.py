"""PUB-01: writing to topics that are not one's own."""

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
from motte.audit.peer import Closed, Peer
from motte.audit.probe import SETTLE_SECONDS, Probe
from motte.audit.wire import REFUSED

__all__ = ["CHECK"]

NO_SUBSCRIBERS: Final = 0x10
"""A PUBACK that says that the message was let through and that nobody listened."""


async def run(probe: Probe) -> Result:
    """PUBLISH with QoS 1 to concrete topics of nobody, and see whether it goes through."""
    holder = await probe.holder()
    if isinstance(holder, str):
        return not_tested(holder)
    evidence: list[str] = []
    unseen: list[str] = []
    for topic in probe.topics_of_others():
        async with probe.login(holder) as login:
            if login.peer is None or not login.accepted:
                return not_tested(f"the credential is not let in: {login.text}", login.log)
            went = await _goes_through(login.peer, topic, probe.nonce.encode())
        evidence += login.log
        if went:
            return failed(f"writes to {topic}, which is not its own", evidence)
        if went is None:
            unseen.append(topic)
    if unseen:
        why = "acknowledged, which some brokers do with what they drop, and it could not be watched"
        return not_tested(f"PUBLISH to {unseen[0]} is {why}", evidence)
    return passed("messages to topics of others are refused", evidence)


async def _goes_through(peer: Peer, topic: str, payload: bytes) -> bool | None:
    """Whether a message is routed; ``None`` where it cannot be known."""
    try:
        answer = await peer.publish(topic, payload)
        if not answer.accepted or answer.code == NO_SUBSCRIBERS:
            return answer.accepted
        codes = await peer.subscribe(topic)
        if not codes or codes[0] >= REFUSED:
            return None
        await peer.publish(topic, payload)
        heard = await peer.messages(SETTLE_SECONDS)
    except Closed:
        return False
    return True if any(each.topic == topic for each in heard) else None


CHECK: Final = Check(
    id="PUB-01",
    title="A client writes only to its own topics",
    severity=Severity.CRITICAL,
    rows=("P1",),
    question=Question.STRICT,
    why="The key of one device commands every other device.",
    fix={
        Product.MOSQUITTO: "`acl_file` with `pattern write …/%u/…`",
        Product.EMQX: "`authorization.no_match = deny` and rules with `${clientid}`",
        Product.HIVEMQ: "topic permissions with `${{clientid}}` in the extension that authorizes",
        Product.VERNEMQ: "`pattern write …/%u/…` in the ACL",
        Product.NATS: "`permissions { publish: { allow: […] } }` for each user",
        Product.RABBITMQ: "`rabbitmqctl set_topic_permissions` with `{client_id}`",
        Product.MOTTE: "`motte policy radius` says which grant it is",
    },
    references=("OWASP IoT Top 10, I3", "IEC 62443-4-2, CR 2.1", "ETSI EN 303 645, 5.6"),
    run=run,
)
