"""Answers "may it?", by the compiled policy, with the rule that decides and what to change.

The decision is the data plane's own code on a compiled snapshot. This module only finds the rule
in the policy file again and puts the answer into words.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

from motte import _core
from motte.errors import EnrollmentError
from motte.policy import rule as simple
from motte.policy.advice import advise
from motte.policy.model import Action, Kind, Policy, PublishGrant
from motte.policy.questions import Answer, FoundRule, Question, find_rule
from motte.text import printable

__all__ = ["Explanation", "decide", "explain"]


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer in words: what decides, why, and what would change it."""

    question: Question
    answer: Answer
    because: str
    advice: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The explanation for programs."""
        asker = self.question.asker
        return {
            "identity": {
                "kind": asker.kind.value,
                "id": asker.id,
                "attributes": dict(asker.attributes),
            },
            "action": self.question.action.value,
            "topic": self.question.topic,
            "qos": self.question.qos,
            "retain": self.question.retain,
            "allowed": self.answer.allowed,
            "cause": self.answer.cause,
            "rule": self.answer.rule,
            "nearest": self.answer.nearest,
            "counterexample": self.answer.counterexample,
            "maximum_qos": self.answer.maximum_qos,
            "roles": list(self.answer.roles),
            "because": self.because,
            "advice": list(self.advice),
        }


_SENTENCES: Final = {
    "revoked": "it is revoked, which is for ever, whatever its roles grant",
    "quarantined": "it is quarantined: refused until it is released, whatever its roles grant",
    "no-role": "no role matches this identity, so nothing is granted to it",
    "reserved": "topics that begin with `$` are the broker's own and no grant names this one",
    "retain-not-granted": "{rule} does not allow retained messages",
    "will-not-granted": "{rule} does not allow wills",
    "share-not-granted": "no role of this service that grants the topic has the group `{group}`",
}
_SENTENCES_FOR_DEVICES: Final = {
    "share-not-granted": "a device cannot hold a shared subscription",
    "wildcard": "a device cannot hold a wildcard subscription",
}


def decide(snapshot_json: bytes, question: Question) -> Answer:
    """What the data plane says with this snapshot in force, exceptions included."""
    snapshot = _core.Snapshot(snapshot_json)
    asker = question.asker
    attributes = dict(asker.attributes)
    kind = asker.kind.value
    try:
        decision = snapshot.decide(
            kind, asker.id, attributes, question.action.value,
            question.topic, question.qos, question.retain,
        )  # fmt: skip
        roles = tuple(snapshot.roles(kind, asker.id, attributes))
        status = snapshot.status(kind, asker.id)
    except ValueError as error:
        raise EnrollmentError(
            f"`{printable(asker.id)}` with these attributes cannot be an identity: {error}",
            hint="ids and attributes hold letters, digits, `-`, `_` and `.`",
        ) from error
    if status != "active":
        return Answer(False, status, None, None, None, None, roles, snapshot.generation)
    return Answer(
        decision.allowed, decision.cause, decision.rule, decision.nearest,
        decision.counterexample, decision.maximum_qos, roles, snapshot.generation,
    )  # fmt: skip


def explain(policy: Policy, snapshot_json: bytes, question: Question) -> Explanation:
    """The answer of the snapshot that ``policy`` was compiled to, in words."""
    answer = decide(snapshot_json, question)
    if answer.cause == "wildcard":
        answer = replace(answer, counterexample=_not_covered(policy, question))
    elif answer.counterexample == question.filter:
        # A concrete filter is its only topic: that says nothing new.
        answer = replace(answer, counterexample=None)
    rule = find_rule(policy, answer.rule)
    nearest = find_rule(policy, answer.nearest)
    because = _because(question, answer, rule)
    advice = () if answer.allowed else advise(policy, question, answer, rule or nearest)
    return Explanation(question, answer, because, advice)


def _because(question: Question, answer: Answer, rule: FoundRule | None) -> str:
    """One sentence: why the answer is what it is."""
    if answer.allowed:
        limit = f", up to QoS {answer.maximum_qos}"
        reading = question.action in {Action.SUBSCRIBE, Action.RECEIVE}
        return f"granted by {answer.rule}{limit if reading else ''}"
    example = f"`{printable(answer.counterexample)}`" if answer.counterexample else None
    sentences = _SENTENCES
    if question.asker.kind is Kind.DEVICE:
        sentences = sentences | _SENTENCES_FOR_DEVICES
    if answer.cause in sentences:
        return sentences[answer.cause].format(rule=answer.rule, group=printable(question.group))
    match answer.cause:
        case "denied-by-rule":
            because = f"denied by {answer.rule}"
            because += f", and {example} is one of its topics" if example else ""
        case "wildcard":
            because = "it has a wildcard, and no role of this service says `wildcards = true`"
            because += f"; besides, {example} is not granted" if example else ""
        case "malformed":
            because = _malformed(question)
        case "qos-not-granted":
            because = f"{answer.rule} allows{_qos_limit(rule)}, not QoS {question.qos}"
        case _ if example:
            because = f"no grant covers all of it: {example} would be delivered, too"
        case _:
            because = "no grant covers it"
    return because


def _not_covered(policy: Policy, question: Question) -> str | None:
    """A topic of a filter with wildcards that would be out of reach even if they were allowed."""
    asker = question.asker
    roles = simple.matching_roles(policy, asker)
    grants = [
        _text(bound)
        for role in roles
        for grant in role.subscribe
        if (bound := simple.bind(grant.topic, asker)) is not None
    ]
    denials = [
        _text(simple.bind_widest(denial.topic, asker))
        for role in roles
        for denial in role.deny
        if Action.SUBSCRIBE in denial.actions
    ]
    return _core.filter_contains(grants, denials, question.filter)


def _text(levels: simple.Levels) -> str:
    return "/".join(level.text for level in levels)


def _qos_limit(rule: FoundRule | None) -> str:
    grant = rule.rule if rule else None
    return f" at most QoS {grant.qos}" if isinstance(grant, PublishGrant) else " a lower QoS"


def _malformed(question: Question) -> str:
    if question.qos not in {0, 1, 2}:
        return f"there is no QoS {question.qos}"
    check = (
        _core.check_topic_filter if question.action is Action.SUBSCRIBE else _core.check_topic_name
    )
    try:
        check(question.filter)
    except ValueError as error:
        return f"it is malformed: {error}"
    if question.topic.startswith("$share"):
        return "a shared subscription is `$share/GROUP/FILTER`, its group without `+` and `#`"
    return "it is malformed"
