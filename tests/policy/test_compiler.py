"""The compiler: same input, same bytes; and test vectors that catch a changed snapshot."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from motte import _core
from motte.errors import PolicyError
from motte.policy import default_policy_text, vectors
from motte.policy.compiler import CompiledPolicy, compile_file, compile_policy, encode
from motte.policy.language import parse
from motte.policy.model import Exceptions
from tests.policy.policies import compiles, policies

GOLDEN = Path(__file__).with_name("default_snapshot.golden.json")

EXCEPTIONS = Exceptions(
    revoked_serials=frozenset({"0a1b", "02", "ff00"}),
    revoked=frozenset({"device/toaster-9", "device/a"}),
    quarantined=frozenset({"service/dashboard", "device/z"}),
    banned=frozenset({"192.0.2.7/24", "2001:db8::1/32", "10.0.0.1"}),
)

EVERYTHING = """\
[role.machine]
match = { group = "machine", site = "north" }
publish = [
    "plant/{site}/{device}/telemetry",
    { topic = "plant/{site}/{device}/state", qos = 1, retain = true, will = false },
    { topic = "plant/{site}/{device}/log/#", qos = 0 },
]
subscribe = ["plant/{site}/{device}/#", "plant/{site}/all"]
deny = [
    "plant/{site}/{device}/log/secret",
    { topic = "plant/+/+/telemetry", actions = ["subscribe"] },
]
limits = { messages = "20/s", queue = 0 }

[role.operator]
match = { service = "operator", tenant = "t" }
publish = ["plant/+/+/+", "$CONTROL/restart"]
subscribe = ["plant/#", "$SYS/broker/#"]
deny = ["plant/+/+/private"]
wildcards = true

[role.reader]
match = { service = "reader" }
subscribe = ["plant/+/+/telemetry"]
"""


def compiled(text: str, exceptions: Exceptions = EXCEPTIONS) -> CompiledPolicy:
    return compile_policy(parse(text), fleet="home", generation=7, exceptions=exceptions)


def document(text: str) -> dict[str, Any]:
    found = json.loads(compiled(text).snapshot_json)
    assert isinstance(found, dict)
    return found


def test_the_default_policy_compiles_to_these_very_bytes() -> None:
    """A change of this file is a change of what every new deployment enforces."""
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert compiled(default_policy_text()).snapshot_json == encode(expected)


def test_the_form_of_a_snapshot() -> None:
    found = document(EVERYTHING)
    assert {key: found[key] for key in ("format", "generation", "fleet", "policy_file")} == {
        "format": 1,
        "generation": 7,
        "fleet": "home",
        "policy_file": "policy.toml",
    }
    assert found["exceptions"] == {
        "revoked_serials": ["02", "0a1b", "ff00"],
        "revoked": ["device/a", "device/toaster-9"],
        "quarantined": ["device/z", "service/dashboard"],
        "banned": ["10.0.0.1/32", "192.0.2.0/24", "2001:db8::/32"],
    }
    machine, operator, _ = found["roles"]
    assert machine["name"] == "machine"
    assert machine["line"] == 1
    assert machine["match"] == {
        "kind": "device",
        "id": None,
        "attributes": {"group": "machine", "site": "north"},
    }
    assert machine["publish"][1] == {
        "topic": "plant/{site}/{device}/state",
        "qos": 1,
        "retain": True,
        "will": False,
        "line": 5,
    }
    assert machine["subscribe"][1] == {"topic": "plant/{site}/all", "qos": 2, "line": 8}
    assert machine["deny"] == [
        {
            "topic": "plant/{site}/{device}/log/secret",
            "actions": ["publish", "subscribe"],
            "line": 10,
        },
        {"topic": "plant/+/+/telemetry", "actions": ["subscribe"], "line": 11},
    ]
    assert not machine["wildcards"]
    assert operator["wildcards"]
    assert operator["match"] == {
        "kind": "service",
        "id": "operator",
        "attributes": {"tenant": "t"},
    }


def test_another_process_compiles_to_the_same_bytes(tmp_path: Path) -> None:
    """Hash seeds, the order of sets and the clock have no part in it."""
    path = tmp_path / "policy.toml"
    path.write_text(EVERYTHING, encoding="utf-8")
    code = (
        "import sys, pathlib\n"
        "from motte.policy.compiler import compile_file\n"
        "from motte.policy.model import Exceptions\n"
        "banned = frozenset(f'10.0.{n}.0/24' for n in range(50))\n"
        "exceptions = Exceptions(revoked=frozenset({'device/a', 'device/b'}), banned=banned)\n"
        "made = compile_file(pathlib.Path(sys.argv[1]), fleet='home', generation=3,"
        " exceptions=exceptions)\n"
        "sys.stdout.buffer.write(made.snapshot_json)\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(outputs) == 1
    assert _core.Snapshot(outputs.pop()).generation == 3


@given(policies())
def test_compiling_twice_gives_the_same_bytes(text: str) -> None:
    first, second = compiles(text), compiles(text)
    assert first is not None
    assert second is not None
    assert first.snapshot_json == second.snapshot_json


def test_a_comment_changes_lines_alone() -> None:
    plain, moved = document(EVERYTHING), document(f"# a comment\n{EVERYTHING}")
    assert plain["vectors"] == moved["vectors"]
    assert moved["roles"][0]["line"] == plain["roles"][0]["line"] + 1


def test_a_file_is_compiled_with_its_warnings(tmp_path: Path) -> None:
    path = tmp_path / "strict.toml"
    path.write_text('[role.a]\nmatch = { group = "x" }\n', encoding="utf-8")
    made = compile_file(path, fleet="home", generation=1, exceptions=Exceptions())
    assert [warning.code for warning in made.warnings] == ["no-grants"]
    assert [role.name for role in made.roles] == ["a"]
    assert json.loads(made.snapshot_json)["policy_file"] == "strict.toml"


def test_an_empty_policy_refuses_everybody() -> None:
    made = compiled("")
    snapshot = _core.Snapshot(made.snapshot_json)
    decision = snapshot.decide("device", "toaster-1", {"group": "toaster"}, "publish", "a")
    assert (decision.allowed, decision.cause) == (False, "no-role")
    assert [warning.code for warning in made.warnings] == ["empty-policy"]


def test_a_draft_has_generation_0_and_cannot_be_installed() -> None:
    made = compile_policy(parse(EVERYTHING), fleet="home", generation=0, exceptions=Exceptions())
    assert json.loads(made.snapshot_json)["generation"] == 0
    with pytest.raises(ValueError, match="count from 1"):
        _core.Snapshot(made.snapshot_json)


def test_what_the_data_plane_refuses_is_a_policy_error() -> None:
    for fleet, exceptions in (
        ("Not A Fleet", Exceptions()),
        ("home", Exceptions(banned=frozenset({"everybody"}))),
        ("home", Exceptions(revoked=frozenset({"toaster-1"}))),
    ):
        with pytest.raises(PolicyError) as caught:
            compile_policy(parse(EVERYTHING), fleet=fleet, generation=1, exceptions=exceptions)
        assert caught.value.message.startswith(
            "the compiled policy does not pass the data plane's check: "
        )
        assert caught.value.hint


def test_the_largest_policy_still_loads() -> None:
    rules = [f"a/{{device}}/{'x' * 100}/{number}/+" for number in range(100)]
    text = "".join(
        f'[role.r{number}]\nmatch = {{ group = "g{number}" }}\npublish = {rules}\n'
        for number in range(40)
    )
    found = document(text)
    assert len(found["vectors"]) == vectors.MAXIMUM_VECTORS
    asked = {(v["identity"]["attributes"].get("group"), v["allowed"]) for v in found["vectors"]}
    assert asked >= {(f"g{number}", verdict) for number in range(40) for verdict in (True, False)}


# Test vectors.


def test_each_grant_has_an_allowed_and_a_refused_question() -> None:
    for text in (default_policy_text(), EVERYTHING):
        read = parse(text)
        for role in read.policy.roles:
            for actions, rules in (
                ({"publish", "will"}, role.publish),
                ({"subscribe", "receive"}, role.subscribe),
            ):
                for rule in rules:
                    verdicts = {
                        vector.allowed
                        for vector in vectors.vectors(read.policy)
                        if vector.action in actions and _is_about(rule.topic.text, vector)
                    }
                    assert verdicts == {True, False}, rule.topic.text


def _is_about(pattern: str, vector: vectors.Vector) -> bool:
    """Whether a question is about a pattern, or differs from it in one level."""
    wide = ["+" if level.startswith("{") else level for level in pattern.split("/")]
    levels = vector.topic.split("/")
    fits = sum(a in {b, "+", "#"} for a, b in zip(wide, levels, strict=False))
    return fits >= len(wide) - 1


def test_vectors_do_not_use_names_that_the_policy_uses() -> None:
    """Or a question about "another device" would be about a device that the policy names."""
    taken = "\n".join(
        f'[role.r{number}]\nmatch = {{ device = "t{number}" }}\npublish = ["t{number}/{{device}}"]'
        for number in range(4)
    )
    for vector in vectors.vectors(parse(taken).policy):
        if vector.allowed:
            assert vector.topic.split("/")[0] == vector.asker.id


def tamper(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every small change that gives somebody another right than the policy says."""
    for index, role in enumerate(found["roles"]):
        for key in ("publish", "subscribe", "deny"):
            for number, rule in enumerate(role[key]):
                for change in _changes(key, rule):
                    other = copy.deepcopy(found)
                    place = other["roles"][index][key]
                    place[number : number + 1] = [] if change is None else [{**rule, **change}]
                    yield f"{role['name']}.{key}[{number}] {change}", other
        for change in _role_changes(role):
            other = copy.deepcopy(found)
            other["roles"][index].update(change)
            yield f"{role['name']} {change}", other


def _changes(key: str, rule: dict[str, Any]) -> Iterator[dict[str, Any] | None]:
    yield None
    levels = rule["topic"].split("/")
    for number, level in enumerate(levels):
        # A wider denial takes away what was not granted anyway; a wider grant is what counts.
        other = "+" if level.startswith("{") and key != "deny" else "changed"
        if level not in {"+", "#"}:
            yield {"topic": "/".join([*levels[:number], other, *levels[number + 1 :]])}
    if key == "deny":
        for action in rule["actions"]:
            if rest := [one for one in rule["actions"] if one != action]:
                yield {"actions": rest}
        return
    yield {"topic": f"{rule['topic']}/more"} if levels[-1] != "#" else {"topic": "other/#"}
    if key == "publish":
        yield {"retain": not rule["retain"]}
        yield {"will": not rule["will"]}
        yield {"qos": 0 if rule["qos"] else 2}


def _role_changes(role: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match = role["match"]
    yield {"match": {**match, "id": "somebody-else"}}
    if match["id"] is not None:
        yield {"match": {**match, "id": None}}
    for name in match["attributes"]:
        rest = {key: value for key, value in match["attributes"].items() if key != name}
        yield {"match": {**match, "attributes": rest}}
        yield {"match": {**match, "attributes": {**rest, name: "changed"}}}
    if match["kind"] == "service":
        yield {"wildcards": not role["wildcards"]}
        yield {"match": {**match, "kind": "device"}, "wildcards": False}


@pytest.mark.parametrize("text", [default_policy_text(), EVERYTHING], ids=["default", "everything"])
def test_a_changed_snapshot_is_refused(text: str) -> None:
    found = document(text)
    _core.Snapshot(encode(found))
    changes = dict(tamper(found))
    assert len(changes) > 30
    accepted = []
    for name, changed in changes.items():
        try:
            _core.Snapshot(encode(changed))
        except _core.SnapshotError as error:
            assert "test vector" in str(error), name  # noqa: PT017 (the loop goes on)
        else:
            accepted.append(name)
    assert accepted == []


def test_a_changed_answer_is_refused() -> None:
    found = document(EVERYTHING)
    for index in range(0, len(found["vectors"]), 5):
        changed = copy.deepcopy(found)
        changed["vectors"][index]["allowed"] ^= True
        with pytest.raises(_core.SnapshotError, match=f"test vector {index} does not hold"):
            _core.Snapshot(encode(changed))
