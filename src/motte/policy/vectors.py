"""Test vectors: questions with known answers that travel inside every snapshot.

The answers come from `motte.policy.rule`, not from the matcher that the data plane runs. A data
plane evaluates all of them before it takes a snapshot over, so a matcher that understands the
policy differently, or a snapshot that was changed on the way, is caught before it is in force.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from motte.policy import rule
from motte.policy.model import (
    HIGHEST_QOS,
    Action,
    Grant,
    Kind,
    Level,
    LevelKind,
    Pattern,
    Policy,
    PublishGrant,
    Role,
    SubscribeGrant,
)
from motte.policy.patterns import TOPIC_BYTES, TOPIC_LEVELS
from motte.policy.rule import Asker, Bound

__all__ = ["MAXIMUM_VECTORS", "Vector", "vectors"]

MAXIMUM_VECTORS: Final = 10_000
"""Vectors of one snapshot at most, which is what the data plane evaluates. The first ones of each
rule come first, so every rule keeps an allowed and a refused question."""


@dataclass(frozen=True, slots=True)
class Vector:
    """One question and its answer."""

    asker: Asker
    action: Action
    topic: str
    qos: int
    retain: bool
    allowed: bool

    def as_json(self) -> dict[str, Any]:
        """The vector as the snapshot holds it."""
        return {
            "identity": {
                "kind": self.asker.kind.value,
                "id": self.asker.id,
                "attributes": dict(self.asker.attributes),
            },
            "action": self.action.value,
            "topic": self.topic,
            "qos": self.qos,
            "retain": self.retain,
            "allowed": self.allowed,
        }

    @property
    def key(self) -> tuple[object, ...]:
        """What makes two vectors the same question."""
        attributes = tuple(sorted(self.asker.attributes.items()))
        asker = (self.asker.kind, self.asker.id, attributes)
        return (asker, self.action, self.topic, self.qos, self.retain)


def vectors(policy: Policy) -> tuple[Vector, ...]:
    """The test vectors of a policy, always the same for the same policy."""
    maker = _Maker(policy)
    needed: list[Vector] = []
    further: list[Vector] = []
    for role in policy.roles:
        for publish in role.publish:
            _split(maker.publish(role, publish), needed, further)
        for subscribe in role.subscribe:
            _split(maker.subscribe(role, subscribe), needed, further)
        needed.extend(maker.denials(role))
        further.extend(maker.strangers(role))
    unique: dict[tuple[object, ...], Vector] = {}
    for vector in (*needed, *further):
        unique.setdefault(vector.key, vector)
    return tuple(unique.values())[:MAXIMUM_VECTORS]


def _split(found: Iterable[Vector], needed: list[Vector], further: list[Vector]) -> None:
    """Puts the first allowed and the first refused question of a rule where they are not cut."""
    seen: set[bool] = set()
    for vector in found:
        (further if vector.allowed in seen else needed).append(vector)
        seen.add(vector.allowed)


class _Maker:
    """Thinks up questions about the rules of one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._cache: dict[tuple[object, ...], Bound] = {}
        taken = {
            level.text for role in policy.roles for one in role.rules for level in one.topic.levels
        }
        for role in policy.roles:
            taken.update(role.match.attributes.values(), {role.match.id or ""}, role.share)
        names = (f"t{number}" for number in range(len(taken) + 4))
        # Values that no rule names: for the asker, another one, a `+` and a wrong level.
        self._own, self._other, self._any, self._wrong = [n for n in names if n not in taken][:4]

    def publish(self, role: Role, grant: PublishGrant) -> Iterator[Vector]:
        """Questions about a right to publish."""
        asker = self._asker(role, grant.topic)
        inside, outside = self._topics(grant.topic, asker)
        qos, retain = grant.qos, grant.retain
        yield from self._first(asker, Action.PUBLISH, inside, (qos, retain), allowed=True)
        yield from self._first(asker, Action.PUBLISH, outside, (0, False), allowed=False)
        for topic in inside[:1]:
            yield self._answer(asker, Action.WILL, topic, qos, retain=retain)
            yield self._answer(asker, Action.PUBLISH, topic, qos, retain=True)
            yield self._answer(asker, Action.PUBLISH, topic, HIGHEST_QOS, retain=False)
        for topic in outside[:2]:
            yield self._answer(asker, Action.PUBLISH, topic, 0, retain=False)

    def subscribe(self, role: Role, grant: SubscribeGrant) -> Iterator[Vector]:
        """Questions about a right to subscribe and to receive."""
        asker = self._asker(role, grant.topic)
        inside, outside = self._topics(grant.topic, asker)
        yield from self._first(asker, Action.RECEIVE, inside, (0, False), allowed=True)
        yield from self._first(asker, Action.RECEIVE, outside, (0, False), allowed=False)
        for topic in (*inside[:1], *outside[:2]):
            yield self._answer(asker, Action.SUBSCRIBE, topic, 0, retain=False)
        for topic in inside[:1]:
            # Each group of the role, and one that it has not.
            for group in (*role.share, self._other):
                shared = f"$share/{group}/{topic}"
                if _is_legal(shared):
                    yield self._answer(asker, Action.SUBSCRIBE, shared, 0, retain=False)
        bound = rule.bind(grant.topic, asker)
        if bound is None or not grant.topic.has_wildcard:
            return
        for wanted in (bound, (Level(LevelKind.REST, "#"),)):
            topic = "/".join(level.text for level in wanted)
            verdict = self._bound(asker).is_filter_allowed(wanted, self._any)
            if verdict is not None and _is_legal(topic):
                yield Vector(asker, Action.SUBSCRIBE, topic, 0, retain=False, allowed=verdict)

    def denials(self, role: Role) -> Iterator[Vector]:
        """Questions about denied topics, if possible about one that a grant would have allowed."""
        for denial in role.deny:
            asker = self._asker(role, denial.topic)
            bound = rule.bind_widest(denial.topic, asker)
            for action in denial.actions:
                grants = role.publish if action is Action.PUBLISH else role.subscribe
                granted = (rule.bind(grant.topic, asker) for grant in grants)
                common = (
                    rule.common_topic(bound, levels, self._any) for levels in granted if levels
                )
                topics = [*filter(None, common), *rule.concrete_topics(bound, self._any)]
                texts = ["/".join(topic) for topic in topics]
                yield from self._first(asker, action, texts, (0, False), allowed=False)

    def strangers(self, role: Role) -> Iterator[Vector]:
        """What the role allows, asked by identities that only just do not match it."""
        grants: tuple[Grant, ...] = (*role.publish, *role.subscribe)
        for grant in grants[:1]:
            asker = self._asker(role, grant.topic)
            publishes = isinstance(grant, PublishGrant)
            action = Action.PUBLISH if publishes else Action.SUBSCRIBE
            for other in self._others(role, asker):
                bound = rule.bind(grant.topic, other)
                if bound is not None:
                    topics = ["/".join(levels) for levels in rule.concrete_topics(bound, self._any)]
                    legal = filter(_is_legal, topics)
                    yield from self._first(other, action, legal, (0, False), allowed=False)

    def _others(self, role: Role, asker: Asker) -> Iterator[Asker]:
        other_kind = Kind.SERVICE if asker.kind is Kind.DEVICE else Kind.DEVICE
        yield Asker(other_kind, asker.id, asker.attributes)
        if role.match.id is not None:
            yield Asker(asker.kind, self._other, asker.attributes)
        for name in role.match.attributes:
            rest = {key: value for key, value in asker.attributes.items() if key != name}
            yield Asker(asker.kind, asker.id, rest)
            yield Asker(asker.kind, asker.id, {**rest, name: self._other})

    def _asker(self, role: Role, pattern: Pattern) -> Asker:
        """An identity of the role that has every attribute the pattern names."""
        match = role.match
        names = [name for name in pattern.placeholders if name not in set(Kind)]
        attributes = dict.fromkeys(names, self._own) | dict(match.attributes)
        return Asker(match.kind, match.id or self._own, attributes)

    def _topics(self, pattern: Pattern, asker: Asker) -> tuple[list[str], list[str]]:
        """Topics of the pattern, and topics next to it, the most telling first."""
        bound = rule.bind(pattern, asker)
        if bound is None:
            return [], []
        inside = [*rule.concrete_topics(bound, self._any)]
        base = inside[-1]
        outside: list[tuple[str, ...]] = []
        for index, level in enumerate(pattern.levels):
            if level.kind is LevelKind.PLACEHOLDER:
                outside.append((*base[:index], self._other, *base[index + 1 :]))
        for index, level in enumerate(pattern.levels):
            if level.kind is LevelKind.LITERAL:
                outside.append((*base[:index], self._wrong, *base[index + 1 :]))
        outside.extend(((*base, self._wrong), base[:-1], (f"${self._wrong}", *base[1:])))
        return (
            [topic for levels in inside if _is_legal(topic := "/".join(levels))],
            [topic for levels in outside if _is_legal(topic := "/".join(levels))],
        )

    def _first(
        self,
        asker: Asker,
        action: Action,
        topics: Iterable[str],
        how: tuple[int, bool],
        *,
        allowed: bool,
    ) -> Iterator[Vector]:
        """The first question with the wanted answer, if one has it."""
        for topic in topics:
            vector = self._answer(asker, action, topic, how[0], retain=how[1])
            if vector.allowed is allowed:
                yield vector
                return

    def _answer(
        self, asker: Asker, action: Action, topic: str, qos: int, *, retain: bool
    ) -> Vector:
        verdict = self._bound(asker).is_allowed(action, topic, qos, retain=retain)
        return Vector(asker, action, topic, qos, retain, verdict)

    def _bound(self, asker: Asker) -> Bound:
        key = (asker.kind, asker.id, tuple(sorted(asker.attributes.items())))
        if key not in self._cache:
            self._cache[key] = Bound.of(self._policy, asker)
        return self._cache[key]


def _is_legal(topic: str) -> bool:
    """Whether the data plane would even look at the topic."""
    levels = topic.count("/") + 1
    return bool(topic) and len(topic.encode()) <= TOPIC_BYTES and levels <= TOPIC_LEVELS
