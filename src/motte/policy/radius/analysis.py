"""The answers: for each role, what it can do to which others, for whom, and what shows it.

Whatever is not `Scope.ISOLATED` comes with a witness: identities that could be enrolled, a topic,
and the grants, with their lines, that allow it. The answers hold for every fleet, however large.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final, NamedTuple

from motte import _core
from motte.errors import PolicyError
from motte.policy.model import Kind, Policy
from motte.policy.radius.document import ForeignPolicy, Subject, document_of

__all__ = [
    "PRIMARY",
    "Analysis",
    "Finding",
    "Hop",
    "Numbers",
    "Person",
    "Question",
    "RoleName",
    "Scope",
    "analyse",
]


class Question(StrEnum):
    """What one identity may be able to do to another."""

    OBSERVE = "observe"
    INFLUENCE = "influence"
    RETAINED = "influence-retained"
    WILL = "influence-will"
    IMPERSONATE = "impersonate"
    REACH = "reach"

    @property
    def verb(self) -> str:
        """What the subject does, in words that an object follows."""
        return _VERBS[self]


_VERBS: Final = {
    Question.OBSERVE: "can read what is published by",
    Question.INFLUENCE: "can send messages to",
    Question.RETAINED: "can leave retained messages for",
    Question.WILL: "can leave a will for",
    Question.IMPERSONATE: "can publish as if it were",
    Question.REACH: "can reach, through services,",
}

PRIMARY: Final = (Question.OBSERVE, Question.INFLUENCE, Question.IMPERSONATE, Question.REACH)
"""The questions whose answers the others refine."""


class Scope(StrEnum):
    """For how many others something holds."""

    ISOLATED = "isolated"
    NAMED = "named"
    CLASS = "class"
    EVERYONE = "everyone"

    @property
    def width(self) -> int:
        """Orders scopes, the narrowest first."""
        return list(Scope).index(self)


class Person(NamedTuple):
    """An identity that could be enrolled, or is."""

    kind: str
    id: str
    attributes: Mapping[str, str]

    def __str__(self) -> str:
        attributes = ", ".join(f"{name}={value}" for name, value in sorted(self.attributes.items()))
        return f"{self.kind}/{self.id}" + (f" ({attributes})" if attributes else "")


@dataclass(frozen=True, slots=True)
class Hop:
    """One step from one identity to the next: the topic, and the two grants that allow it."""

    subject: Person
    object: Person
    topic: str
    subject_rule: str
    object_rule: str


Side = tuple[str, str]
"""``subject``, ``object`` or ``value``, and an attribute, ``id`` or the value."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A way in which one role can do something to another."""

    scope: Scope
    equalities: tuple[tuple[Side, Side], ...]
    """What has to be equal."""
    required: tuple[Side, ...]
    """Attributes that a side needs, whatever their values."""
    hops: tuple[Hop, ...]

    @property
    def condition(self) -> str:
        """For whom it holds, in words."""
        if not self.equalities:
            return "everyone"
        return " and ".join(_equality(one, other) for one, other in self.equalities)


def _equality(one: Side, other: Side) -> str:
    own, theirs = {"subject": "the own", "object": "the other's"}, "the other's"
    if other[0] == "value":
        if one == ("subject", "id"):
            return f"if it is called `{other[1]}`"
        if one == ("object", "id"):
            return f"the one called `{other[1]}`"
        return f"where {own[one[0]]} {one[1]} is `{other[1]}`"
    if one[1] == other[1] and one[0] != other[0]:
        return f"same {one[1]}"
    return f"where {own[one[0]]} {one[1]} is {own.get(other[0], theirs)} {other[1]}"


class RoleName(NamedTuple):
    """A role of the analysis, by its place."""

    place: int
    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Numbers:
    """The radius of a fleet that exists."""

    identities: int
    distributions: Mapping[Question, Mapping[int, int]]
    """For each question and each number of others, how many identities can do it to so many."""
    widest: Mapping[Question, Person]
    collisions: tuple[Person, ...]
    """Identities that are named like a level of a topic."""

    def highest(self, question: Question) -> int:
        """The most others that one identity can do it to."""
        return max(self.distributions[question], default=0)

    def median(self, question: Question) -> int:
        """As many others as half of the identities can do it to at most."""
        passed = 0
        for others, count in sorted(self.distributions[question].items()):
            passed += count
            if 2 * passed >= self.identities:
                return others
        return 0


class Analysis:
    """All answers about one policy."""

    def __init__(self, file: str, radius: _core.Radius) -> None:
        self.file = file
        self._radius = radius

    @cached_property
    def roles(self) -> tuple[RoleName, ...]:
        """The roles in the order of the policy."""
        names = enumerate(self._radius.roles())
        return tuple(RoleName(place, name, Kind(kind)) for place, (name, kind) in names)

    def scopes(self, question: Question, subject: int) -> dict[int, Scope]:
        """The places of the roles that it can do that to, with the widest scope of each."""
        return {
            place: Scope(scope) for place, scope in self._radius.scopes(question.value, subject)
        }

    def widest(self, question: Question, subject: int) -> Scope:
        """The widest scope in which it can do that to anybody."""
        scopes = self.scopes(question, subject).values()
        return max(scopes, key=lambda scope: scope.width, default=Scope.ISOLATED)

    def findings(self, question: Question, subject: int, other: int) -> tuple[Finding, ...]:
        """The ways in which one role can do that to another, the widest first."""
        return tuple(
            Finding(
                Scope(found.scope),
                tuple(found.equalities),
                tuple(found.required),
                tuple(
                    Hop(
                        Person(*hop.subject),
                        Person(*hop.object),
                        hop.topic,
                        hop.subject_rule,
                        hop.object_rule,
                    )
                    for hop in found.hops
                ),
            )
            for found in self._radius.findings(question.value, subject, other)
        )

    def numbers(self, fleet: Iterable[tuple[str, str, Mapping[str, str]]]) -> Numbers:
        """The answers in numbers, for identities as kind, id and attributes."""
        found = self._radius.numbers(fleet)
        distributions = {Question(name): counts for name, counts in found.distributions.items()}
        return Numbers(
            identities=sum(distributions[Question.OBSERVE].values()),
            distributions=distributions,
            widest={Question(name): Person(*who) for name, who in found.widest.items()},
            collisions=tuple(Person(*who) for who in found.collisions),
        )


def analyse(policy: Policy | ForeignPolicy, subject: Subject | None = None) -> Analysis:
    """Answers all questions about a policy. A ``subject`` is asked about as the last role.

    Raises `PolicyError` where the policy cannot be analysed: there is no answer for a part of it.
    """
    try:
        return Analysis(policy.file, _core.Radius(document_of(policy, subject)))
    except ValueError as error:
        raise PolicyError(
            f"{policy.file} cannot be analysed: {error}",
            hint="make the policy smaller, or report this with the file",
        ) from error
