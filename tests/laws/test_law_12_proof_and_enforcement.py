"""Law 12. What the analysis answers and what the broker does are one piece of code.

Random small policies over a small alphabet; for each, every question that can be asked is asked
twice: of the compiled snapshot, and of the broker with a certificate on a wire.
"""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motte import _core
from tests.support.policy import Policy, role
from tests.support.space import Identity, Space
from tests.support.wire import Reason, Version

LEVELS = st.sampled_from(["a", "b", "{device}", "+"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    """A grant: one to three levels, sometimes open at the end."""
    levels = draw(st.lists(LEVELS, min_size=1, max_size=3))
    if draw(st.booleans()) and draw(st.booleans()):
        levels.append("#")
    return "/".join(levels)


@st.composite
def roles(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One or two roles that match the same service."""
    out = []
    for number in range(draw(st.integers(1, 2))):
        publish = draw(st.lists(patterns(), max_size=2))
        out.append(
            {
                "name": f"r{number}",
                "publish": [
                    {
                        "topic": topic,
                        "qos": draw(st.integers(0, 2)),
                        "retain": draw(st.booleans()),
                        "will": draw(st.booleans()),
                    }
                    for topic in publish
                ],
                "subscribe": draw(st.lists(patterns(), max_size=2)),
                "deny": draw(st.lists(patterns(), max_size=1)),
                "wildcards": draw(st.booleans()),
            }
        )
    return out


TOPICS = ["a", "b", "a/b", "b/a", "a/a/b", "b/b/b", "a/b/a/b"]
FILTERS = [*TOPICS, "+", "#", "a/+", "a/#", "+/b", "a/+/b", "+/+"]


def _own(text: str) -> str:
    """A pattern below the site of the test, with the placeholder of a service."""
    return "{site}/" + text.replace("{device}", "{service}")


@given(found=roles(), qos=st.integers(0, 2), retain=st.booleans())
@settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_broker_does_what_the_snapshot_says(
    space: Space, version: Version, found: list[dict[str, Any]], qos: int, retain: bool
) -> None:
    plane = space.plane
    policy = plane.policy
    assert policy is not None
    own = Space(plane)
    made = [
        role(
            f"{each['name']}-{own.site}",
            kind="service",
            attributes={"site": own.site},
            publish=[grant | {"topic": _own(grant["topic"])} for grant in each["publish"]],
            subscribe=[_own(topic) for topic in each["subscribe"]],
            deny=[_own(topic) for topic in each["deny"]],
            wildcards=each["wildcards"],
        )
        for each in found
    ]
    policy.roles += made
    try:
        plane.apply()
        snapshot = _core.Snapshot(policy.text().encode())
        _compare(own, version, snapshot, qos, retain)
    finally:
        own.close()
        policy.roles = [each for each in policy.roles if each not in made]


def _compare(
    own: Space, version: Version, snapshot: _core.Snapshot, qos: int, retain: bool
) -> None:
    who = own.identity("asker", group="law-12")
    attributes = {"group": "law-12", "site": own.site}

    def decide(action: str, topic: str) -> _core.Decision:
        return snapshot.decide(who.kind, who.id, attributes, action, topic, qos, retain)

    client = own.client(version, who)
    for text in FILTERS:
        topic = f"{own.site}/{text}"
        expected = decide("subscribe", topic)
        (code,) = client.subscribe(topic, qos=qos)
        assert (code < 0x80) is expected.allowed, f"subscribe {topic}: {code:#04x}, {expected}"
        if expected.allowed:
            assert code == min(qos, expected.maximum_qos or 0)
            client.unsubscribe(topic)
    if version is Version.V5 and qos:
        for text in TOPICS:
            topic = f"{own.site}/{text}"
            expected = decide("publish", topic)
            reason = client.publish(topic, b"x", qos, retain=retain)
            assert (reason < 0x80) is expected.allowed, f"publish {topic}: {reason:#04x}"
            if not expected.allowed:
                assert reason == Reason.NOT_AUTHORIZED
    client.disconnect()
    _compare_wills(own, version, who, decide, qos, retain)


def _compare_wills(
    own: Space, version: Version, who: Identity, decide: Any, qos: int, retain: bool
) -> None:
    from tests.support import wire

    for text in TOPICS[:4]:
        topic = f"{own.site}/{text}"
        client = own.open(version, who)
        connack = client.connect(who.id, will=wire.Will(topic, b"w", qos, retain))
        assert (connack.reason == 0) is decide("will", topic).allowed, f"will {topic}"
        if connack.reason == 0:
            client.disconnect()


def test_explain_names_the_line_that_the_evidence_names(space: Space, version: Version) -> None:
    made = space.role("asked", publish=["{site}/dev/#"], deny=["{site}/dev/secret"])
    who = space.device("asked", "asked")
    attributes = {"group": "asked", "site": space.site}
    policy = space.plane.policy
    assert policy is not None
    topic = f"{space.site}/dev/secret"
    answer = _core.Snapshot(policy.text().encode()).decide(
        "device", who.id, attributes, "publish", topic, 1, False
    )
    space.client(version, who).publish(topic, b"x", 1)
    record = space.plane.await_evidence(identity=who.name, kind="refused")
    assert not answer.allowed
    assert record["rule"] == answer.rule
    assert made["deny"]


def test_the_shared_policy_is_the_one_in_force(space: Space) -> None:
    policy = space.plane.policy
    assert policy is not None
    assert Policy is type(policy)
    stored = (space.plane.state / "snapshot.json").read_text()
    assert _core.Snapshot(stored.encode()).generation == space.plane.status()["generation"]
