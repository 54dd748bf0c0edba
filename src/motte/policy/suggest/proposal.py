"""A policy that allows what was used, and of the rest as little as can be said.

Never more than the policy that it is made from: grants are removed, made narrower or lowered. What
is not known is left alone: a role that nobody used, and a grant whose uses are too many to tell.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, TypeVar

from motte import _core
from motte.policy.grants import MAXIMUM_RULES_PER_LIST
from motte.policy.language import parse
from motte.policy.lint.topics import at_least, widest
from motte.policy.model import Policy, PublishGrant, Role, SubscribeGrant
from motte.policy.suggest.topics import filter_of_all, narrowest, without_group
from motte.policy.suggest.uses import Use, Uses
from motte.policy.suggest.writer import policy_toml

__all__ = ["Change", "ChangeKind", "Proposal", "propose"]

_WILD: Final = frozenset(("+", "#"))

_Grant = TypeVar("_Grant", PublishGrant, SubscribeGrant)


class ChangeKind(StrEnum):
    """What is proposed for a rule."""

    REMOVE = "remove"
    NARROW = "narrow"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that a role needs less of."""

    role: str
    kind: ChangeKind
    what: str
    """``publish``, ``subscribe``, ``share`` or ``wildcards``."""
    old: str
    new: tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """The proposed policy, and how it differs."""

    policy: Policy
    text: str
    changes: tuple[Change, ...]
    unused: tuple[str, ...]
    """Roles that nobody used: nothing is known about them, so they are as they were."""


def propose(policy: Policy, uses: Uses, names: Collection[str]) -> Proposal:
    """What the uses leave of a policy. ``names`` are ids and attributes of those enrolled."""
    needed = _needed_elsewhere(policy, uses)
    roles: list[Role] = []
    changes: list[Change] = []
    unused: list[str] = []
    for role in policy.roles:
        if not uses.of_role(role):
            roles.append(role)
            if role.publish or role.subscribe:
                unused.append(role.name)
            continue
        less, told = _Reader(role, uses, names, needed).reduce()
        if _is_enough(role, less, uses):
            roles.append(less)
            changes += told
        else:
            roles.append(role)
    text = policy_toml(replace(policy, roles=tuple(roles)))
    return Proposal(parse(text, policy.file).policy, text, tuple(changes), tuple(unused))


def _needed_elsewhere(policy: Policy, uses: Uses) -> list[str]:
    """Filters that were subscribed to and that no grant holds alone: several together allow them.

    The data plane names one of these grants, so all that have to do with such a filter stay.
    """
    return [
        filter_of_all(topic)
        for role in policy.roles
        for grant in role.subscribe
        for topic in _filters(uses.of(role, grant))
        if _core.filter_contains([grant.topic.text], [], topic) is not None
    ]


def _filters(uses: tuple[Use, ...]) -> Iterator[str]:
    for use in uses:
        if use.topic is not None and not use.is_unclear:
            yield without_group(use.topic)[1]


class _Reader:
    """Reduces one role."""

    def __init__(self, role: Role, uses: Uses, names: Collection[str], needed: list[str]) -> None:
        self._role = role
        self._uses = uses
        self._names = names
        self._needed = needed
        self._changes: list[Change] = []

    def reduce(self) -> tuple[Role, list[Change]]:
        """The role with what it needs, and what was taken away."""
        role = self._role
        publish = [pair for grant in role.publish for pair in self._publish(grant)]
        subscribe = [pair for grant in role.subscribe for pair in self._subscribe(grant)]
        less = replace(
            role,
            publish=_each_topic_once(publish),
            subscribe=_each_topic_once(subscribe),
            wildcards=self._wildcards(),
            share=self._share(),
        )
        return less, self._changes

    def _note(self, kind: ChangeKind, what: str, old: str, new: tuple[str, ...], line: int) -> None:
        self._changes.append(Change(self._role.name, kind, what, old, new, line))

    def _publish(self, grant: PublishGrant) -> Iterator[tuple[PublishGrant, PublishGrant]]:
        uses = self._uses.of(self._role, grant)
        if not uses:
            self._note(ChangeKind.REMOVE, "publish", grant.topic.text, (), grant.place.line)
        elif any(use.is_unclear for use in uses):
            yield grant, grant
        else:
            lowered = replace(
                grant,
                qos=min(grant.qos, max(use.qos for use in uses)),
                retain=grant.retain and any(use.retain for use in uses),
                will=grant.will and any(use.act == "will" for use in uses),
            )
            yield from self._narrowed(lowered, grant, [use.topic for use in uses], "publish")

    def _subscribe(self, grant: SubscribeGrant) -> Iterator[tuple[SubscribeGrant, SubscribeGrant]]:
        uses = self._uses.of(self._role, grant)
        if any(_core.filter_intersection(widest(grant.topic), one) for one in self._needed):
            yield grant, grant
        elif not uses:
            self._note(ChangeKind.REMOVE, "subscribe", grant.topic.text, (), grant.place.line)
        elif any(use.is_unclear for use in uses):
            yield grant, grant
        else:
            lowered = replace(grant, qos=min(grant.qos, max(use.qos for use in uses)))
            topics = [None if use.topic is None else without_group(use.topic)[1] for use in uses]
            yield from self._narrowed(lowered, grant, topics, "subscribe")

    def _narrowed(
        self, lowered: _Grant, grant: _Grant, topics: list[str | None], what: str
    ) -> Iterator[tuple[_Grant, _Grant]]:
        seen = [topic for topic in topics if topic is not None]
        texts = None
        if grant.topic.has_wildcard and len(seen) == len(topics):
            texts = narrowest(grant.topic, seen, self._names)
        if notes := tuple(_lowered(grant, lowered)):
            self._note(ChangeKind.LOWER, what, grant.topic.text, notes, grant.place.line)
        if texts is None:
            yield lowered, grant
            return
        self._note(ChangeKind.NARROW, what, grant.topic.text, tuple(texts), grant.place.line)
        for text in texts:
            yield replace(lowered, topic=replace(grant.topic, text=text)), grant

    def _subscriptions(self) -> list[Use]:
        return [use for grant in self._role.subscribe for use in self._uses.of(self._role, grant)]

    def _wildcards(self) -> bool:
        uses = self._subscriptions()
        if not self._role.wildcards or not uses or any(use.is_unclear for use in uses):
            return self._role.wildcards
        levels = {level for use in uses for level in str(use.topic).split("/")}
        if levels & _WILD:
            return True
        line = self._role.place.line
        self._note(ChangeKind.REMOVE, "wildcards", "wildcards = true", (), line)
        return False

    def _share(self) -> tuple[str, ...]:
        share, uses = self._role.share, self._subscriptions()
        used = {without_group(use.topic)[0] for use in uses if use.topic is not None}
        # A group that is called like the service itself stands there as a placeholder.
        is_known = all(group is None or not group.startswith("{") for group in used)
        if not is_known or any(use.is_unclear for use in uses):
            return share
        for group in share:
            if group not in used:
                self._note(ChangeKind.REMOVE, "share", group, (), self._role.place.line)
        return tuple(group for group in share if group in used)


def _lowered(old: PublishGrant | SubscribeGrant, new: object) -> Iterator[str]:
    if not isinstance(new, PublishGrant | SubscribeGrant):
        return
    if new.qos < old.qos:
        yield f"QoS {new.qos} at most"
    if isinstance(old, PublishGrant) and isinstance(new, PublishGrant):
        if old.retain and not new.retain:
            yield "not retained"
        if old.will and not new.will:
            yield "not as a will"


def _each_topic_once(pairs: list[tuple[_Grant, _Grant]]) -> tuple[_Grant, ...]:
    """The grants, of two with the same topic the one that allows more.

    A policy names a topic once in a list. Where neither allows all that the other does, the second
    stays as it was, since both together would allow more than they did.
    """
    by_topic: dict[str, _Grant] = {}
    for less, original in pairs:
        known = by_topic.get(less.topic.text)
        if known is None or at_least(less, known):
            by_topic[less.topic.text] = less
        elif not at_least(known, less):
            by_topic[original.topic.text] = original
    return tuple(by_topic.values())


def _is_enough(role: Role, less: Role, uses: Uses) -> bool:
    """Whether everything that was seen is still allowed, by a role that a policy can hold."""
    if max(len(less.publish), len(less.subscribe)) > MAXIMUM_RULES_PER_LIST:
        return False
    return all(
        _core.filter_contains(
            [other.topic.text for other in _allowing(less, grant, use)],
            [],
            grant.topic.text if use.topic is None else without_group(use.topic)[1],
        )
        is None
        for grant in role.grants
        for use in uses.of(role, grant)
        if not use.is_unclear and _is_of(grant, use)
    )


def _is_of(grant: PublishGrant | SubscribeGrant, use: Use) -> bool:
    """Whether the grant alone allows the use; what several allow together was left alone."""
    topic = grant.topic.text if use.topic is None else without_group(use.topic)[1]
    return _core.filter_contains([grant.topic.text], [], topic) is None


def _allowing(
    less: Role, grant: PublishGrant | SubscribeGrant, use: Use
) -> tuple[PublishGrant | SubscribeGrant, ...]:
    if isinstance(grant, SubscribeGrant):
        return less.subscribe
    return tuple(
        other
        for other in less.publish
        if other.qos >= use.qos and other.retain >= use.retain and (other.will or use.act != "will")
    )
