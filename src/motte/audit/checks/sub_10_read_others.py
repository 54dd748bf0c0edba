"""SUB-10: reading topics that are not one's own."""

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
from motte.audit.peer import Closed
from motte.audit.probe import SETTLE_SECONDS, Probe
from motte.audit.wire import REFUSED

__all__ = ["CHECK"]


async def run(probe: Probe) -> Result:
    """SUBSCRIBE to concrete topics of nobody, then a message there."""
    holder = await probe.holder()
    if isinstance(holder, str):
        return not_tested(holder)
    evidence: list[str] = []
    granted: list[str] = []
    for topic in probe.topics_of_others():
        async with probe.login(holder) as login:
            try:
                if login.peer is None or not login.accepted:
                    why = f"the credential is not let in: {login.text}"
                    return not_tested(why, login.log)
                codes = await login.peer.subscribe(topic)
                if not codes or codes[0] >= REFUSED:
                    continue
                granted.append(topic)
                await login.peer.publish(topic, probe.nonce.encode())
                heard = await login.peer.messages(SETTLE_SECONDS)
            except Closed:
                continue
            finally:
                evidence += login.log
        if any(each.topic == topic for each in heard):
            return failed(f"reads {topic}, which is not its own", evidence)
    if granted:
        why = "granted, but no message could be put there to see whether it arrives"
        return not_tested(f"SUBSCRIBE {granted[0]} is {why}", evidence)
    return passed("topics of others are refused", evidence)


CHECK: Final = Check(
    id="SUB-10",
    title="A client reads only its own topics",
    severity=Severity.CRITICAL,
    rows=("B5",),
    question=Question.STRICT,
    why="The key of one device reads what every other device says and is told.",
    fix={
        Product.MOSQUITTO: "`acl_file` with `pattern read …/%u/…`",
        Product.EMQX: "`authorization.no_match = deny` and rules with `${clientid}`",
        Product.HIVEMQ: "topic permissions with `${{clientid}}` in the extension that authorizes",
        Product.VERNEMQ: "`pattern read …/%u/…` in the ACL",
        Product.NATS: "`permissions { subscribe: { allow: […] } }` for each user",
        Product.RABBITMQ: "`rabbitmqctl set_topic_permissions` with `{client_id}`",
        Product.MOTTE: "`motte policy radius` says which grant it is",
    },
    references=("OWASP IoT Top 10, I3", "IEC 62443-4-2, CR 2.1", "ETSI EN 303 645, 5.6"),
    run=run,
)
