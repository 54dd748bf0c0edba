"""What is proposed from what was used: never more than there was, and all that was seen."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from motte import _core
from motte.policy import default_policy_text
from motte.policy.compiler import compile_policy, role_document
from motte.policy.language import parse
from motte.policy.model import Exceptions, Level, LevelKind
from motte.policy.radius.compare import compare
from motte.policy.suggest.proposal import Proposal, propose
from motte.policy.suggest.uses import read_uses
from motte.policy.suggest.writer import policy_toml
from tests.policy.policies import policies

HOME = """\
[role.toaster]
match = { group = "toaster" }
publish = [
    { topic = "t/{device}/state", retain = true },
    "t/{device}/log/#",
]
subscribe = ["t/{device}/#"]
limits = { messages = "10/s", payload = "4KiB" }

[role.hub]
match = { service = "hub" }
publish = ["t/+/command"]
subscribe = ["t/#", "x/+"]
wildcards = true
share = ["workers", "others"]
"""
PUBLISHED_STATE = 'role.toaster publish "t/{device}/state"'
PUBLISHED_LOG = 'role.toaster publish "t/{device}/log/#"'
READ_OWN = 'role.toaster subscribe "t/{device}/#"'
COMMANDED = 'role.hub publish "t/+/command"'
READ_ALL = 'role.hub subscribe "t/#"'


def used(
    rule: str, act: str, topic: str | None = None, *, qos: int = 0, retain: bool = False
) -> dict[str, Any]:
    """A record as the data plane writes it."""
    record: dict[str, Any] = {
        "at_unix_ms": 5_000,
        "kind": "used",
        "rule": f"policy.toml:7 {rule}",
        "manner": {"act": act, "qos": qos, "retain": retain},
    }
    return record | ({} if topic is None else {"topic": topic})


def proposal(*records: dict[str, Any], text: str = HOME, names: set[str] | None = None) -> Proposal:
    policy = parse(text).policy
    return propose(policy, read_uses(records, policy), names or set())


def role(found: Proposal, name: str) -> str:
    """One role of the proposed text."""
    return next(part for part in found.text.split("\n\n") if f"[role.{name}]" in part).strip()


class TestOneRole:
    def test_what_was_not_used_goes(self) -> None:
        found = proposal(used(PUBLISHED_STATE, "publish", qos=2, retain=True))
        assert "log" not in role(found, "toaster")
        assert "subscribe" not in role(found, "toaster")
        assert [(change.kind, change.old) for change in found.changes] == [
            ("lower", "t/{device}/state"),
            ("remove", "t/{device}/log/#"),
            ("remove", "t/{device}/#"),
        ]

    def test_a_role_that_nobody_used_stays(self) -> None:
        found = proposal(used(PUBLISHED_STATE, "publish"))
        assert found.unused == ("hub",)
        assert "t/#" in role(found, "hub")

    def test_qos_retain_and_will_are_lowered_to_what_was_used(self) -> None:
        found = proposal(
            used(PUBLISHED_STATE, "publish", qos=1), used(PUBLISHED_STATE, "publish", qos=0)
        )
        assert '{ topic = "t/{device}/state", qos = 1, will = false }' in role(found, "toaster")

    def test_a_will_keeps_the_right_to_it_with_its_manner(self) -> None:
        found = proposal(used(PUBLISHED_STATE, "will", qos=2, retain=True))
        assert '{ topic = "t/{device}/state", retain = true }' in role(found, "toaster")

    def test_limits_and_match_stay(self) -> None:
        found = proposal(used(PUBLISHED_STATE, "publish"))
        assert 'limits = { messages = "10/s", payload = "4KiB" }' in role(found, "toaster")
        assert 'match = { group = "toaster" }' in role(found, "toaster")


class TestTopics:
    def test_a_wildcard_is_narrowed_to_what_was_seen(self) -> None:
        found = proposal(
            used(PUBLISHED_LOG, "publish", "t/{device}/log/error", qos=2),
            used(READ_OWN, "subscribe", "t/{device}/command", qos=2),
        )
        assert '"t/{device}/log/error"' in role(found, "toaster")
        assert 'subscribe = ["t/{device}/command"]' in role(found, "toaster")

    def test_a_literal_that_the_identity_is_called_like_stays_a_literal(self) -> None:
        text = '[role.a]\nmatch = { group = "log" }\npublish = ["log/+"]\n'
        found = proposal(used('role.a publish "log/+"', "publish", "{group}/x", qos=2), text=text)
        assert '"log/x"' in found.text

    def test_a_name_of_somebody_enrolled_is_no_word(self) -> None:
        seen = [used(COMMANDED, "publish", f"t/{one}/command", qos=2) for one in ("one", "two")]
        found = proposal(*seen, names={"one"})
        assert '"t/+/command"' in role(found, "hub")

    def test_few_words_are_named_and_many_are_not(self) -> None:
        words = [used(COMMANDED, "publish", f"t/w{n}/command", qos=2) for n in range(5)]
        assert '"t/w3/command"' in role(proposal(*words[:4]), "hub")
        assert '"t/+/command"' in role(proposal(*words), "hub")

    def test_a_filter_with_wildcards_is_what_has_to_stay(self) -> None:
        found = proposal(used(READ_ALL, "subscribe", "t/+/state", qos=2))
        assert 'subscribe = ["t/+/state"]' in role(found, "hub")
        assert "wildcards = true" in role(found, "hub")

    def test_wildcards_go_where_only_topics_were_subscribed_to(self) -> None:
        found = proposal(used(READ_ALL, "subscribe", "t/a/state", qos=2))
        assert "wildcards" not in role(found, "hub")

    def test_groups_go_that_were_not_joined(self) -> None:
        found = proposal(used(READ_ALL, "subscribe", "$share/workers/t/+/state", qos=2))
        assert 'share = ["workers"]' in role(found, "hub")
        assert 'subscribe = ["t/+/state"]' in role(found, "hub")

    @pytest.mark.parametrize(
        "record",
        [
            used(READ_ALL, "many"),
            used(READ_ALL, "subscribe", "t/" + "a" * 500),
            used(READ_ALL, "subscribe", "t/a[+700 bytes]"),
        ],
        ids=["many", "long", "cut"],
    )
    def test_what_is_not_known_is_left_alone(self, record: dict[str, Any]) -> None:
        found = proposal(record)
        assert '"t/#"' in role(found, "hub")
        assert "workers" in role(found, "hub")

    def test_a_filter_that_two_grants_allow_together_keeps_both(self) -> None:
        text = (
            '[role.a]\nmatch = { service = "x" }\nsubscribe = ["a", "a/+/#", "b"]\n'
            "wildcards = true\n"
        )
        found = proposal(used('role.a subscribe "a"', "subscribe", "a/#", qos=2), text=text)
        assert 'subscribe = [\n    "a",\n    "a/+/#",\n]' in found.text

    def test_two_grants_of_one_topic_do_not_become_more_than_they_were(self) -> None:
        text = (
            '[role.a]\nmatch = { service = "x" }\n'
            'publish = [{ topic = "a/+", qos = 0, retain = true }, { topic = "+/b", qos = 2 }]\n'
        )
        found = proposal(
            used('role.a publish "a/+"', "publish", "a/b", retain=True),
            used('role.a publish "+/b"', "publish", "a/b", qos=2),
            text=text,
        )
        assert compare(parse(text).policy, found.policy).possible == ()


class TestRecords:
    def test_a_use_before_the_time_asked_for_does_not_count(self) -> None:
        policy = parse(HOME).policy
        record = used(PUBLISHED_STATE, "publish")
        assert read_uses([record], policy, after=5_000).by_rule
        assert not read_uses([record], policy, after=5_001).by_rule

    def test_lines_move_and_words_count(self) -> None:
        policy = parse("# a comment\n\n" + HOME).policy
        assert read_uses([used(PUBLISHED_STATE, "publish")], policy).by_rule
        assert not read_uses(
            [used(PUBLISHED_STATE.replace("state", "st"), "publish")], policy
        ).by_rule

    def test_text_that_is_escaped_is_known(self) -> None:
        text = '[role.a]\nmatch = { group = "x" }\npublish = ["ü/+"]\n'
        rule = r'role.a publish "\u{fc}/+"'
        found = proposal(used(rule, "publish", r"\u{fc}/\u{e4}", qos=2), text=text)
        assert '"ü/ä"' in found.text

    @pytest.mark.parametrize(
        "record",
        [
            {},
            {"at_unix_ms": "x"},
            {"at_unix_ms": 5, "kind": "used"},
            {"at_unix_ms": 5, "kind": "used", "manner": {"act": 1}, "rule": "x"},
            used('role.gone publish "t"', "publish"),
        ],
    )
    def test_records_that_say_nothing_say_nothing(self, record: dict[str, Any]) -> None:
        assert not read_uses([record], parse(HOME).policy).by_rule


def without_lines(document: object) -> object:
    if isinstance(document, dict):
        return {key: without_lines(value) for key, value in document.items() if key != "line"}
    if isinstance(document, list):
        return [without_lines(item) for item in document]
    return document


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.one_of(policies(), st.just(default_policy_text()), st.just(HOME)))
def test_a_written_policy_reads_as_the_same(text: str) -> None:
    policy = parse(text).policy
    again = parse(policy_toml(policy)).policy
    assert [without_lines(role_document(one)) for one in again.roles] == [
        without_lines(role_document(one)) for one in policy.roles
    ]


WORDS = ["a", "b", "x", "$x", "g", "ü"]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[str, list[Any]]:
    """A policy, and what identities with its roles try that is something like its grants."""
    text = draw(policies().filter(lambda text: "publish" in text))
    granted = [
        (role, grant.topic.levels) for role in parse(text).policy.roles for grant in role.grants
    ]
    acts = []
    for _ in range(draw(st.integers(1, 12)) if granted else 0):
        role, levels = draw(st.sampled_from(granted))
        extra = draw(st.dictionaries(st.sampled_from(["group", "site"]), st.sampled_from("ag")))
        who = (
            role.match.kind.value,
            role.match.id or draw(st.sampled_from("xy")),
            extra | dict(role.match.attributes),
        )
        topic = [word for level in levels for word in draw(_words(level, who))]
        qos = draw(st.sampled_from([0, 0, 1, 2]))
        action = draw(st.sampled_from(["publish", "will", "subscribe"]))
        acts.append((who, action, topic, qos, draw(st.booleans())))
    return text, acts


def _words(level: Level, who: Any) -> st.SearchStrategy[list[str]]:
    kind, identifier, attributes = who
    match level.kind:
        case LevelKind.LITERAL:
            return st.just([level.text])
        case LevelKind.PLACEHOLDER:
            return st.just([{kind: identifier, **attributes}.get(level.text, "x")])
        case LevelKind.ONE:
            return st.lists(st.sampled_from([*WORDS, "+", identifier]), min_size=1, max_size=1)
    tails = st.lists(st.sampled_from([*WORDS, "+", "", identifier]), max_size=2)
    return tails | st.just(["#"])


def escaped(text: str) -> str:
    """Text as evidence holds it."""
    return "".join(
        character if " " <= character <= "~" else f"\\u{{{ord(character):x}}}" for character in text
    )


def done(snapshot: _core.Snapshot, act: Any) -> _core.Decision:
    (kind, identifier, attributes), action, levels, qos, retain = act
    topic = "/".join(levels)
    return snapshot.decide(kind, identifier, attributes, action, topic, qos, retain)


def shape(identity: Any, levels: list[str]) -> str:
    """The topic as the data plane tells it."""
    kind, identifier, attributes = identity
    names = {value: name for name, value in sorted(attributes.items(), reverse=True)}
    names[identifier] = kind
    return "/".join(f"{{{names[level]}}}" if level in names else level for level in levels)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_all_that_was_done_can_be_done_and_nothing_else_can(world: tuple[str, list[Any]]) -> None:
    text, acts = world
    policy = parse(text).policy
    before = snapshot_of(text)
    records, allowed = [], []
    for act in acts:
        identity, action, levels, qos, retain = act
        decision = done(before, act)
        if not decision.allowed:
            continue
        rule = escaped(re.sub(r"^.*?:\d+ ", "", str(decision.rule)))
        is_told = action == "subscribe" or "+" in rule or "#" in rule
        topic = escaped(shape(identity, levels)) if is_told else None
        is_kept = retain and action != "subscribe"
        records.append(used(rule, action, topic, qos=qos, retain=is_kept))
        allowed.append(act)
    found = propose(policy, read_uses(records, policy), {"x"})
    event(f"changes: {min(len(found.changes), 3)}")
    after = snapshot_of(found.text)
    for act in allowed:
        assert done(after, act).allowed, (act, found.text)
    assert compare(policy, found.policy).possible == ()
    for act in acts:
        if done(after, act).allowed:
            assert done(before, act).allowed, (act, found.text)


def snapshot_of(text: str) -> _core.Snapshot:
    compiled = compile_policy(parse(text), fleet="home", generation=1, exceptions=Exceptions())
    return _core.Snapshot(compiled.snapshot_json)
