"""What compiles and is probably not meant: warnings about a policy as a whole.

Questions about topics go to the data plane's matcher, so that a warning means what the broker
does. A placeholder takes part as a literal that stands for itself: within one role it has the same
value everywhere.
"""

from collections.abc import Iterable
from typing import Final

from motte import _core
from motte.policy.diagnostics import Location, Problems
from motte.policy.model import (
    Action,
    Denial,
    Kind,
    LevelKind,
    Pattern,
    Policy,
    PublishGrant,
    Role,
    SubscribeGrant,
)
from motte.text import printable

__all__ = ["advise"]

LINT_PAIRS: Final = 100_000
"""Pairs of rules compared at most for one warning: about half a second. A policy with more pairs
than that goes without the warning."""


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
    for action, grants in _lists(role):
        denials = [denial for denial in role.deny if action in denial.actions]
        for grant in grants:
            for denial in denials:
                if _contains(denial.topic, grant.topic):
                    problems.warning(
                        "dead-grant", grant.place,
                        f"`{_shown(grant.topic)}` can never be used: line {denial.place.line} "
                        f"denies `{_shown(denial.topic)}`",
                        "a denial wins over every grant; remove one of the two",
                    )  # fmt: skip
                    break


def _covered_grants(role: Role, problems: Problems) -> None:
    for _, grants in _lists(role):
        for grant in grants:
            for other in grants:
                if other is grant or not _at_least(other, grant):
                    continue
                if _contains(other.topic, grant.topic):
                    problems.warning(
                        "covered-grant", grant.place,
                        f"`{_shown(grant.topic)}` is already granted by line {other.place.line}, "
                        f"`{_shown(other.topic)}`",
                        "remove it, or make the wider grant narrower",
                    )  # fmt: skip
                    break


def _idle_denials(policy: Policy, problems: Problems) -> None:
    for kind in Kind:
        roles = [role for role in policy.roles if role.match.kind is kind]
        for action in (Action.PUBLISH, Action.SUBSCRIBE):
            granted = {
                _widest(grant.topic)
                for role in roles
                for listed, grants in _lists(role)
                if listed is action
                for grant in grants
            }
            denials = [d for role in roles for d in role.deny if d.actions == (action,)]
            _report_idle(denials, granted, problems)
        both = {
            _widest(grant.topic) for role in roles for _, grants in _lists(role) for grant in grants
        }
        denials = [d for role in roles for d in role.deny if len(d.actions) > 1]
        _report_idle(denials, both, problems)


def _report_idle(denials: Iterable[Denial], granted: set[str], problems: Problems) -> None:
    denials = tuple(denials)
    if len(denials) * len(granted) > LINT_PAIRS:
        return
    for denial in denials:
        wide = _widest(denial.topic)
        if not any(_core.filter_intersection(wide, grant) for grant in granted):
            problems.warning(
                "idle-denial", denial.place,
                f"no role grants anything that `{_shown(denial.topic)}` denies",
                "check its spelling, or remove it: what is not granted is refused anyway",
            )  # fmt: skip


def _lists(
    role: Role,
) -> tuple[tuple[Action, tuple[PublishGrant | SubscribeGrant, ...]], ...]:
    return ((Action.PUBLISH, role.publish), (Action.SUBSCRIBE, role.subscribe))


def _at_least(one: PublishGrant | SubscribeGrant, other: PublishGrant | SubscribeGrant) -> bool:
    """Whether ``one`` allows every manner of use that ``other`` allows."""
    if one.qos < other.qos:
        return False
    if isinstance(one, PublishGrant) and isinstance(other, PublishGrant):
        return one.retain >= other.retain and one.will >= other.will
    return True


def _contains(wide: Pattern, narrow: Pattern) -> bool:
    # Most pairs differ in a level; only what is left is worth a question to the matcher.
    for one, other in zip(wide.levels, narrow.levels, strict=False):
        if one.kind is LevelKind.REST:
            break
        if one.kind is not LevelKind.ONE and one != other:
            return False
    return _core.filter_contains([wide.text], [], narrow.text) is None


def _widest(pattern: Pattern) -> str:
    """The pattern for any identity: each placeholder is `+`."""
    return "/".join(
        "+" if level.kind is LevelKind.PLACEHOLDER else level.text for level in pattern.levels
    )


def _shown(pattern: Pattern) -> str:
    return printable(pattern.text, limit=60)
