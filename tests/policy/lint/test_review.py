"""What ``motte policy check`` says about a policy as a whole.

``review.golden`` holds one policy per case and, below ``---``, all that is to be said about it.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, event, given, settings

from motte import _core
from motte.policy import lint
from motte.policy.compiler import compile_policy
from motte.policy.language import parse
from motte.policy.lint.review import review
from motte.policy.lint.topics import grants_by_action
from motte.policy.model import Exceptions
from tests.policy.policies import policies, toml_text

if TYPE_CHECKING:
    from motte.policy.diagnostics import Diagnostic
    from motte.policy.model import Role

GOLDEN = Path(__file__).with_name("review.golden")


def cases() -> dict[str, tuple[str, list[str]]]:
    found = {}
    for part in GOLDEN.read_text(encoding="utf-8").split("=== ")[1:]:
        name, _, rest = part.partition("\n")
        text, _, expected = rest.partition("---\n")
        found[name] = (text, expected.strip().split("\n") if expected.strip() else [])
    return found


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    text, expected = CASES[name]
    assert [str(problem) for problem in review(parse(text))] == expected


def said(text: str, *members: tuple[str, str, dict[str, str]]) -> list[str]:
    """Codes and lines of what is said about a policy and those who are enrolled."""
    return [f"{one.code} {one.line}" for one in review(parse(text), members)]


def test_every_kind_of_warning_is_shown_by_a_case() -> None:
    """A warning that no case provokes would be text that nobody has ever seen."""
    folder = Path(lint.__file__).parent
    written = {
        code
        for name in ("overlap", "traffic")
        for code in re.findall(r"\.warning\(\s*\"([a-z-]+)\"", (folder / f"{name}.py").read_text())
    }
    assert written <= {one.code for text, _ in CASES.values() for one in review(parse(text))}


HOME = """\
[role.toaster]
match = { group = "toaster" }
publish = ["t/{site}/{device}/state"]
[role.hub]
match = { service = "hub" }
subscribe = ["t/+/+/state"]
wildcards = true
"""
HUB: tuple[str, str, dict[str, str]] = ("service", "hub", {})


class TestFleet:
    def test_nothing_is_said_where_everybody_has_a_role_and_every_grant_a_user(self) -> None:
        toaster = ("device", "a", {"group": "toaster", "site": "kitchen"})
        assert said(HOME, toaster, HUB) == []

    def test_nothing_is_said_about_a_fleet_without_members(self) -> None:
        assert said(HOME) == []

    def test_a_role_that_nobody_has(self) -> None:
        assert said(HOME, HUB) == ["nobody-enrolled 1"]
        toaster = ("device", "hub", {"group": "toaster", "site": "kitchen"})
        assert said(HOME, toaster) == ["nobody-enrolled 4"]

    def test_a_grant_that_names_what_nobody_has(self) -> None:
        assert said(HOME, ("device", "a", {"group": "toaster"}), HUB) == ["unusable-grant 3"]

    def test_one_who_can_use_it_is_enough(self) -> None:
        members = [
            ("device", "a", {"group": "toaster"}),
            ("device", "b", {"group": "toaster", "site": "kitchen"}),
        ]
        assert said(HOME, *members, HUB) == []

    def test_attributes_that_nobody_has_together(self) -> None:
        text = HOME.replace("{device}", "{floor}")
        members = [
            ("device", "a", {"group": "toaster", "site": "kitchen"}),
            ("device", "b", {"group": "toaster", "floor": "first"}),
        ]
        found = [one for one in review(parse(text), [*members, HUB]) if one.line == 3]
        assert [one.code for one in found] == ["unusable-grant", "unknown-attribute"]
        assert "none of the 2 who are enrolled" in found[0].message
        assert "all attributes that it names" in found[0].message

    def test_identities_without_a_role(self) -> None:
        toaster = ("device", "a", {"group": "toaster", "site": "kitchen"})
        kettle = ("device", "b", {"group": "kettle"})
        (problem,) = review(parse(HOME), [toaster, kettle, HUB, ("service", "other", {})])
        assert problem.code == "without-role"
        assert "no role is for 2 of the 4 who are enrolled" in problem.message
        assert "device/b" in problem.message


IDENTITIES = [
    (kind, identifier, {name: value for name, value in (("group", g), ("site", s)) if value})
    for kind in ("device", "service")
    for identifier in ("x", "y")
    for g in ("", "a", "g")
    for s in ("", "a", "g")
]
TOPICS = [
    "/".join(levels)
    for depth in (1, 2, 3)
    for levels in itertools.product(["a", "b", "", "$x", "x", "g", "other"], repeat=depth)
    if levels != ("",)
]


class World:
    """What a policy allows to a small world of identities."""

    def __init__(self, text: str) -> None:
        compiled = compile_policy(parse(text), fleet="home", generation=1, exceptions=Exceptions())
        self.snapshot = _core.Snapshot(compiled.snapshot_json)

    def who_may(self, action: str, topic: str) -> list[str]:
        return [
            f"{kind}/{identifier} {attributes}"
            for kind, identifier, attributes in IDENTITIES
            if self.snapshot.decide(kind, identifier, attributes, action, topic, 0, False).allowed
        ]


def only(role: Role, problem: Diagnostic) -> str:
    """The role with the one grant that a problem is about, as a policy."""
    match = dict(role.match.attributes)
    if role.match.id is not None:
        match[role.match.kind.value] = role.match.id
    lines = [f"[role.{role.name}]", f"match = {toml_text(match)}"]
    for key, grants in grants_by_action(role):
        topics = [
            grant.topic.text
            for grant in grants
            if (grant.place.line, grant.place.column) == (problem.line, problem.column)
        ]
        if topics:
            lines.append(f"{key} = {toml_text(list(topics))}")
    return "\n".join(lines)


class TestTruth:
    """What is said about topics holds in a world small enough to be tried whole."""

    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(text=policies())
    def test_grants_that_meet_nothing_meet_nothing(self, text: str) -> None:
        read = parse(text)
        world = World(text)
        asked = {"unread-grant": ("publish", "receive"), "unwritten-grant": ("receive", "publish")}
        for problem in review(read):
            if problem.code == "dead-grant":
                event("dead")
                self._is_dead(read.policy.roles, problem, world)
            if problem.code not in asked:
                continue
            event(problem.code)
            own, other = asked[problem.code]
            (role,) = [r for r in read.policy.roles if _has(r, problem)]
            alone = World(only(role, problem))
            for topic in TOPICS:
                if alone.who_may(own, topic):
                    assert world.who_may(other, topic) == [], (problem, topic)

    def _is_dead(self, roles: tuple[Role, ...], problem: Diagnostic, world: World) -> None:
        (role,) = [role for role in roles if _has(role, problem)]
        is_publish = any(
            (grant.place.line, grant.place.column) == (problem.line, problem.column)
            for grant in role.publish
        )
        action = "publish" if is_publish else "receive"
        alone = World(only(role, problem))
        for topic in TOPICS:
            both = set(alone.who_may(action, topic)) & set(world.who_may(action, topic))
            assert both == set(), (problem, topic)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(text=policies())
    def test_what_a_wildcard_takes_in_needlessly_is_nobodys(self, text: str) -> None:
        world = World(text)
        for problem in review(parse(text)):
            if problem.code == "wide-wildcard":
                event("wide")
                verb, topic = re.search(  # type: ignore[union-attr]
                    r"nobody may (read|publish on), such as `(.*)`$", problem.message
                ).groups()
                action = "receive" if verb == "read" else "publish"
                assert world.who_may(action, topic) == [], problem


def _has(role: Role, problem: Diagnostic) -> bool:
    return any(
        (rule.place.line, rule.place.column) == (problem.line, problem.column)
        for rule in role.rules
    )
