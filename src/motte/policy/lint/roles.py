"""What is odd in a role, whoever else there is. Said whenever a policy is read.

Questions about topics go to the data plane's matcher, so that a warning means what the broker
does.
"""

from collections.abc import Iterable, Sequence

from motte import _core
from motte.policy.diagnostics import Location, Problems
from motte.policy.lint.topics import LINT_PAIRS, at_least, contains, grants_by_action, shown, widest
from motte.policy.model import (
    Action,
    Denial,
    Kind,
    Pattern,
    Policy,
    Role,
)

__all__ = ["advise"]


def advise(policy: Policy, problems: Problems) -> None:
    """Notes everything odd about a policy that is otherwise right."""
    if not policy.roles:
        problems.warning(
            "empty-policy", Location(1, 1),
            "the policy has no role: every client is refused everything",
            "write a role, for example `[role.toaster]`; `motte policy example` shows one",
        )  # fmt: skip
    _same_match(policy, problems)
    for role in policy.roles:
        _nothing_granted(role, problems)
        _useless_wildcards(role, problems)
        _useless_share(role, problems)
        _dead_grants(role, problems)
        _covered_grants(role, problems)
        _shadowed_denials(role, problems)
    _idle_denials(policy, problems)


def _same_match(policy: Policy, problems: Problems) -> None:
    for index, role in enumerate(policy.roles):
        for earlier in policy.roles[:index]:
            if earlier.match == role.match:
                problems.warning(
                    "same-match", role.place,
                    f"roles `{earlier.name}` and `{role.name}` are for the same identities: "
                    f"{role.match}",
                    "their grants add up and the stricter limits hold; keep one role, or match "
                    "on one attribute more",
                )  # fmt: skip
                break


def _nothing_granted(role: Role, problems: Problems) -> None:
    if role.publish or role.subscribe or role.deny:
        return
    problems.warning(
        "no-grants", role.place,
        f"role `{role.name}` grants nothing: its identities can connect and do no more",
        "add `publish` or `subscribe`, or remove the role so that they cannot connect",
    )  # fmt: skip


def _useless_wildcards(role: Role, problems: Problems) -> None:
    if role.wildcards and not any(grant.topic.has_wildcard for grant in role.subscribe):
        problems.warning(
            "useless-wildcards", role.place,
            f"role `{role.name}` has `wildcards = true`, but no subscribe grant with `+` or `#`",
            "remove `wildcards`, or grant the filter that it is meant for",
        )  # fmt: skip


def _useless_share(role: Role, problems: Problems) -> None:
    if role.share and not role.subscribe:
        problems.warning(
            "useless-share", role.place,
            f"role `{role.name}` has `share`, but may not subscribe to anything",
            "add the topics that the group divides to `subscribe` of this role, or remove `share`",
        )  # fmt: skip


def _dead_grants(role: Role, problems: Problems) -> None:
    for action, grants in grants_by_action(role):
        denials = [denial for denial in role.deny if action in denial.actions]
        for grant in grants:
            if denying := _denying(denials, grant.topic):
                lines = " and ".join(str(denial.place.line) for denial in denying)
                topics = " and ".join(f"`{shown(denial.topic)}`" for denial in denying)
                problems.warning(
                    "dead-grant", grant.place,
                    f"`{shown(grant.topic)}` can never be used: "
                    + (f"line {lines} denies {topics}" if len(denying) == 1 else
                       f"lines {lines} deny {topics}"),
                    "a denial wins over every grant; remove one of the two"
                    if len(denying) == 1 else
                    "a denial wins over every grant; remove the grant, or make a denial narrower",
                )  # fmt: skip


def _denying(denials: Sequence[Denial], topic: Pattern) -> Sequence[Denial]:
    """The denials that leave nothing of a topic: one, or as few together as are found at once."""
    for denial in denials:
        if contains(denial.topic, topic):
            return [denial]
    touching = [
        denial
        for denial in denials
        if _core.filter_intersection(denial.topic.text, topic.text) is not None
    ]
    together = [denial.topic.text for denial in touching]
    if len(touching) > 1 and _core.filter_contains(together, [], topic.text) is None:
        return touching
    return []


def _covered_grants(role: Role, problems: Problems) -> None:
    for _, grants in grants_by_action(role):
        for grant in grants:
            for other in grants:
                if other is grant or not at_least(other, grant):
                    continue
                if contains(other.topic, grant.topic):
                    problems.warning(
                        "covered-grant", grant.place,
                        f"`{shown(grant.topic)}` is already granted by line {other.place.line}, "
                        f"`{shown(other.topic)}`",
                        "remove it, or make the wider grant narrower",
                    )  # fmt: skip
                    break


def _shadowed_denials(role: Role, problems: Problems) -> None:
    for denial in role.deny:
        for other in role.deny:
            if other is denial or not set(denial.actions) <= set(other.actions):
                continue
            if contains(other.topic, denial.topic):
                problems.warning(
                    "shadowed-denial", denial.place,
                    f"`{shown(denial.topic)}` is already denied by line {other.place.line}, "
                    f"`{shown(other.topic)}`",
                    "remove it, or make the wider denial narrower",
                )  # fmt: skip
                break


def _idle_denials(policy: Policy, problems: Problems) -> None:
    for kind in Kind:
        roles = [role for role in policy.roles if role.match.kind is kind]
        for action in (Action.PUBLISH, Action.SUBSCRIBE):
            granted = {
                widest(grant.topic)
                for role in roles
                for listed, grants in grants_by_action(role)
                if listed is action
                for grant in grants
            }
            denials = [d for role in roles for d in role.deny if d.actions == (action,)]
            _report_idle(denials, granted, problems)
        both = {
            widest(grant.topic)
            for role in roles
            for _, grants in grants_by_action(role)
            for grant in grants
        }
        denials = [d for role in roles for d in role.deny if len(d.actions) > 1]
        _report_idle(denials, both, problems)


def _report_idle(denials: Iterable[Denial], granted: set[str], problems: Problems) -> None:
    denials = tuple(denials)
    if len(denials) * len(granted) > LINT_PAIRS:
        return
    for denial in denials:
        wide = widest(denial.topic)
        if not any(_core.filter_intersection(wide, grant) for grant in granted):
            problems.warning(
                "idle-denial", denial.place,
                f"no role grants anything that `{shown(denial.topic)}` denies",
                "check its spelling, or remove it: what is not granted is refused anyway",
            )  # fmt: skip
