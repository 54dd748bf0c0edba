"""What a policy means, said as simply as it can be said.

The data plane decides with an exact, fast algebra of topic filters. This module answers the same
questions by walking levels one at a time, straight from the model, and shares no code with it.
The compiler uses it to write test vectors into every snapshot; a data plane whose answer to one
of them differs refuses the snapshot. It is a second opinion, never a decision.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from motte.policy.model import (
    Action,
    Denial,
    Kind,
    Level,
    LevelKind,
    Match,
    Pattern,
    Policy,
    PublishGrant,
    Role,
)

__all__ = [
    "Asker",
    "Bound",
    "Levels",
    "bind",
    "bind_widest",
    "common_topic",
    "concrete_topics",
    "matches",
    "matching_roles",
]

Levels = tuple[Level, ...]
"""A bound pattern: literals, ``+`` and ``#`` only."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: an identity as its certificate names it."""

    kind: Kind
    id: str
    attributes: Mapping[str, str]

    def value(self, placeholder: str) -> str | None:
        """What a placeholder stands for, if anything."""
        if placeholder in {Kind.DEVICE.value, Kind.SERVICE.value}:
            return self.id if placeholder == self.kind.value else None
        return self.attributes.get(placeholder)


def matching_roles(policy: Policy, asker: Asker) -> tuple[Role, ...]:
    """The roles that the identity has."""
    return tuple(role for role in policy.roles if _is_for(role.match, asker))


def _is_for(match: Match, asker: Asker) -> bool:
    return (
        match.kind == asker.kind
        and match.id in {None, asker.id}
        and all(asker.attributes.get(name) == value for name, value in match.attributes.items())
    )


def bind(pattern: Pattern, asker: Asker) -> Levels | None:
    """The pattern for one identity; ``None`` if a placeholder has no value there."""
    if any(asker.value(name) is None for name in pattern.placeholders):
        return None
    return bind_widest(pattern, asker)


def bind_widest(pattern: Pattern, asker: Asker) -> Levels:
    """The same for a denial, where a placeholder without a value is every value."""
    return tuple(_bind_level(level, asker) for level in pattern.levels)


def _bind_level(level: Level, asker: Asker) -> Level:
    if level.kind is not LevelKind.PLACEHOLDER:
        return level
    value = asker.value(level.text)
    return Level(LevelKind.LITERAL, value) if value is not None else _ANY


_ANY = Level(LevelKind.ONE, "+")


def matches(pattern: Levels, topic: tuple[str, ...]) -> bool:
    """Whether the topic, split at ``/``, is one of the pattern's."""
    if topic[0].startswith("$") and pattern[0].kind is not LevelKind.LITERAL:
        return False
    for depth, level in enumerate(pattern):
        if level.kind is LevelKind.REST:
            return True
        if depth == len(topic) or not _stands_for(level, topic[depth]):
            return False
    return len(pattern) == len(topic)


def _stands_for(level: Level, text: str) -> bool:
    return level.kind is LevelKind.ONE or level.text == text


def concrete_topics(pattern: Levels, fresh: str) -> Iterator[tuple[str, ...]]:
    """Some topics of the pattern: each ``+`` is ``fresh``, ``#`` is no level, one, two."""
    tail = pattern[-1].kind is LevelKind.REST
    fixed = pattern[:-1] if tail else pattern
    start = tuple(fresh if level.kind is LevelKind.ONE else level.text for level in fixed)
    for depth in range(3 if tail else 1):
        topic = start + (fresh,) * depth
        # A topic of no characters does not exist, so neither does the parent of `#` or `/#`.
        if topic and topic != ("",):
            yield topic


def common_topic(one: Levels, other: Levels, fresh: str) -> tuple[str, ...] | None:
    """A topic that both patterns have, or ``None`` if there is none."""
    for depth in range(1, max(len(one), len(other)) + 2):
        left, right = _unrolled(one, depth), _unrolled(other, depth)
        if left is None or right is None:
            continue
        topic = tuple(
            a.text if a.kind is LevelKind.LITERAL
            else b.text if b.kind is LevelKind.LITERAL
            else fresh
            for a, b in zip(left, right, strict=True)
        )  # fmt: skip
        if topic != ("",) and matches(one, topic) and matches(other, topic):
            return topic
    return None


def _unrolled(pattern: Levels, depth: int) -> Levels | None:
    """The pattern with exactly that many levels, if it has topics of that depth."""
    if pattern[-1].kind is not LevelKind.REST:
        return pattern if len(pattern) == depth else None
    fixed = pattern[:-1]
    return fixed + (_ANY,) * (depth - len(fixed)) if len(fixed) <= depth else None


@dataclass(frozen=True, slots=True)
class Bound:
    """The rules of all roles that one identity has, with its own values in place."""

    publish: tuple[tuple[Levels, PublishGrant], ...]
    subscribe: tuple[tuple[Levels, Role], ...]
    deny: tuple[tuple[Levels, Denial], ...]

    @classmethod
    def of(cls, policy: Policy, asker: Asker) -> "Bound":
        """Binds the policy to an identity."""
        roles = matching_roles(policy, asker)
        return cls(
            publish=tuple(
                (levels, grant)
                for role in roles
                for grant in role.publish
                if (levels := bind(grant.topic, asker)) is not None
            ),
            subscribe=tuple(
                (levels, role)
                for role in roles
                for grant in role.subscribe
                if (levels := bind(grant.topic, asker)) is not None
            ),
            deny=tuple(
                (bind_widest(denial.topic, asker), denial) for role in roles for denial in role.deny
            ),
        )

    def is_allowed(self, action: Action, topic: str, qos: int, *, retain: bool) -> bool:
        """Whether the identity may do this with a concrete topic, or share a subscription to it."""
        levels = tuple(topic.split("/"))
        group = None
        if action is Action.SUBSCRIBE and levels[0] == "$share":
            _, group, *rest = levels
            levels = tuple(rest)
        denied = Action.PUBLISH if action in {Action.PUBLISH, Action.WILL} else Action.SUBSCRIBE
        if any(denied in rule.actions and matches(pattern, levels) for pattern, rule in self.deny):
            return False
        if denied is Action.SUBSCRIBE:
            return any(
                matches(pattern, levels)
                for pattern, role in self.subscribe
                if group is None or group in role.share
            )
        if levels[0] == "$SYS":
            return False
        return any(
            qos <= grant.qos
            and (grant.retain or not retain)
            and (grant.will or action is not Action.WILL)
            and matches(pattern, levels)
            for pattern, grant in self.publish
        )

    def is_filter_allowed(self, wanted: Levels, fresh: str) -> bool | None:
        """Whether it may subscribe to a filter with wildcards, if that is plain to see.

        It is plain that a filter is allowed if it is itself a grant of a role with wildcards and
        no denial has a topic of it, and that it is refused if a denial has, or if one of its
        topics is in no such grant.
        """
        filters = [pattern for pattern, role in self.subscribe if role.wildcards]
        for pattern, denial in self.deny:
            if Action.SUBSCRIBE in denial.actions and common_topic(wanted, pattern, fresh):
                return False
        if wanted in filters:
            return True
        for topic in concrete_topics(wanted, fresh):
            if not any(matches(grant, topic) for grant in filters):
                return False
        return None
