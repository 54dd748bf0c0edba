"""What to change so that a refused question is allowed, or why it should stay refused."""

from motte.policy import rule as simple
from motte.policy.model import (
    Action,
    Kind,
    LevelKind,
    Match,
    Pattern,
    Policy,
    PublishGrant,
    Role,
    SubscribeGrant,
)
from motte.policy.questions import Answer, FoundRule, Question
from motte.policy.rule import Asker
from motte.text import printable

__all__ = ["advise"]

MAXIMUM_ROLES_SHOWN = 3
"""Roles compared with an identity that has none; the nearest ones come first."""


MAXIMUM_TOPICS_SHOWN = 3
"""Granted topics named where a wildcard is refused: enough to see what they look like."""
_WELL_FORMED = "write the topic as a client would send it, and QoS 0, 1 or 2"


def advise(
    policy: Policy, question: Question, answer: Answer, rule: FoundRule | None
) -> tuple[str, ...]:
    """Next steps for a refused question, the most likely one first."""
    advice: tuple[str, ...]
    asker = question.asker
    place = f"{policy.file}:{rule.rule.place.line}" if rule else policy.file
    match answer.cause:
        case "revoked":
            advice = (f"enrol the {asker.kind} again under a new id: `motte device add NEW-ID`",)
        case "quarantined":
            advice = (f"when it is trusted again: `motte device release {asker.id}`",)
        case "no-role":
            advice = _without_role(policy, asker)
        case "denied-by-rule":
            advice = (f"a denial wins over every grant; narrow it in {place} to allow this",)
        case "wildcard":
            advice = _without_wildcards(policy, question, answer)
        case "share-not-granted":
            advice = _without_group(policy, question, rule)
        case "reserved":
            advice = _reserved(question)
        case "malformed":
            advice = (_WELL_FORMED,)
        case "retain-not-granted" | "will-not-granted" | "qos-not-granted" as cause if rule:
            advice = _widen(question, cause, rule, place)
        case _:
            advice = _not_granted(policy, question, answer, rule)
    return advice


def _without_role(policy: Policy, asker: Asker) -> tuple[str, ...]:
    lacking = sorted(
        (
            (len(missing), role.place, role, missing)
            for role in policy.roles
            if (missing := _missing(role.match, asker)) is not None
        ),
        key=lambda one: one[:2],
    )
    advice = [
        f"role `{role.name}` would match with {', '.join(missing)}"
        for _, _, role, missing in lacking[:MAXIMUM_ROLES_SHOWN]
    ]
    if advice:
        enrol = "`motte device add ID --attribute NAME=VALUE`"
        return (*advice, f"an identity gets its attributes when it is enrolled: {enrol}")
    match = f'{asker.kind} = "{printable(asker.id)}"'
    return (f"add a role to {policy.file} with `match = {{ {match} }}`",)


def _missing(match: Match, asker: Asker) -> list[str] | None:
    """What an identity lacks to match; ``None`` if it is of another kind or id."""
    if match.kind != asker.kind or (match.id is not None and match.id != asker.id):
        return None
    return [
        f"`{name} = {value}`"
        + (f" (not `{printable(asker.attributes[name])}`)" if name in asker.attributes else "")
        for name, value in sorted(match.attributes.items())
        if asker.attributes.get(name) != value
    ]


def _without_wildcards(policy: Policy, question: Question, answer: Answer) -> tuple[str, ...]:
    asker = question.asker
    roles = [role for role in policy.roles if role.name in answer.roles]
    topics = [
        f"`{printable(bound)}`"
        for role in roles
        for grant in role.subscribe
        if (bound := _bound(grant.topic, asker)) is not None
    ]
    granted = ", ".join(topics[:MAXIMUM_TOPICS_SHOWN]) or "nothing"
    more = ", …" if len(topics) > MAXIMUM_TOPICS_SHOWN else ""
    concrete = f"subscribe to concrete topics that are granted; that is: {granted}{more}"
    if asker.kind is Kind.DEVICE:
        never = "a device cannot be granted wildcards: a stolen key would read everybody's messages"
        return (concrete, never)
    change = ", ".join(f"`{role.name}`" for role in roles if not role.wildcards)
    wildcards = f"if the service is to see all of it, add `wildcards = true` to role {change}"
    if answer.counterexample is not None:
        return (concrete, f"{wildcards}, and grant the filter")
    return (wildcards, concrete)


def _without_group(policy: Policy, question: Question, rule: FoundRule | None) -> tuple[str, ...]:
    topic = printable(question.filter)
    alone = f"subscribe to `{topic}` itself: then nobody loses a message to it"
    if question.asker.kind is Kind.DEVICE:
        return (alone,)
    if rule is None:
        return (f"grant `{topic}` to a role of the service, with `share` beside it", alone)
    groups = ", ".join(f'"{name}"' for name in (*rule.role.share, printable(question.group)))
    place = f"{policy.file}:{rule.role.place.line}"
    return (f"to allow it, write `share = [{groups}]` in role `{rule.role.name}` ({place})", alone)


def _reserved(question: Question) -> tuple[str, ...]:
    if question.asker.kind is Kind.DEVICE:
        return ("a device cannot have such topics; use one that does not begin with `$`",)
    first = printable(question.filter.split("/")[0])
    return (f"grant it by name to this service: a topic that begins with `{first}`, literally",)


def _widen(question: Question, cause: str, rule: FoundRule, place: str) -> tuple[str, ...]:
    topic = rule.rule.topic.text
    change, instead = {
        "retain-not-granted": ("retain = true", "publish without the retain flag"),
        "will-not-granted": ("will = true", "leave the will out"),
        "qos-not-granted": (f"qos = {question.qos}", "publish with a lower QoS"),
    }[cause]
    plain = rule.rule == PublishGrant(rule.rule.topic, rule.rule.place)
    example = f': `{{ topic = "{topic}", {change} }}`' if plain else ""
    return (f"to allow it, add `{change}` to the grant in {place}{example}", f"or {instead}")


def _not_granted(
    policy: Policy, question: Question, answer: Answer, rule: FoundRule | None
) -> tuple[str, ...]:
    asker = question.asker
    advice: list[str] = []
    bound = _bound(rule.rule.topic, asker) if rule else None
    if rule and bound is not None:
        stranger = _stranger(rule.rule.topic, question.filter, asker)
        if stranger is not None:
            return _of_a_stranger(*stranger, bound)
        advice.append(f"the nearest grant covers `{printable(bound)}`")
    roles = [role for role in policy.roles if role.name in answer.roles]
    role = rule.role if rule else next(iter(roles), None)
    if role is not None:
        key = "publish" if question.action in {Action.PUBLISH, Action.WILL} else "subscribe"
        place = f"{policy.file}:{_line(role, key)}"
        advice.append(
            f'to allow it, add `"{_generalized(question.filter, asker)}"` to `{key}` of role '
            f"`{role.name}` ({place})"
        )
    return tuple(advice)


def _of_a_stranger(name: str, level: str, bound: str) -> tuple[str, ...]:
    fact = f"`{printable(level)}` is not the {name} of this identity"
    nearest = f"the nearest grant is for `{printable(bound)}` alone"
    purpose = "to allow it on purpose, grant it in a role for those only who need it"
    return (f"{fact}; {nearest}", purpose)


def _line(role: Role, key: str) -> int:
    rules: tuple[PublishGrant | SubscribeGrant, ...]
    rules = role.publish if key == "publish" else role.subscribe
    return rules[0].place.line if rules else role.place.line


def _stranger(pattern: Pattern, topic: str, asker: Asker) -> tuple[str, str] | None:
    """The first level where the topic names another identity than the one that asks."""
    for level, actual in zip(pattern.levels, topic.split("/"), strict=False):
        if level.kind is LevelKind.LITERAL and level.text != actual:
            return None
        if level.kind is LevelKind.PLACEHOLDER and asker.value(level.text) != actual:
            return (level.text, actual) if not _is_wild(actual) else None
    return None


def _generalized(topic: str, asker: Asker) -> str:
    """The topic as a grant would write it, with the identity's id as its placeholder."""
    own = f"{{{asker.kind}}}"
    return printable("/".join(own if level == asker.id else level for level in topic.split("/")))


def _bound(pattern: Pattern, asker: Asker) -> str | None:
    levels = simple.bind(pattern, asker)
    return "/".join(level.text for level in levels) if levels is not None else None


def _is_wild(text: str) -> bool:
    return "+" in text or "#" in text
