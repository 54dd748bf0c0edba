"""The rights of one identity as filters, for questions about whole grants."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from motte import _core
from motte.policy.model import Action, Grant, Kind, LevelKind, Pattern, Policy, Role
from motte.policy.radius.analysis import Person

__all__ = ["BoundGrant", "Rights", "generic_identity", "rights_of"]


@dataclass(frozen=True, slots=True)
class BoundGrant:
    """A grant with its placeholders filled in."""

    role: str
    pattern: str
    filter: str
    rule: str


@dataclass(frozen=True, slots=True)
class Rights:
    """What one identity is granted and denied, by action: publish, retain, will, subscribe."""

    granted: dict[str, tuple[BoundGrant, ...]]
    denied: dict[str, tuple[str, ...]]

    def grants(self, action: str) -> tuple[BoundGrant, ...]:
        """The grants for an action."""
        return self.granted[action]

    def denials(self, action: str) -> tuple[str, ...]:
        """The filters that are denied for an action."""
        return self.denied["subscribe" if action == "subscribe" else "publish"]

    @staticmethod
    def outside(filters: Sequence[str], granted: str) -> str | None:
        """A topic of a filter that none of the others holds."""
        return _core.filter_contains(list(filters), [], granted)

    @staticmethod
    def common(one: str, other: str) -> str | None:
        """The filter of the topics that two filters have in common."""
        return _core.filter_intersection(one, other)


def generic_identity(role: Role, policies: Iterable[Policy]) -> Person | None:
    """An identity that has the role, and as little as possible in common with anything else.

    It has every attribute that a placeholder asks for, each with a value that no policy names, so
    it stands for all identities that are not special. None if no identity can be like that.
    """
    names: set[str] = set()
    taken: set[str] = set()
    for policy in policies:
        for one in policy.roles:
            taken.update(one.match.attributes.values(), {one.match.id or ""})
            for rule in one.rules:
                names.update(rule.topic.placeholders)
                taken.update(level.text for level in rule.topic.levels)
    attributes = {name: _unlike(name, taken) for name in sorted(names - {"device", "service"})}
    attributes |= role.match.attributes
    identifier = role.match.id or _unlike(role.match.kind.value, taken)
    try:
        _core.format_spiffe(role.match.kind.value, identifier, attributes, "check")
    except ValueError:
        # More attributes than an identity can have: those of the role itself matter most.
        own = {name for rule in role.rules for name in rule.topic.placeholders} | set(
            role.match.attributes
        )
        attributes = {name: value for name, value in attributes.items() if name in own}
    try:
        _core.format_spiffe(role.match.kind.value, identifier, attributes, "check")
    except ValueError:
        return None
    return Person(role.match.kind.value, identifier, attributes)


def _unlike(name: str, taken: set[str]) -> str:
    value = f"{name[:24]}-1"
    while value in taken:
        value += "x"
    return value


def rights_of(policy: Policy, identity: Person) -> Rights:
    """What a policy grants and denies an identity."""
    own = [role for role in policy.roles if _has(role, identity)]
    publish = [
        (grant, bound)
        for role in own
        for grant in role.publish
        if (bound := _bound(policy, role, "publish", grant, identity)) is not None
    ]
    subscribe = [
        bound
        for role in own
        for grant in role.subscribe
        if (bound := _bound(policy, role, "subscribe", grant, identity)) is not None
    ]
    return Rights(
        {
            "publish": tuple(bound for _, bound in publish),
            "retain": tuple(bound for grant, bound in publish if grant.retain),
            "will": tuple(bound for grant, bound in publish if grant.will),
            "subscribe": tuple(subscribe),
        },
        {
            action.value: tuple(
                text
                for role in own
                for denial in role.deny
                if action in denial.actions
                and (text := _filled(denial.topic, identity, missing="+")) is not None
            )
            for action in (Action.PUBLISH, Action.SUBSCRIBE)
        },
    )


def _has(role: Role, identity: Person) -> bool:
    match = role.match
    return (
        match.kind == identity.kind
        and match.id in {None, identity.id}
        and match.attributes.items() <= dict(identity.attributes).items()
    )


def _bound(
    policy: Policy, role: Role, side: str, grant: Grant, identity: Person
) -> BoundGrant | None:
    text = _filled(grant.topic, identity, missing=None)
    if text is None:
        return None
    rule = f'{policy.file}:{grant.place.line} role.{role.name} {side} "{grant.topic.text}"'
    return BoundGrant(role.name, grant.topic.text, text, rule)


def _filled(pattern: Pattern, identity: Person, *, missing: str | None) -> str | None:
    levels: list[str] = []
    for level in pattern.levels:
        text: str | None = level.text
        if level.kind is LevelKind.PLACEHOLDER:
            if level.text in set(Kind):
                text = identity.id if level.text == identity.kind else missing
            else:
                text = identity.attributes.get(level.text, missing)
        if text is None:
            return None
        levels.append(text)
    return "/".join(levels)
