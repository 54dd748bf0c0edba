"""What people want to know first: what does one stolen device reach?

A *leak* is what a device can do to another device. What devices and services do to each other is
what a policy is for; it is in the answers and is no leak by itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from motte.policy.limits import LIMITS, complete
from motte.policy.model import Kind, Policy
from motte.policy.radius.analysis import Analysis, Finding, Numbers, Question, RoleName, Scope
from motte.policy.radius.document import ForeignPolicy

__all__ = [
    "CONSUMED",
    "MAXIMUM_LEAKS",
    "Leak",
    "RoleRadius",
    "Summary",
    "consumption",
    "summarise",
    "summary_json",
]

MAXIMUM_LEAKS: Final = 1000
"""Leaks told one by one at most, the widest first: more than anybody reads, and a policy in which
everybody reaches everybody has millions. All are counted."""

CONSUMED: Final = ("messages", "bytes", "retained_bytes", "queue_bytes", "connections")
"""Of the limits of a role those that cost the others something, by their key in the policy."""


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that a device of one role can do to a device of another."""

    question: Question
    subject: RoleName
    object: RoleName
    findings: tuple[Finding, ...]

    @property
    def finding(self) -> Finding:
        """The widest way."""
        return self.findings[0]


@dataclass(frozen=True, slots=True)
class RoleRadius:
    """What one role can do to the others."""

    role: RoleName
    scopes: Mapping[Question, Mapping[int, Scope]]
    """For each question the places of other roles; those that are not named are isolated."""
    to_devices: Mapping[Question, Scope]
    """The widest scope towards any device."""
    to_services: Mapping[Question, Scope]


@dataclass(frozen=True, slots=True)
class Summary:
    """The answers about a policy, put together."""

    file: str
    roles: tuple[RoleRadius, ...]
    subjects: tuple[RoleRadius, ...]
    """Whose radius is asked for: the roles of devices, or one identity."""
    leaks: tuple[Leak, ...]
    """The widest first, `MAXIMUM_LEAKS` at most."""
    leak_count: int
    exhaust: Mapping[str, Mapping[str, int]]
    """For each role what one identity of it can use at most, by the names of limits; nothing is
    known about another broker."""

    def widest(self, question: Question) -> Scope:
        """The widest scope in which one of the subjects can do that to devices."""
        return _widest(role.to_devices[question] for role in self.subjects)

    def first(self, question: Question) -> Leak | None:
        """The leak that shows the widest scope."""
        return next((leak for leak in self.leaks if leak.question is question), None)


def summarise(
    analysis: Analysis, policy: Policy | ForeignPolicy, *, only_last: bool = False
) -> Summary:
    """Puts the answers together; with ``only_last`` those about the last role alone."""
    roles = tuple(_role(analysis, role) for role in analysis.roles)
    subjects = tuple(role for role in roles if role.role.kind is Kind.DEVICE)
    if only_last:
        subjects, roles = roles[-1:], roles[:-1]
    found = [
        (question, radius.role, analysis.roles[place], scope)
        for radius in subjects
        for question, scopes in radius.scopes.items()
        for place, scope in scopes.items()
        if analysis.roles[place].kind is Kind.DEVICE
    ]
    order = list(Question)
    found.sort(key=lambda one: (-one[3].width, order.index(one[0]), one[1].place, one[2].place))
    leaks = tuple(
        Leak(question, subject, other, analysis.findings(question, subject.place, other.place))
        for question, subject, other, _ in _fairly(found)
    )
    return Summary(analysis.file, roles, subjects, leaks, len(found), _exhaust(policy))


_Found = tuple[Question, RoleName, RoleName, Scope]


def _fairly(found: list[_Found]) -> list[_Found]:
    """The first ones; of each question at least its share, so that none is crowded out."""
    if len(found) <= MAXIMUM_LEAKS:
        return found
    share = MAXIMUM_LEAKS // len(Question)
    taken: dict[Question, int] = dict.fromkeys(Question, 0)
    kept: list[_Found] = []
    for one in found:
        if taken[one[0]] < share:
            taken[one[0]] += 1
            kept.append(one)
    return kept


def _role(analysis: Analysis, role: RoleName) -> RoleRadius:
    scopes = {question: analysis.scopes(question, role.place) for question in Question}

    def towards(kind: Kind) -> dict[Question, Scope]:
        return {
            question: _widest(
                scope for place, scope in found.items() if analysis.roles[place].kind is kind
            )
            for question, found in scopes.items()
        }

    return RoleRadius(role, scopes, towards(Kind.DEVICE), towards(Kind.SERVICE))


def _widest(scopes: Iterable[Scope]) -> Scope:
    return max(scopes, key=lambda scope: scope.width, default=Scope.ISOLATED)


def _exhaust(policy: Policy | ForeignPolicy) -> dict[str, dict[str, int]]:
    if isinstance(policy, ForeignPolicy):
        return {}
    return {role.name: complete(role.match.kind, role.limits) for role in policy.roles}


def consumption(summary: Summary) -> list[tuple[str, ...]]:
    """For each role that is shown, its name and what one of its identities may use: `CONSUMED`.

    Nothing for one identity, of which several roles may limit each other.
    """
    if any(role.role.name not in summary.exhaust for role in summary.subjects):
        return []
    limits = [LIMITS[key] for key in CONSUMED]
    names = dict.fromkeys(role.role.name for role in (*summary.subjects, *summary.roles))
    return [
        (name, *(limit.shown(summary.exhaust[name][limit.field]) for limit in limits))
        for name in names
        if name in summary.exhaust
    ]


def summary_json(summary: Summary, numbers: Numbers | None) -> dict[str, Any]:
    """The answers for programs."""
    names = {role.role.place: role.role.name for role in (*summary.roles, *summary.subjects)}
    return {
        "file": summary.file,
        "devices": {question.value: summary.widest(question).value for question in Question},
        "roles": [
            {
                "name": role.role.name,
                "kind": role.role.kind.value,
                "to_devices": {key.value: scope.value for key, scope in role.to_devices.items()},
                "to_services": {key.value: scope.value for key, scope in role.to_services.items()},
                "scopes": {
                    question.value: {names[place]: scope.value for place, scope in found.items()}
                    for question, found in role.scopes.items()
                },
                "exhaust": dict(summary.exhaust.get(role.role.name, {})),
            }
            for role in {one.role: one for one in (*summary.roles, *summary.subjects)}.values()
        ],
        "leaks": [
            {
                "question": leak.question.value,
                "subject": leak.subject.name,
                "object": leak.object.name,
                "findings": [finding_json(finding) for finding in leak.findings],
            }
            for leak in summary.leaks
        ],
        "leak_count": summary.leak_count,
        "fleet": None if numbers is None else numbers_json(numbers),
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    """One way, with its witness."""
    return {
        "scope": finding.scope.value,
        "condition": finding.condition,
        "equalities": [[list(one), list(other)] for one, other in finding.equalities],
        "required": [list(side) for side in finding.required],
        "witness": [
            {
                "subject": str(hop.subject),
                "object": str(hop.object),
                "topic": hop.topic,
                "subject_rule": hop.subject_rule,
                "object_rule": hop.object_rule,
            }
            for hop in finding.hops
        ],
    }


def numbers_json(numbers: Numbers) -> dict[str, Any]:
    """The numbers of a fleet."""
    return {
        "identities": numbers.identities,
        "radius": {
            question.value: {
                "maximum": numbers.highest(question),
                "median": numbers.median(question),
                "widest": str(numbers.widest[question]) if question in numbers.widest else None,
                "distribution": [
                    {"others": others, "identities": count}
                    for others, count in sorted(numbers.distributions[question].items())
                ],
            }
            for question in Question
        },
        "collisions": [str(who) for who in numbers.collisions],
    }
