"""A slow, obvious reference of what the data plane decides.

It reads the OASIS text and DESIGN.md section 6, answers every question about sets of topics by
listing topics, and shares nothing with the Rust algorithm: no normal form, no unification, no
symbolic levels. Levels of the questions come from `ALPHABET`; `FRESH` stands in no question and
plays the infinitely many levels that no policy names.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

ALPHABET = ("", "a", "b", "$s")
FRESH = "fresh"
FILTER_DEPTH = 3
"""Levels of a filter in a question, ``#`` not counted."""
TOPIC_DEPTH = FILTER_DEPTH + 1
"""One level more than any filter names: what holds there holds for every deeper topic."""


@cache
def universe() -> tuple[str, ...]:
    """Every topic name that the questions can tell apart."""
    topics = (
        "/".join(levels)
        for depth in range(1, TOPIC_DEPTH + 1)
        for levels in itertools.product((*ALPHABET, FRESH), repeat=depth)
    )
    return tuple(topic for topic in topics if topic)


def matches(topic_filter: str, topic: str) -> bool:
    """OASIS MQTT 5.0, section 4.7."""
    if topic.startswith("$") and topic_filter[0] in "+#":
        return False
    names = topic.split("/")
    for index, level in enumerate(topic_filter.split("/")):
        if level == "#":
            return True
        if index >= len(names) or level not in {"+", names[index]}:
            return False
        # "sport/tennis/#" also matches "sport/tennis": `#` includes the parent level.
        if index == len(names) - 1 and topic_filter.split("/")[index + 1 :] == ["#"]:
            return True
    return len(names) == len(topic_filter.split("/"))


@cache
def topics_of(topic_filter: str) -> frozenset[str]:
    """Every topic of the universe that the filter matches."""
    return frozenset(topic for topic in universe() if matches(topic_filter, topic))


def union(filters: Iterable[str]) -> frozenset[str]:
    """Every topic that one of the filters matches."""
    return frozenset[str]().union(*(topics_of(one) for one in filters))


def offending(grants: Iterable[str], denials: Iterable[str], topic_filter: str) -> frozenset[str]:
    """The topics of the filter that no grant covers or that a denial matches."""
    return topics_of(topic_filter) - (union(grants) - union(denials))


@dataclass(frozen=True)
class Grant:
    """One grant; ``retain`` and ``will`` are for publishing alone."""

    topic: str
    qos: int = 2
    retain: bool = False
    will: bool = True


@dataclass(frozen=True)
class Denial:
    """One denial."""

    topic: str
    actions: tuple[str, ...] = ("publish", "subscribe")


@dataclass(frozen=True)
class Role:
    """One role."""

    kind: str
    id: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    publish: Sequence[Grant] = ()
    subscribe: Sequence[Grant] = ()
    deny: Sequence[Denial] = ()
    wildcards: bool = False
    share: Sequence[str] = ()


@dataclass(frozen=True)
class Identity:
    """Who asks."""

    kind: str
    id: str
    attributes: Mapping[str, str]

    def value(self, name: str) -> str | None:
        """What ``{name}`` stands for."""
        if name in {"device", "service"}:
            return self.id if name == self.kind else None
        return self.attributes.get(name)


@dataclass(frozen=True)
class Verdict:
    """What the policy answers: at which QoS it is allowed, or why it is not."""

    maximum_qos: int | None
    cause: str | None = None


def has_role(role: Role, who: Identity) -> bool:
    """Whether the role matches the identity."""
    return (
        role.kind == who.kind
        and role.id in {None, who.id}
        and role.attributes.items() <= who.attributes.items()
    )


def bind(pattern: str, who: Identity) -> str | None:
    """The filter of a pattern; ``None`` if the identity lacks an attribute."""
    levels = [
        who.value(level[1:-1]) if level.startswith("{") else level for level in pattern.split("/")
    ]
    return None if None in levels else "/".join(level for level in levels if level is not None)


def bind_denial(pattern: str, who: Identity) -> str:
    """The filter of a denial; an attribute that the identity lacks is denied at every value."""
    levels = pattern.split("/")
    values = [who.value(level[1:-1]) if level.startswith("{") else level for level in levels]
    return "/".join("+" if value is None else value for value in values)


def denied(roles: Iterable[Role], who: Identity, action: str) -> frozenset[str]:
    """Every topic on which the action is denied."""
    rules = [rule for role in roles for rule in role.deny if action in rule.actions]
    return union(bind_denial(rule.topic, who) for rule in rules)


def decide(
    policy: Iterable[Role], who: Identity, action: str, topic: str, qos: int, *, retain: bool
) -> Verdict:
    """The answer of the policy."""
    roles = [role for role in policy if has_role(role, who)]
    if not roles:
        return Verdict(None, "no-role")
    if action in {"publish", "will"}:
        return _decide_publish(roles, who, topic, qos, retain=retain, will=action == "will")
    group = None
    if action == "subscribe" and topic.startswith("$share/"):
        _, group, topic = topic.split("/", 2)
    return _decide_reading(roles, who, topic, subscribes=action == "subscribe", group=group)


def _decide_reading(
    roles: Sequence[Role], who: Identity, topic: str, *, subscribes: bool, group: str | None
) -> Verdict:
    grants = [
        (bound, grant.qos, role)
        for role in roles
        for grant in role.subscribe
        if (bound := bind(grant.topic, who)) is not None
    ]
    wanted = topics_of(topic) if subscribes else frozenset({topic})
    wild = subscribes and ("+" in topic or "#" in topic)
    of_group = [one for one in grants if group is None or group in one[2].share]
    # Both before the denials: else the answer would tell where they are.
    if group is not None and not of_group:
        return Verdict(None, "share-not-granted")
    if wild and not any(role.wildcards for _, _, role in grants):
        return Verdict(None, "wildcard")
    if wanted & denied(roles, who, "subscribe"):
        return Verdict(None, "denied-by-rule")
    usable = [one for one in of_group if one[2].wildcards or not wild]
    for at_least in (2, 1, 0):
        if wanted <= union(bound for bound, at, _ in usable if at >= at_least):
            return Verdict(at_least)
    if wild and wanted <= union(bound for bound, _, _ in of_group):
        return Verdict(None, "wildcard")
    if wanted <= union(bound for bound, _, role in grants if role.wildcards or not wild):
        return Verdict(None, "share-not-granted")
    return Verdict(None, "reserved" if topic.startswith("$") else "not-granted")


def _decide_publish(
    roles: Sequence[Role], who: Identity, topic: str, qos: int, *, retain: bool, will: bool
) -> Verdict:
    if topic in denied(roles, who, "publish"):
        return Verdict(None, "denied-by-rule")
    granting = [
        grant
        for role in roles
        for grant in role.publish
        if (bound := bind(grant.topic, who)) is not None and topic in topics_of(bound)
    ]
    if not granting:
        return Verdict(None, "reserved" if topic.startswith("$") else "not-granted")
    granting = [grant for grant in granting if grant.will or not will]
    if not granting:
        return Verdict(None, "will-not-granted")
    granting = [grant for grant in granting if grant.qos >= qos]
    if not granting:
        return Verdict(None, "qos-not-granted")
    granting = [grant for grant in granting if grant.retain or not retain]
    if not granting:
        return Verdict(None, "retain-not-granted")
    return Verdict(granting[0].qos)
