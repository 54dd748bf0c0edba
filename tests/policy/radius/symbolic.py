"""What a policy allows, as formulas for Z3: written from docs/policy.md, and from nothing else.

A level of a topic, an id and the value of an attribute are numbers. Each text that the policy names
has its own; the numbers from `FRESH` are texts that it does not name, and those from `DOLLAR` are
such texts that begin with `$`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import z3

from motte.policy.model import Action, Kind, LevelKind, Pattern, Policy, Role

_VALUE = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]+")
DOLLAR = 1000
FRESH = 2000


class Texts:
    """Numbers for texts."""

    def __init__(self, policy: Policy) -> None:
        texts = {""} | {
            level.text
            for role in policy.roles
            for rule in role.rules
            for level in rule.topic.levels
            if level.kind is LevelKind.LITERAL
        }
        for role in policy.roles:
            texts |= {*role.match.attributes.values(), *filter(None, [role.match.id])}
        self._number = {text: number for number, text in enumerate(sorted(texts))}
        self._named = len(texts)

    def number(self, text: str) -> int:
        """The number of a text, the same whenever it is asked for."""
        base = DOLLAR if text.startswith("$") else FRESH
        return self._number.setdefault(text, base + len(self._number))

    def is_text(self, value: Any) -> Any:
        """Whether a number stands for a text."""
        return z3.Or(z3.And(value >= 0, value < self._named), value >= DOLLAR)

    def is_value(self, value: Any) -> Any:
        """Whether it stands for what an id or an attribute can be: what a SPIFFE id's path has."""
        unfit = [number for text, number in self._number.items() if not _VALUE.fullmatch(text)]
        return z3.And(
            self.is_text(value),
            z3.Or(value < DOLLAR, value >= FRESH),
            *(value != number for number in unfit),
        )

    def is_dollar(self, value: Any) -> Any:
        """Whether it stands for a text that begins with `$`."""
        named = [number for text, number in self._number.items() if text.startswith("$")]
        return z3.Or(z3.And(value >= DOLLAR, value < FRESH), *(value == number for number in named))


class Topic:
    """A topic of some length."""

    def __init__(self, texts: Texts, longest: int) -> None:
        self.length = z3.Int("length")
        self.levels = [z3.Int(f"level{place}") for place in range(longest)]
        empty = texts.number("")
        self.facts = [
            self.length >= 1,
            self.length <= longest,
            *(texts.is_text(level) for level in self.levels),
            # There is no topic without characters.
            z3.Not(z3.And(self.length == 1, self.levels[0] == empty)),
        ]

    def equals(self, texts: Texts, topic: str) -> Any:
        """Whether it is this topic."""
        levels = topic.split("/")
        if len(levels) > len(self.levels):
            return z3.BoolVal(val=False)
        pairs = zip(self.levels, levels, strict=False)
        return z3.And(
            self.length == len(levels),
            *(variable == texts.number(level) for variable, level in pairs),
        )


@dataclass(frozen=True)
class Person:
    """An identity that could be enrolled."""

    kind: Kind
    id: Any
    values: dict[str, Any]
    present: dict[str, Any]

    @classmethod
    def new(cls, name: str, kind: Kind, attributes: Iterable[str]) -> Person:
        """An identity of which nothing is known but its kind."""
        attributes = list(attributes)
        return cls(
            kind,
            z3.Int(f"{name}.id"),
            {attribute: z3.Int(f"{name}.{attribute}") for attribute in attributes},
            {attribute: z3.Bool(f"{name} has {attribute}") for attribute in attributes},
        )

    def facts(self, texts: Texts) -> list[Any]:
        """What holds for all identities."""
        return [texts.is_value(value) for value in (self.id, *self.values.values())]

    def is_like(self, texts: Texts, identifier: str, attributes: dict[str, str]) -> Any:
        """Whether it is this identity."""
        return z3.And(
            self.id == texts.number(identifier),
            *(self.present[name] == (name in attributes) for name in self.present),
            *(
                self.values[name] == texts.number(value)
                for name, value in attributes.items()
                if name in self.values
            ),
        )

    def has(self, texts: Texts, role: Role) -> Any:
        """Whether the role is for it."""
        if role.match.kind is not self.kind:
            return z3.BoolVal(val=False)
        parts = [
            z3.And(self.present[name], self.values[name] == texts.number(value))
            for name, value in role.match.attributes.items()
        ]
        if role.match.id is not None:
            parts.append(self.id == texts.number(role.match.id))
        return z3.And(*parts)


class World:
    """A policy, a topic and two identities."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.texts = Texts(policy)
        rules = [rule for role in policy.roles for rule in role.rules]
        # One level more than any rule has, so that each tail has a level of its own.
        longest = 1 + max((len(rule.topic.levels) for rule in rules), default=1)
        self.topic = Topic(self.texts, longest)
        names = {name for rule in rules for name in rule.topic.placeholders}
        names |= {name for role in policy.roles for name in role.match.attributes}
        self._attributes = sorted(names - {"device", "service"})

    def person(self, name: str, kind: Kind) -> Person:
        """One of the two."""
        return Person.new(name, kind, self._attributes)

    def may_write(self, person: Person, role: Role, *, retain: bool, will: bool) -> Any:
        """Whether it may publish on the topic, by a grant of the role."""
        grants = [
            self._matches(grant.topic, person, is_denial=False)
            for grant in role.publish
            if (grant.retain or not retain) and (grant.will or not will)
        ]
        return z3.And(z3.Or(*grants), z3.Not(self._is_denied(person, Action.PUBLISH)))

    def may_read(self, person: Person, role: Role) -> Any:
        """Whether it may receive what is on the topic, by a grant of the role."""
        grants = [self._matches(grant.topic, person, is_denial=False) for grant in role.subscribe]
        return z3.And(z3.Or(*grants), z3.Not(self._is_denied(person, Action.SUBSCRIBE)))

    def _is_denied(self, person: Person, action: Action) -> Any:
        return z3.Or(
            *(
                z3.And(
                    person.has(self.texts, role), self._matches(rule.topic, person, is_denial=True)
                )
                for role in self.policy.roles
                for rule in role.deny
                if action in rule.actions
            )
        )

    def _matches(self, pattern: Pattern, person: Person, *, is_denial: bool) -> Any:
        levels = pattern.levels
        has_tail = levels[-1].kind is LevelKind.REST
        prefix = levels[:-1] if has_tail else levels
        length = self.topic.length
        parts = [length >= len(prefix) if has_tail else length == len(prefix)]
        if has_tail and not prefix:
            parts.append(z3.Not(self.texts.is_dollar(self.topic.levels[0])))
        for place, level in enumerate(prefix):
            here = self.topic.levels[place]
            anything = z3.Not(self.texts.is_dollar(here)) if place == 0 else z3.BoolVal(val=True)
            match level.kind:
                case LevelKind.LITERAL:
                    parts.append(here == self.texts.number(level.text))
                case LevelKind.ONE:
                    parts.append(anything)
                case _ if level.text == person.kind.value:
                    parts.append(here == person.id)
                case _:
                    is_there = person.present.get(level.text, z3.BoolVal(val=False))
                    is_own = here == person.values.get(level.text, here)
                    otherwise = anything if is_denial else z3.BoolVal(val=False)
                    parts.append(z3.If(is_there, is_own, otherwise))
        return z3.And(*parts)
