"""The decisions of the data plane against the reference, on random policies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from motte import _core
from tests.policy import reference
from tests.policy.reference import Denial, Grant, Identity, Role

LEVELS = st.sampled_from(["a", "b", "", "$s", "+", "{device}", "{service}", "{site}"])
TOPIC_LEVELS = st.sampled_from(["a", "b", "", "$s", reference.FRESH])
VALUES = st.sampled_from(["a", "b"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A topic pattern with placeholders."""
    levels = draw(st.lists(LEVELS, max_size=reference.FILTER_DEPTH))
    if draw(st.booleans()) or levels in ([], [""]):
        levels = [*levels, "#"]
    return "/".join(levels)


@st.composite
def topics(draw: st.DrawFn) -> str:
    """A topic name."""
    levels = draw(st.lists(TOPIC_LEVELS, min_size=1, max_size=reference.TOPIC_DEPTH))
    return "/".join(levels) or "/"


@st.composite
def questions(draw: st.DrawFn) -> str:
    """A topic filter without placeholders."""
    levels = draw(st.lists(st.sampled_from(["a", "b", "", "$s", "+"]), max_size=3))
    if draw(st.booleans()) or levels in ([], [""]):
        levels = [*levels, "#"]
    return "/".join(levels)


QOS = st.sampled_from([0, 1, 2])
PUBLISH = st.builds(Grant, topic=patterns(), qos=QOS, retain=st.booleans(), will=st.booleans())
SUBSCRIBE = st.builds(Grant, topic=patterns(), qos=QOS)
ACTIONS = st.sampled_from([("publish",), ("subscribe",), ("publish", "subscribe")])
DENIALS = st.builds(Denial, topic=patterns(), actions=ACTIONS)
# Mostly what matches: an identity without a role is decided at once.
KINDS = st.sampled_from(["service", "service", "service", "service", "device"])


SHARES = st.sampled_from([(), (), ("g",), ("g", "h")])


@st.composite
def roles(draw: st.DrawFn) -> Role:
    """A role; devices have no wildcards (law 5)."""
    kind = draw(KINDS)
    return Role(
        kind=kind,
        id=draw(st.sampled_from([None, None, None, "a"])),
        attributes=draw(st.sampled_from([{}, {}, {"site": "a"}])),
        publish=draw(st.lists(PUBLISH, max_size=4)),
        subscribe=draw(st.lists(SUBSCRIBE, max_size=4)),
        deny=draw(st.lists(DENIALS, max_size=1)),
        wildcards=kind == "service" and draw(st.booleans()),
        share=draw(SHARES) if kind == "service" else (),
    )


POLICIES = st.lists(roles(), min_size=1, max_size=3)
IDENTITIES = st.builds(
    Identity, kind=KINDS, id=VALUES, attributes=st.dictionaries(st.just("site"), VALUES)
)


def snapshot_of(policy: list[Role]) -> _core.Snapshot:
    """The compiled form of a policy of the reference."""
    document = {
        "format": 1,
        "generation": 1,
        "fleet": "home",
        "policy_file": "policy.toml",
        "roles": [_role(index, role) for index, role in enumerate(policy)],
        "exceptions": {"revoked_serials": [], "revoked": [], "quarantined": [], "banned": []},
        "vectors": [],
    }
    return _core.Snapshot(json.dumps(document).encode())


def _role(index: int, role: Role) -> dict[str, Any]:
    return {
        "name": f"role-{index}",
        "line": 1,
        "match": {"kind": role.kind, "id": role.id, "attributes": dict(role.attributes)},
        "publish": [
            {"topic": one.topic, "qos": one.qos, "retain": one.retain, "will": one.will, "line": 1}
            for one in role.publish
        ],
        "subscribe": [{"topic": one.topic, "qos": one.qos, "line": 1} for one in role.subscribe],
        "deny": [{"topic": one.topic, "actions": one.actions, "line": 1} for one in role.deny],
        "wildcards": role.wildcards,
        "share": list(role.share),
        "limits": {},
    }


SLOW = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def check(
    policy: list[Role], who: Identity, action: str, topic: str, qos: int, *, retain: bool
) -> _core.Decision:
    """Asks both; what the reference says is what the data plane must say."""
    snapshot = snapshot_of(policy)
    attributes = dict(who.attributes)
    decision = snapshot.decide(who.kind, who.id, attributes, action, topic, qos, retain)
    expected = reference.decide(policy, who, action, topic, qos, retain=retain)
    assert (decision.maximum_qos, decision.cause) == (expected.maximum_qos, expected.cause)
    assert decision.allowed is (expected.cause is None)
    event(f"{action}: {expected.cause or 'allowed'}")
    return decision


@SLOW
@given(POLICIES, IDENTITIES, st.sampled_from(["publish", "will"]), topics(), QOS, st.booleans())
def test_publish_and_will(
    policy: list[Role], who: Identity, action: str, topic: str, qos: int, retain: bool
) -> None:
    check(policy, who, action, topic, qos, retain=retain)


@SLOW
@given(POLICIES, IDENTITIES, topics())
def test_receive(policy: list[Role], who: Identity, topic: str) -> None:
    check(policy, who, "receive", topic, 0, retain=False)


@SLOW
@given(POLICIES, IDENTITIES, questions())
def test_subscribe(policy: list[Role], who: Identity, question: str) -> None:
    decision = check(policy, who, "subscribe", question, 0, retain=False)
    if decision.counterexample is not None:
        assert reference.matches(question, decision.counterexample)
        received = snapshot_of(policy).decide(
            who.kind, who.id, dict(who.attributes), "receive", decision.counterexample
        )
        assert decision.cause == "not-granted" or received.cause in {"denied-by-rule", "reserved"}


@SLOW
@given(POLICIES, IDENTITIES, questions(), st.sampled_from(["g", "h", "other"]))
def test_share(policy: list[Role], who: Identity, question: str, group: str) -> None:
    decision = check(policy, who, "subscribe", f"$share/{group}/{question}", 0, retain=False)
    if decision.allowed:
        plain = check(policy, who, "subscribe", question, 0, retain=False)
        assert plain.allowed
        assert (decision.maximum_qos or 0) <= (plain.maximum_qos or 0)


@SLOW
@given(POLICIES, IDENTITIES, questions(), topics())
def test_nothing_is_delivered_by_a_subscription_that_may_not_be_received(
    policy: list[Role], who: Identity, question: str, topic: str
) -> None:
    snapshot = snapshot_of(policy)
    attributes = dict(who.attributes)
    if not snapshot.decide(who.kind, who.id, attributes, "subscribe", question).allowed:
        return
    if _core.filter_matches(question, topic):
        assert snapshot.decide(who.kind, who.id, attributes, "receive", topic).allowed
