"""The blast radius against Z3, which knows nothing of how it is found."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import z3
from hypothesis import HealthCheck, event, given, settings

from motte.policy.language import parse
from motte.policy.radius.analysis import Analysis, Finding, Question, Scope, analyse
from tests.policy.policies import policies
from tests.policy.radius.symbolic import Person, World

if TYPE_CHECKING:
    from motte.policy.model import Role
    from motte.policy.radius.analysis import Side

POLICIES = int(os.environ.get("MOTTE_RADIUS_POLICIES", "24"))
"""Random policies to try; `make oracle` tries more."""
PAIRS_TRIED = 2
"""Pairs of identities for which a condition is tried."""
QUESTIONS = (
    Question.OBSERVE,
    Question.INFLUENCE,
    Question.RETAINED,
    Question.WILL,
    Question.IMPERSONATE,
)


class Pair:
    """Two identities with a role each, and the topic that one question asks for."""

    def __init__(self, world: World, question: Question, subject: Role, other: Role) -> None:
        self.world = world
        self.one = world.person("subject", subject.match.kind)
        self.two = world.person("object", other.match.kind)
        texts = world.texts
        self.leak = self._leak(question, subject, other)
        self.solver = z3.SolverFor("QF_LIA")
        self.solver.set("timeout", 20_000)
        self.solver.add(*self.one.facts(texts), *self.two.facts(texts), *world.topic.facts)
        self.solver.add(self.one.has(texts, subject), self.two.has(texts, other))
        if self.one.kind is self.two.kind:
            self.solver.add(self.one.id != self.two.id)

    def _leak(self, question: Question, subject: Role, other: Role) -> Any:
        world = self.world
        is_kept, is_will = question is Question.RETAINED, question is Question.WILL
        if question is Question.OBSERVE:
            return z3.And(
                world.may_read(self.one, subject),
                world.may_write(self.two, other, retain=False, will=False),
            )
        writes = world.may_write(self.one, subject, retain=is_kept, will=is_will)
        if question is Question.IMPERSONATE:
            return z3.And(writes, world.may_write(self.two, other, retain=False, will=False))
        return z3.And(writes, world.may_read(self.two, other))

    def can(self, *formulas: Any) -> bool:
        """Whether there are identities and a topic for which all of it holds."""
        answer = self.solver.check(*formulas)
        assert answer in (z3.sat, z3.unsat), self.solver.reason_unknown()
        return bool(answer == z3.sat)

    def condition(self, finding: Finding) -> Any:
        """For whom a finding says that it holds."""
        return z3.And(
            *(self._present(side) for side in finding.required),
            *(
                z3.And(
                    self._present(one), self._present(other), self._value(one) == self._value(other)
                )
                for one, other in finding.equalities
            ),
        )

    def _person(self, side: Side) -> Person:
        return self.one if side[0] == "subject" else self.two

    def _value(self, side: Side) -> Any:
        where, name = side
        if where == "value":
            return self.world.texts.number(name)
        return self._person(side).id if name == "id" else self._person(side).values[name]

    def _present(self, side: Side) -> Any:
        where, name = side
        if where == "value" or name == "id":
            return z3.BoolVal(val=True)
        return self._person(side).present[name]

    def witness(self, finding: Finding) -> Any:
        """The identities and the topic that a finding shows."""
        (hop,) = finding.hops
        texts = self.world.texts
        return z3.And(
            self.one.is_like(texts, hop.subject.id, dict(hop.subject.attributes)),
            self.two.is_like(texts, hop.object.id, dict(hop.object.attributes)),
            self.world.topic.equals(texts, hop.topic),
        )

    def examples(self, condition: Any) -> list[Any]:
        """Some pairs of identities for which a condition holds."""
        found: list[Any] = []
        variables = [
            *(self.one.id, self.two.id),
            *self.one.values.values(),
            *self.two.values.values(),
            *self.one.present.values(),
            *self.two.present.values(),
        ]
        while len(found) < PAIRS_TRIED and self.can(condition, *(z3.Not(one) for one in found)):
            model = self.solver.model()
            found.append(
                z3.And(
                    *(
                        variable == model.eval(variable, model_completion=True)
                        for variable in variables
                    )
                )
            )
        return found


def compare(analysis: Analysis, pair: Pair, question: Question, places: tuple[int, int]) -> None:
    """Holds one answer against Z3's."""
    findings = analysis.findings(question, *places)
    scope = analysis.scopes(question, places[0]).get(places[1], Scope.ISOLATED)
    event(f"{question.value}: {scope.value}")
    assert pair.can(pair.leak) == (scope is not Scope.ISOLATED) == bool(findings)
    if not findings:
        return
    conditions = [pair.condition(finding) for finding in findings]
    # Nobody else can do it.
    assert not pair.can(pair.leak, z3.Not(z3.Or(*conditions)))
    for finding, condition in zip(findings, conditions, strict=True):
        assert pair.can(pair.leak, condition, pair.witness(finding)), finding
        if any(role.deny for role in pair.world.policy.roles):
            continue  # they may narrow a condition, which is then what holds at most
        for both in pair.examples(condition):
            assert pair.can(pair.leak, both), finding


@settings(max_examples=POLICIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=policies())
def test_every_answer_is_that_of_z3(text: str) -> None:
    policy = parse(text).policy
    analysis = analyse(policy)
    world = World(policy)
    roles = list(enumerate(policy.roles))
    for (one, subject), (two, other) in itertools.product(roles, roles):
        for question in QUESTIONS:
            compare(analysis, Pair(world, question, subject, other), question, (one, two))
