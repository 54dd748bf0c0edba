"""Explanations: the answer is the data plane's, the words fit it, the advice works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motte import _core, policy
from motte.errors import EnrollmentError
from motte.policy.compiler import compile_policy
from motte.policy.explain import Explanation, decide, explain
from motte.policy.language import parse
from motte.policy.model import Action, Exceptions, Kind
from motte.policy.questions import Question, find_rule
from motte.policy.rule import Asker
from tests.policy.policies import compiles, policies

TEXT = """\
[role.toaster]
match = { group = "toaster" }
publish = [
    "toasters/{device}/telemetry",
    { topic = "toasters/{device}/state", retain = true, qos = 1, will = false },
]
subscribe = ["toasters/{device}/command", "toasters/{device}/settings/+"]
deny = ["toasters/+/settings/secret"]

[role.dashboard]
match = { service = "dashboard" }
publish = ["toasters/+/command"]
subscribe = ["toasters/+/telemetry", "toasters/+/state", "lamps/+/state"]
deny = [{ topic = "toasters/golden/#", actions = ["subscribe"] }]
wildcards = true

[role.reader]
match = { service = "reader", site = "north" }
subscribe = ["toasters/+/telemetry"]
"""

TOASTER = Asker(Kind.DEVICE, "toaster-1", {"group": "toaster"})
DASHBOARD = Asker(Kind.SERVICE, "dashboard", {})
READER = Asker(Kind.SERVICE, "reader", {"site": "north"})

EXCEPTIONS = Exceptions(
    revoked=frozenset({"device/stolen"}), quarantined=frozenset({"device/odd", "service/odd"})
)


def explained(question: Question, text: str = TEXT) -> Explanation:
    read = parse(text)
    compiled = compile_policy(read, fleet="home", generation=3, exceptions=EXCEPTIONS)
    return explain(read.policy, compiled.snapshot_json, question)


TELEMETRY = 'policy.toml:4 role.toaster publish "toasters/{device}/telemetry"'
STATE = 'policy.toml:5 role.toaster publish "toasters/{device}/state"'
COMMAND = 'policy.toml:7 role.toaster subscribe "toasters/{device}/command"'

ALLOWED = [
    (
        Question(TOASTER, Action.PUBLISH, "toasters/toaster-1/telemetry", 2),
        f"granted by {TELEMETRY}",
    ),
    (
        Question(TOASTER, Action.PUBLISH, "toasters/toaster-1/state", 1, retain=True),
        f"granted by {STATE}",
    ),
    (Question(TOASTER, Action.WILL, "toasters/toaster-1/telemetry"), f"granted by {TELEMETRY}"),
    (
        Question(TOASTER, Action.SUBSCRIBE, "toasters/toaster-1/command"),
        f"granted by {COMMAND}, up to QoS 2",
    ),
    (
        Question(TOASTER, Action.RECEIVE, "toasters/toaster-1/command"),
        f"granted by {COMMAND}, up to QoS 2",
    ),
    (
        Question(DASHBOARD, Action.SUBSCRIBE, "lamps/+/state"),
        'granted by policy.toml:13 role.dashboard subscribe "lamps/+/state", up to QoS 2',
    ),
]


@pytest.mark.parametrize(("question", "because"), ALLOWED, ids=lambda value: str(value)[:60])
def test_allowed(question: Question, because: str) -> None:
    found = explained(question)
    assert found.answer.allowed
    assert found.because == because
    assert found.advice == ()


DENIAL = "a denial wins over every grant; narrow it in policy.toml:{} to allow this"
ENROL = (
    "an identity gets its attributes when it is enrolled: "
    "`motte device add ID --attribute NAME=VALUE`"
)
GRANTED = (
    "subscribe to concrete topics that are granted; that is: "
    "`toasters/toaster-1/command`, `toasters/toaster-1/settings/+`"
)
NEVER = "a device cannot be granted wildcards: a stolen key would read everybody's messages"
STRANGER = (
    (
        "`toaster-2` is not the device of this identity; the nearest grant is for "
        "`toasters/toaster-1/telemetry` alone"
    ),
    "to allow it on purpose, grant it in a role for those only who need it",
)
WELL_FORMED = "write the topic as a client would send it, and QoS 0, 1 or 2"

REFUSED: list[tuple[Question, str, str, tuple[str, ...]]] = [
    (
        Question(TOASTER, Action.PUBLISH, "toasters/toaster-2/telemetry"),
        "not-granted",
        "no grant covers it",
        STRANGER,
    ),
    (
        Question(TOASTER, Action.PUBLISH, "toasters/toaster-1/heat"),
        "not-granted",
        "no grant covers it",
        (
            "the nearest grant covers `toasters/toaster-1/telemetry`",
            (
                'to allow it, add `"toasters/{device}/heat"` to `publish` of role `toaster` '
                "(policy.toml:4)"
            ),
        ),
    ),
    (
        Question(TOASTER, Action.RECEIVE, "elsewhere"),
        "not-granted",
        "no grant covers it",
        ('to allow it, add `"elsewhere"` to `subscribe` of role `toaster` (policy.toml:7)',),
    ),
    (
        Question(TOASTER, Action.PUBLISH, "toasters/toaster-1/telemetry", retain=True),
        "retain-not-granted",
        f"{TELEMETRY} does not allow retained messages",
        (
            (
                "to allow it, add `retain = true` to the grant in policy.toml:4: "
                '`{ topic = "toasters/{device}/telemetry", retain = true }`'
            ),
            "or publish without the retain flag",
        ),
    ),
    (
        Question(TOASTER, Action.PUBLISH, "toasters/toaster-1/state", 2, retain=True),
        "qos-not-granted",
        f"{STATE} allows at most QoS 1, not QoS 2",
        (
            "to allow it, add `qos = 2` to the grant in policy.toml:5",
            "or publish with a lower QoS",
        ),
    ),
    (
        Question(TOASTER, Action.WILL, "toasters/toaster-1/state"),
        "will-not-granted",
        f"{STATE} does not allow wills",
        ("to allow it, add `will = true` to the grant in policy.toml:5", "or leave the will out"),
    ),
    (
        Question(TOASTER, Action.SUBSCRIBE, "toasters/toaster-1/settings/secret"),
        "denied-by-rule",
        'denied by policy.toml:8 role.toaster deny "toasters/+/settings/secret"',
        (DENIAL.format(8),),
    ),
    (
        Question(DASHBOARD, Action.SUBSCRIBE, "toasters/+/state"),
        "denied-by-rule",
        (
            'denied by policy.toml:14 role.dashboard deny "toasters/golden/#", and '
            "`toasters/golden/state` is one of its topics"
        ),
        (DENIAL.format(14),),
    ),
    (
        Question(TOASTER, Action.SUBSCRIBE, "home/#"),
        "wildcard",
        "a device cannot hold a wildcard subscription",
        (GRANTED, NEVER),
    ),
    (
        Question(READER, Action.SUBSCRIBE, "toasters/+/telemetry"),
        "wildcard",
        "it has a wildcard, and no role of this service says `wildcards = true`",
        (
            "if the service is to see all of it, add `wildcards = true` to role `reader`",
            "subscribe to concrete topics that are granted; that is: `toasters/+/telemetry`",
        ),
    ),
    (
        Question(READER, Action.SUBSCRIBE, "toasters/#"),
        "wildcard",
        (
            "it has a wildcard, and no role of this service says `wildcards = true`; besides, "
            "`toasters` is not granted"
        ),
        (
            "subscribe to concrete topics that are granted; that is: `toasters/+/telemetry`",
            (
                "if the service is to see all of it, add `wildcards = true` to role `reader`, and "
                "grant the filter"
            ),
        ),
    ),
    (
        Question(DASHBOARD, Action.SUBSCRIBE, "lamps/#"),
        "not-granted",
        "no grant covers all of it: `lamps` would be delivered, too",
        (
            "the nearest grant covers `lamps/+/state`",
            'to allow it, add `"lamps/#"` to `subscribe` of role `dashboard` (policy.toml:13)',
        ),
    ),
    (
        Question(TOASTER, Action.SUBSCRIBE, "$SYS/load"),
        "reserved",
        "topics that begin with `$` are the broker's own and no grant names this one",
        ("a device cannot have such topics; use one that does not begin with `$`",),
    ),
    (
        Question(DASHBOARD, Action.PUBLISH, "$CONTROL/restart"),
        "reserved",
        "topics that begin with `$` are the broker's own and no grant names this one",
        ("grant it by name to this service: a topic that begins with `$CONTROL`, literally",),
    ),
    (
        Question(TOASTER, Action.SUBSCRIBE, "$share/g/toasters/toaster-1/command"),
        "share-not-granted",
        "a device cannot hold a shared subscription",
        ("subscribe to `toasters/toaster-1/command` itself: then nobody loses a message to it",),
    ),
    (
        Question(DASHBOARD, Action.SUBSCRIBE, "$share/g/toasters/+/telemetry"),
        "share-not-granted",
        "no role of this service that grants the topic has the group `g`",
        (
            'to allow it, write `share = ["g"]` in role `dashboard` (policy.toml:10)',
            "subscribe to `toasters/+/telemetry` itself: then nobody loses a message to it",
        ),
    ),
    (
        Question(DASHBOARD, Action.SUBSCRIBE, "$share/g"),
        "malformed",
        "a shared subscription is `$share/GROUP/FILTER`, its group without `+` and `#`",
        (WELL_FORMED,),
    ),
    (
        Question(TOASTER, Action.PUBLISH, "toasters/#"),
        "malformed",
        "it is malformed: wildcard `#` in level 2 of a topic name, name one concrete topic",
        (WELL_FORMED,),
    ),
    (
        Question(TOASTER, Action.SUBSCRIBE, "a/#/b"),
        "malformed",
        (
            "it is malformed: misplaced `#` in level 2, `+` takes a whole level and `#` a whole "
            "last level"
        ),
        (WELL_FORMED,),
    ),
    (
        Question(TOASTER, Action.PUBLISH, "a", 3),
        "malformed",
        "there is no QoS 3",
        (WELL_FORMED,),
    ),
    (
        Question(Asker(Kind.DEVICE, "x", {"group": "heater"}), Action.PUBLISH, "a"),
        "no-role",
        "no role matches this identity, so nothing is granted to it",
        ("role `toaster` would match with `group = toaster` (not `heater`)", ENROL),
    ),
    (
        Question(Asker(Kind.SERVICE, "reader", {}), Action.SUBSCRIBE, "a"),
        "no-role",
        "no role matches this identity, so nothing is granted to it",
        ("role `reader` would match with `site = north`", ENROL),
    ),
    (
        Question(Asker(Kind.SERVICE, "unknown", {}), Action.PUBLISH, "a"),
        "no-role",
        "no role matches this identity, so nothing is granted to it",
        ('add a role to policy.toml with `match = { service = "unknown" }`',),
    ),
    (
        Question(
            Asker(Kind.DEVICE, "stolen", {"group": "toaster"}),
            Action.PUBLISH,
            "toasters/stolen/telemetry",
        ),
        "revoked",
        "it is revoked, which is for ever, whatever its roles grant",
        ("enrol the device again under a new id: `motte device add NEW-ID`",),
    ),
    (
        Question(
            Asker(Kind.DEVICE, "odd", {"group": "toaster"}),
            Action.PUBLISH,
            "toasters/odd/telemetry",
        ),
        "quarantined",
        "it is quarantined: refused until it is released, whatever its roles grant",
        ("when it is trusted again: `motte device release odd`",),
    ),
]


@pytest.mark.parametrize(
    ("question", "cause", "because", "advice"), REFUSED, ids=lambda value: str(value)[:60]
)
def test_refused(question: Question, cause: str, because: str, advice: tuple[str, ...]) -> None:
    found = explained(question)
    assert not found.answer.allowed
    assert found.answer.cause == cause
    assert found.because == because
    assert found.advice == advice


def test_every_cause_of_the_data_plane_is_explained_above() -> None:
    stub = Path(policy.__file__).parents[1] / "_core.pyi"
    text = stub.read_text(encoding="utf-8")
    literal = re.search(r"def cause\(.*?Literal\[(.*?)\]", text, re.DOTALL)
    assert literal is not None
    causes = set(re.findall(r'"([a-z-]+)"', literal[1]))
    assert causes | {"revoked", "quarantined"} == {cause for _, cause, _, _ in REFUSED}


def test_following_the_advice_allows_it() -> None:
    for question, change in (
        (
            Question(TOASTER, Action.PUBLISH, "toasters/toaster-1/heat"),
            ("publish = [", 'publish = [ "toasters/{device}/heat",'),
        ),
        (
            Question(TOASTER, Action.PUBLISH, "toasters/toaster-1/telemetry", retain=True),
            (
                '"toasters/{device}/telemetry",',
                '{ topic = "toasters/{device}/telemetry", retain = true },',
            ),
        ),
        (
            Question(READER, Action.SUBSCRIBE, "toasters/+/telemetry"),
            ('site = "north" }', 'site = "north" }\nwildcards = true'),
        ),
    ):  # fmt: skip
        assert not explained(question).answer.allowed
        assert explained(question, TEXT.replace(*change, 1)).answer.allowed


def test_an_explanation_as_json() -> None:
    question = Question(TOASTER, Action.SUBSCRIBE, "home/#")
    assert explained(question).as_json() == {
        "identity": {"kind": "device", "id": "toaster-1", "attributes": {"group": "toaster"}},
        "action": "subscribe",
        "topic": "home/#",
        "qos": 0,
        "retain": False,
        "allowed": False,
        "cause": "wildcard",
        "rule": None,
        "nearest": None,
        "counterexample": "home",
        "maximum_qos": None,
        "roles": ["toaster"],
        "because": "a device cannot hold a wildcard subscription",
        "advice": [GRANTED, NEVER],
    }


def test_who_can_be_no_identity_cannot_ask() -> None:
    for asker in (
        Asker(Kind.DEVICE, "a/b", {}),
        Asker(Kind.DEVICE, "a", {"group": "x y"}),
        Asker(Kind.SERVICE, "", {}),
    ):
        with pytest.raises(EnrollmentError) as caught:
            explained(Question(asker, Action.PUBLISH, "a"))
        assert caught.value.hint == "ids and attributes hold letters, digits, `-`, `_` and `.`"


def test_rules_are_found_again_by_their_reference() -> None:
    text = '[role.a]\nmatch = { group = "x" }\npublish = [\'a"b\', \'a\\b\', "c"]\ndeny = ["c"]\n'
    read = parse(text).policy
    snapshot = _core.Snapshot(
        compile_policy(
            parse(text), fleet="home", generation=1, exceptions=Exceptions()
        ).snapshot_json
    )
    for topic in ('a"b', "a\\b", "c"):
        decision = snapshot.decide("device", "d", {"group": "x"}, "publish", topic)
        found = find_rule(read, decision.rule)
        assert found is not None
        assert found.rule.topic.text == topic
        assert found.rule in (read.roles[0].deny if topic == "c" else read.roles[0].publish)
    assert find_rule(read, None) is None
    assert find_rule(read, "policy.toml:9 role.a publish") is None
    assert find_rule(read, 'policy.toml:9 role.b publish "a"') is None


@given(
    policies(),
    st.sampled_from(list(Kind)),
    st.sampled_from(["x", "y", "z"]),
    st.dictionaries(st.sampled_from(["group", "site"]), st.sampled_from(["a", "g"])),
    st.sampled_from(list(Action)),
    st.text("ab+#/$xg", min_size=1, max_size=8),
    st.integers(0, 2),
    st.booleans(),
)
def test_every_answer_has_words(
    text: str,
    kind: Kind,
    name: str,
    attributes: dict[str, str],
    action: Action,
    topic: str,
    qos: int,
    retain: bool,
) -> None:
    compiled = compiles(text)
    assert compiled is not None
    question = Question(Asker(kind, name, attributes), action, topic, qos, retain)
    found = explain(parse(text).policy, compiled.snapshot_json, question)
    decision = _core.Snapshot(compiled.snapshot_json).decide(
        kind.value, name, attributes, action.value, topic, qos, retain
    )
    assert found.answer.allowed == decision.allowed
    assert decide(compiled.snapshot_json, question).cause == decision.cause
    assert found.because.isprintable()
    assert bool(found.advice) == (not decision.allowed)
    if decision.rule:
        assert find_rule(parse(text).policy, decision.rule) is not None
