"""What `motte._core` gives to Python besides decisions: identities, snapshots, TOML."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motte import _core


def document(**changes: Any) -> bytes:
    """A snapshot without roles."""
    whole = {
        "format": 1,
        "generation": 3,
        "fleet": "home",
        "policy_file": "policy.toml",
        "roles": [],
        "exceptions": {
            "revoked_serials": [],
            "revoked": ["device/toaster-9"],
            "quarantined": ["device/toaster-8", "device/toaster-9"],
            "banned": [],
        },
        "vectors": [],
    }
    return json.dumps(whole | changes).encode()


@pytest.mark.parametrize(
    "value", ["", "a/b", "+", "#", "$a", "a b", "a\x00", ".", "..", "ü", "x" * 65]
)
def test_values_that_are_no_level_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"^it "):
        _core.check_identity_value(value)
    with pytest.raises(ValueError, match=r"bad id"):
        _core.format_spiffe("device", value, {}, "home")


def test_spiffe_ids_round_trip() -> None:
    attributes = {"site": "kitchen", "group": "toaster"}
    uri = _core.format_spiffe("device", "toaster-1", attributes, "home")
    assert uri == "spiffe://home/group/toaster/site/kitchen/device/toaster-1"
    assert _core.parse_spiffe(uri, "home") == ("device", "toaster-1", attributes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("toaster", "a", {}, "home"), "unknown identity kind"),
        (("device", "a", {"device": "b"}, "home"), "reserved"),
        (("device", "a", {"site": "+"}, "home"), "bad value"),
        (("device", "a", {}, "Home"), "bad fleet name"),
    ],
)
def test_no_spiffe_id_of_bad_parts(
    arguments: tuple[str, str, dict[str, str], str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        _core.format_spiffe(*arguments)


def test_a_spiffe_id_of_another_fleet_is_refused() -> None:
    with pytest.raises(ValueError, match=r'trust domain "other", this fleet is "home"'):
        _core.parse_spiffe("spiffe://other/device/a", "home")


def test_topics_are_checked() -> None:
    _core.check_topic_name("a/b")
    _core.check_topic_filter("a/+/#")
    with pytest.raises(ValueError, match="wildcard `\\+` in level 2"):
        _core.check_topic_name("a/+")
    with pytest.raises(ValueError, match="misplaced `#` in level 1"):
        _core.check_topic_filter("#/a")
    with pytest.raises(ValueError, match="wildcard"):
        _core.filter_matches("a/+", "a/+")


def test_a_snapshot_says_what_it_is() -> None:
    snapshot = _core.Snapshot(document())
    assert (snapshot.generation, snapshot.fleet) == (3, "home")
    assert snapshot.status("device", "toaster-9") == "revoked"
    assert snapshot.status("device", "toaster-8") == "quarantined"
    assert snapshot.status("service", "toaster-8") == "active"
    assert snapshot.roles("device", "toaster-1", {}) == []
    decision = snapshot.decide("device", "toaster-1", {}, "publish", "a")
    assert (decision.allowed, decision.cause) == (False, "no-role")
    with pytest.raises(ValueError, match="unknown action"):
        snapshot.decide("device", "toaster-1", {}, "read", "a")


def test_a_broken_snapshot_says_what_to_do() -> None:
    with pytest.raises(_core.SnapshotError, match="snapshot format 2") as raised:
        _core.Snapshot(document(format=2))
    assert raised.value.hint == "use the same version of Motte for compiling and serving"


def test_limits_left_out_are_the_defaults() -> None:
    role = {
        "name": "r",
        "line": 1,
        "match": {"kind": "device", "id": None, "attributes": {}},
        "publish": [],
        "subscribe": [],
        "deny": [],
        "wildcards": False,
        "limits": {"inflight": 3},
    }
    limits = _core.Snapshot(document(roles=[role])).limits("device", "a", {})
    assert limits == _core.default_limits("device") | {"inflight": 3}
    explicit = role | {"limits": _core.default_limits("service")}
    snapshot = _core.Snapshot(document(roles=[explicit]))
    assert snapshot.limits("device", "a", {}) == _core.default_limits("service")


def test_every_value_and_key_of_toml_knows_its_place() -> None:
    root = _core.parse_toml(
        '# policy\n[role.a]\n  match = { group = "x" }\n  list = [1, "ü", 2.5, true]\n'
        "b.c = 1979-05-27\n[[test]]\nn = 1\n[[test]]\n"
    )
    assert root.kind == "table"
    assert dict(root.keys) == {"role": (2, 2), "test": (6, 3)}
    role = at(at(root, "role"), "a")
    assert (role.line, role.column) == (2, 1)
    assert dict(role.keys) == {"match": (3, 3), "list": (4, 3), "b": (5, 1)}
    group = at(at(role, "match"), "group")
    assert (group.kind, group.value, group.line, group.column) == ("string", "x", 3, 21)
    items = at(role, "list")
    assert isinstance(items.value, tuple)
    assert [(item.kind, item.value, item.column) for item in items.value] == [
        ("integer", 1, 11),
        ("string", "ü", 14),
        ("float", 2.5, 19),
        ("boolean", True, 24),
    ]
    date = at(at(role, "b"), "c")
    assert (date.kind, date.value, date.line, date.column) == ("datetime", "1979-05-27", 5, 7)
    tests = at(root, "test")
    assert isinstance(tests.value, tuple)
    assert [(one.kind, one.line) for one in tests.value] == [("table", 6), ("table", 8)]


def at(table: _core.TomlValue, key: str) -> _core.TomlValue:
    """The value of a key."""
    assert not isinstance(table.value, tuple | str | int | float)
    return table.value[key]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a = ", 1, 5),
        ("a = 1\na = 2\n", 2, 1),
        ("x = 1\r\n'ü' = [1,\r\n", 2, 10),
        ("[a]\n[b]\n[a]", 3, 2),
        ("'é' = $", 1, 7),
    ],
)
def test_a_syntax_error_knows_its_place(text: str, line: int, column: int) -> None:
    with pytest.raises(_core.TomlError) as raised:
        _core.parse_toml(text)
    error = raised.value
    assert (error.line, error.column) == (line, column)
    assert error.message
    assert str(error) == f"{error.message} at line {line}, column {column}"


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000, "a." * 5000 + "a = 1", "a = " + "{b = " * 5000, "[" + "a." * 70 + "a]"],
    ids=["arrays", "dotted keys", "inline tables", "headers"],
)
def test_deep_nesting_is_an_error(text: str) -> None:
    with pytest.raises(_core.TomlError):
        _core.parse_toml(text)


def test_the_tree_is_immutable() -> None:
    root = _core.parse_toml("a = 1")
    with pytest.raises(TypeError):
        root.value["b"] = 2  # type: ignore[index]
    with pytest.raises(AttributeError):
        root.line = 2  # type: ignore[misc]


@given(st.text())
def test_any_text_is_toml_or_an_error_with_a_place(text: str) -> None:
    try:
        root = _core.parse_toml(text)
    except _core.TomlError as error:
        line, column = error.line, error.column
    else:
        line, column = root.line, root.column
    assert 1 <= line <= text.count("\n") + 1
    assert 1 <= column <= len(text.split("\n")[line - 1]) + 1


def test_the_data_plane_says_why_it_cannot_start() -> None:
    with pytest.raises(_core.ServeError) as raised:
        _core.serve("{}")
    assert isinstance(raised.value, RuntimeError)
    assert raised.value.hint
