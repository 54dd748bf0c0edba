"""Policies for property tests: random right ones, and broken ones that were right once."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from motte import _core
from motte.policy import default_policy_text
from motte.policy.compiler import CompiledPolicy, compile_policy
from motte.policy.diagnostics import InvalidPolicyError, Severity
from motte.policy.language import parse
from motte.policy.model import Exceptions

LEVELS = ["a", "b", "c", "", "ü", "$x", "+", "{site}", "{group}", "{device}", "{service}"]
"""Few levels, so that grants, denials and roles meet each other."""

WORDS = [*"'[]{}=,#+/$.\n\\", '"', "true", "1", "role", "{device}"]
"""What a mutation puts into a text."""


def compiles(text: str) -> CompiledPolicy | None:
    """Reads and compiles a text: a snapshot that loads, or ``None`` for an error with a place."""
    try:
        read = parse(text)
    except InvalidPolicyError as error:
        found = [one for one in error.diagnostics if one.severity is Severity.ERROR]
        assert found
        lines = text.count("\n") + 1
        for one in error.diagnostics:
            assert 1 <= one.line <= lines
            assert 1 <= one.column <= len(text.split("\n")[one.line - 1]) + 1
            assert one.message.isprintable()
            assert one.hint
        return None
    compiled = compile_policy(read, fleet="home", generation=1, exceptions=Exceptions())
    assert _core.Snapshot(compiled.snapshot_json).generation == 1
    return compiled


def toml_text(value: object) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(toml_text(item) for item in value) + "]"
    assert isinstance(value, dict)
    pairs = (f"{key} = {toml_text(item)}" for key, item in value.items())
    return "{ " + ", ".join(pairs) + " }"


@st.composite
def topics(draw: st.DrawFn, *, own: str) -> str:
    """A pattern that the role of a device or a service can have."""
    other = "{service}" if own == "{device}" else "{device}"
    usable = [level for level in LEVELS if level != other]
    levels = draw(st.lists(st.sampled_from(usable), min_size=1, max_size=4))
    if own == "{device}" and levels[0].startswith("$"):
        levels[0] = "a"
    if draw(st.integers(0, 4)) == 0:
        levels.append("#")
    if levels == [""]:
        levels = ["a"]
    return "/".join(levels)


def _topic(rule: Any) -> str:
    return str(rule["topic"])


@st.composite
def roles(draw: st.DrawFn, name: str) -> str:
    """One role, right in every part."""
    service = draw(st.booleans())
    own = "{service}" if service else "{device}"
    match: dict[str, str] = {}
    if service or draw(st.booleans()):
        match["service" if service else "device"] = draw(st.sampled_from(["x", "y"]))
    for attribute in draw(st.sets(st.sampled_from(["group", "site"]), min_size=not match)):
        match[attribute] = draw(st.sampled_from(["a", "g"]))
    patterns = topics(own=own)
    qos = st.integers(0, 2)
    publish = st.fixed_dictionaries(
        {"topic": patterns}, optional={"qos": qos, "retain": st.booleans(), "will": st.booleans()}
    )
    subscribe = st.fixed_dictionaries({"topic": patterns}, optional={"qos": qos})
    actions = st.sampled_from([["publish"], ["subscribe"], ["publish", "subscribe"]])
    deny = st.fixed_dictionaries({"topic": patterns}, optional={"actions": actions})
    lines = [f"[role.{name}]", f"match = {toml_text(match)}"]
    for key, rules in (("publish", publish), ("subscribe", subscribe), ("deny", deny)):
        found = draw(st.lists(rules, max_size=3, unique_by=_topic))
        lines.append(f"{key} = {toml_text(found)}")
    if service:
        lines.append(f"wildcards = {toml_text(draw(st.booleans()))}")
    return "\n".join(lines)


@st.composite
def policies(draw: st.DrawFn) -> str:
    """A right policy of a few roles that overlap."""
    count = draw(st.integers(0, 3))
    return "\n".join(draw(roles(f"r{number}")) for number in range(count)) + "\n"


@st.composite
def mutated_policies(draw: st.DrawFn) -> str:
    """A right policy in which characters, words or lines were changed."""
    text = draw(st.one_of(st.just(default_policy_text()), policies()))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(len(text), begin + 20)))
        put = draw(
            st.one_of(
                st.text(max_size=3),
                st.sampled_from(WORDS),
                st.sampled_from(text.split() or [""]),
            )
        )
        text = text[:begin] + put + text[end:]
    return text


__all__ = ["compiles", "mutated_policies", "policies", "toml_text"]
