"""Two policies: what became possible, and what became impossible.

Rights are compared for identities that could be enrolled, by containment: a grant is new if it
holds a topic that nothing in the old policy grants, and that topic is told. The radius is compared
finding by finding, whatever the roles are called: a leak is new if no leak of the old policy holds
wherever the new one does.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from motte.policy.model import Kind, Policy, Role
from motte.policy.radius.analysis import Analysis, Finding, Question, Side, analyse
from motte.policy.radius.rights import Rights, generic_identity, rights_of

__all__ = ["Change", "Difference", "compare"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is otherwise than before, and what shows it."""

    what: str
    witness: tuple[str, ...]
    is_radius: bool
    """Whether it is about what one identity can do to another."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that is otherwise."""

    possible: tuple[Change, ...]
    impossible: tuple[Change, ...]

    @property
    def grew(self) -> bool:
        """Whether somebody can do something to somebody else that was impossible before."""
        return any(change.is_radius for change in self.possible)


def compare(old: Policy, new: Policy) -> Difference:
    """What the new policy makes possible, and what it makes impossible."""
    before, after = analyse(old), analyse(new)
    return Difference(
        possible=(*_new_leaks(before, old, after, new), *_new_rights(old, new)),
        impossible=(*_new_leaks(after, new, before, old), *_new_rights(new, old)),
    )


_Equality = tuple[Side, Side]


@dataclass(frozen=True, slots=True)
class _Leak:
    """A finding with everything that has to be so for it, the roles' own demands included."""

    kinds: tuple[Kind, Kind]
    equalities: tuple[_Equality, ...]
    required: frozenset[Side]
    subject: str
    object: str
    finding: Finding

    def is_within(self, other: "_Leak") -> bool:
        """Whether the other one holds wherever this one does."""
        if self.kinds != other.kinds:
            return False
        classes = _Classes(self.equalities)
        known = self.required | classes.sides
        return other.required <= known and all(
            classes.are_equal(one, same) for one, same in other.equalities
        )


class _Classes:
    """Sides that are equal."""

    def __init__(self, equalities: Iterable[_Equality]) -> None:
        self._parents: dict[Side, Side] = {}
        for one, other in equalities:
            self._parents[self._root(one)] = self._root(other)

    @property
    def sides(self) -> frozenset[Side]:
        """Every side that something is known about."""
        return frozenset(self._parents)

    def are_equal(self, one: Side, other: Side) -> bool:
        """Whether the two have to be equal."""
        return self._root(one) == self._root(other)

    def _root(self, side: Side) -> Side:
        self._parents.setdefault(side, side)
        while self._parents[side] != side:
            side = self._parents[side]
        return side


def _new_leaks(before: Analysis, old: Policy, after: Analysis, new: Policy) -> Iterator[Change]:
    for question in Question:
        known = _leaks(before, old, question)
        by_name: dict[tuple[str, str], list[_Leak]] = {}
        for leak in known:
            by_name.setdefault((leak.subject, leak.object), []).append(leak)
        for leak in _leaks(after, new, question):
            likely = by_name.get((leak.subject, leak.object), [])
            if any(leak.is_within(one) for one in (*likely, *known)):
                continue
            yield Change(
                f"{leak.subject} {question.verb} {leak.object}: {leak.finding.condition}",
                tuple(_shown(leak.finding)),
                is_radius=True,
            )


def _shown(finding: Finding) -> Iterator[str]:
    for hop in finding.hops:
        yield f"{hop.subject} → {hop.object}  on  {hop.topic}"
        yield f"  {hop.subject_rule}"
        yield f"  {hop.object_rule}"


def _leaks(analysis: Analysis, policy: Policy, question: Question) -> list[_Leak]:
    leaks: list[_Leak] = []
    for subject in analysis.roles:
        for place in analysis.scopes(question, subject.place):
            other = analysis.roles[place]
            own = (
                *_demands("subject", policy.roles[subject.place]),
                *_demands("object", policy.roles[place]),
            )
            leaks.extend(
                _Leak(
                    (subject.kind, other.kind),
                    (*finding.equalities, *own),
                    frozenset(finding.required),
                    subject.name,
                    other.name,
                    finding,
                )
                for finding in analysis.findings(question, subject.place, place)
            )
    return leaks


def _demands(side: str, role: Role) -> Iterator[_Equality]:
    if role.match.id is not None:
        yield ((side, "id"), ("value", role.match.id))
    for name, value in role.match.attributes.items():
        yield ((side, name), ("value", value))


_ACTIONS: Final[Mapping[str, str]] = {
    "publish": "publish to",
    "retain": "publish retained to",
    "will": "leave a will for",
    "subscribe": "subscribe to",
}


def _new_rights(old: Policy, new: Policy) -> Iterator[Change]:
    for role in new.roles:
        identity = generic_identity(role, (old, new))
        if identity is None:
            continue
        before, after = rights_of(old, identity), rights_of(new, identity)
        for action, words in _ACTIONS.items():
            for grant in after.grants(action):
                if grant.role != role.name:
                    continue
                topic = _new_topic(before, after, action, grant.filter)
                if topic is not None:
                    yield Change(
                        f"{role.name} may {words} {grant.pattern}",
                        (f"{identity}  on  {topic}", f"  {grant.rule}"),
                        is_radius=False,
                    )


def _new_topic(before: Rights, after: Rights, action: str, granted: str) -> str | None:
    """A topic of the grant that the new policy allows and the old one does not."""
    taken = after.denials(action)
    old = [grant.filter for grant in before.grants(action)]
    if (topic := Rights.outside((*old, *taken), granted)) is not None:
        return topic
    for denied in before.denials(action):
        common = Rights.common(granted, denied)
        if common is not None and (topic := Rights.outside(taken, common)) is not None:
            return topic
    return None
