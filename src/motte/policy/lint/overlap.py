"""Roles that one identity can have together, and groups that several roles divide."""

from typing import Final

from motte import _core
from motte.policy.diagnostics import Problems
from motte.policy.limits import LIMITS, complete
from motte.policy.lint.topics import contains, grants_by_action, shown, widest
from motte.policy.model import Kind, Match, Pattern, Policy, Role
from motte.text import printable

__all__ = ["review_overlap"]

_KINDS: Final = frozenset(kind.value for kind in Kind)


def review_overlap(policy: Policy, problems: Problems) -> None:
    """Notes roles that meet in one identity, and what one of them takes from the other."""
    for index, role in enumerate(policy.roles):
        _partial_overlap(role, policy.roles[:index], problems)
        _tenants_in_one_group(role, problems)
        for other in policy.roles:
            if other is not role and _is_part(role.match, other.match):
                _denied_by(role, other, problems)
                _limited_by(role, other, problems)
        for earlier in policy.roles[:index]:
            _common_group(earlier, role, problems)


def _is_part(narrow: Match, wide: Match) -> bool:
    """Whether every identity that ``narrow`` is for is one that ``wide`` is for."""
    return (
        narrow.kind is wide.kind
        and wide.id in {None, narrow.id}
        and wide.attributes.items() <= narrow.attributes.items()
    )


def _meet(one: Match, other: Match) -> bool:
    """Whether an identity can be one that both are for."""
    if one.kind is not other.kind:
        return False
    if one.id is not None and other.id is not None and one.id != other.id:
        return False
    return all(other.attributes.get(name, value) == value for name, value in one.attributes.items())


def _partial_overlap(role: Role, earlier: tuple[Role, ...], problems: Problems) -> None:
    meeting = [
        other
        for other in earlier
        if _meet(role.match, other.match)
        and not _is_part(role.match, other.match)
        and not _is_part(other.match, role.match)
    ]
    if not meeting:
        return
    names = ", ".join(f"`{other.name}`" for other in meeting[:3])
    more = f" and {len(meeting) - 3} more" if len(meeting) > 3 else ""  # noqa: PLR2004
    first = meeting[0].match
    together = Match(
        role.match.kind,
        role.match.id if role.match.id is not None else first.id,
        {**first.attributes, **role.match.attributes},
    )
    problems.warning(
        "overlapping-roles", role.place,
        f"an identity can have role `{role.name}` together with {names}{more}: {together}",
        "its grants add up and the stricter limits hold; if that is not meant, match on one "
        "attribute more",
    )  # fmt: skip


def _denied_by(role: Role, other: Role, problems: Problems) -> None:
    """Grants that a role which all of its identities have as well denies."""
    for action, grants in grants_by_action(role):
        for grant in grants:
            for denial in other.deny:
                if action in denial.actions and contains(denial.topic, grant.topic):
                    problems.warning(
                        "dead-grant", grant.place,
                        f"`{shown(grant.topic)}` can never be used: who has role `{role.name}` "
                        f"has role `{other.name}`, too, which denies `{shown(denial.topic)}` in "
                        f"line {denial.place.line}",
                        "a denial wins over every grant of every role; remove one of the two",
                    )  # fmt: skip
                    break


def _limited_by(role: Role, other: Role, problems: Problems) -> None:
    """Limits that never hold, because a role which all identities have as well is stricter."""
    strictest = complete(other.match.kind, other.limits)
    idle = [
        limit
        for limit in LIMITS.values()
        if limit.field in role.limits and role.limits[limit.field] > strictest[limit.field]
    ]
    if not idle:
        return
    stated = ", ".join(
        f"`{limit.key}` is {limit.shown(strictest[limit.field])} and not "
        f"{limit.shown(role.limits[limit.field])}"
        for limit in idle
    )
    problems.warning(
        "idle-limit", role.place,
        f"who has role `{role.name}` has role `{other.name}`, too, and the stricter limit holds: "
        f"{stated}",
        f"state the limit in role `{other.name}`; what a role leaves out has the default of its "
        "kind",
    )  # fmt: skip


def _common_group(one: Role, other: Role, problems: Problems) -> None:
    """A group of the same name in two roles: its members divide what both may read."""
    groups = [name for name in other.share if name in one.share]
    if not groups or one.match.kind is not other.match.kind or one.match == other.match:
        return
    common = _common_topic(one, other)
    if common is None:
        return
    problems.warning(
        "shared-group", other.place,
        f"roles `{one.name}` and `{other.name}` may join the same group "
        f"`{printable(groups[0])}` on `{printable(common, limit=60)}`: each takes messages away "
        "from the other",
        "give each a group of its own, unless they do the same work for the same tenant",
    )  # fmt: skip


def _common_topic(one: Role, other: Role) -> str | None:
    for first in one.subscribe:
        for second in other.subscribe:
            common = _core.filter_intersection(widest(first.topic), widest(second.topic))
            if common is not None:
                return common
    return None


def _tenants_in_one_group(role: Role, problems: Problems) -> None:
    """A group whose members are of several tenants, on a topic that names none."""
    if not role.share:
        return
    fixed = {role.match.kind.value, *role.match.attributes}
    attributes = {name for rule in role.rules for name in _attributes(rule.topic)} - fixed
    for grant in role.subscribe:
        missing = sorted(attributes - set(_attributes(grant.topic)))
        if missing and not grant.topic.is_reserved:
            problems.warning(
                "shared-group", grant.place,
                f"members of role `{role.name}` with different `{missing[0]}` divide "
                f"`{shown(grant.topic)}` in group `{printable(role.share[0])}`: each takes "
                "messages away from the others",
                f"name `{{{missing[0]}}}` in the topic, or give the tenants roles and groups of "
                "their own",
            )  # fmt: skip


def _attributes(pattern: Pattern) -> tuple[str, ...]:
    return tuple(name for name in pattern.placeholders if name not in _KINDS)
