"""The policy beside those who are enrolled: roles and grants that nobody has."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from motte.policy.diagnostics import Location, Problems
from motte.policy.lint.topics import shown
from motte.policy.model import Kind, Match, Policy, Role
from motte.text import printable

__all__ = ["Members", "review_fleet"]

Members = Iterable[tuple[str, str, Mapping[str, str]]]
"""Identities as kind, id and attributes."""

_KINDS: Final = frozenset(kind.value for kind in Kind)


@dataclass(frozen=True, slots=True)
class _Sort:
    """What is the same of many identities: all that a policy can ask about them, but the id."""

    kind: str
    values: tuple[tuple[str, str], ...]
    """The attributes that a role matches on."""
    names: frozenset[str]
    """The attributes that a topic names."""


@dataclass(slots=True)
class _Fleet:
    """Identities, counted by their sort."""

    sorts: Counter[_Sort] = field(default_factory=Counter)
    example: dict[_Sort, str] = field(default_factory=dict)
    named: dict[tuple[str, str], _Sort] = field(default_factory=dict)
    """The sort of each identity that a role calls by its id."""


def review_fleet(policy: Policy, members: Members, problems: Problems) -> None:
    """Notes roles that no identity has, grants that none can use, and identities without a role.

    Reads ``members`` once, and needs memory for the different ones among them only.
    """
    fleet = _read(policy, members)
    if not fleet.sorts:
        return
    for role in policy.roles:
        holders = _holders(role, fleet)
        if not holders:
            problems.warning(
                "nobody-enrolled", role.place,
                f"nobody who is enrolled has role `{role.name}`, which is for {role.match}",
                "check the match, or enrol somebody: `motte device add ID --attribute KEY=VALUE`",
            )  # fmt: skip
            continue
        _unusable_grants(role, holders, problems)
    _without_role(policy, fleet, problems)


def _read(policy: Policy, members: Members) -> _Fleet:
    matched = sorted({name for role in policy.roles for name in role.match.attributes})
    placed = {
        name
        for role in policy.roles
        for rule in role.rules
        for name in rule.topic.placeholders
        if name not in _KINDS
    }
    called = {
        (role.match.kind.value, role.match.id) for role in policy.roles if role.match.id is not None
    }
    fleet = _Fleet()
    for kind, identifier, attributes in members:
        values = tuple((name, attributes[name]) for name in matched if name in attributes)
        sort = _Sort(kind, values, frozenset(placed & attributes.keys()))
        fleet.sorts[sort] += 1
        fleet.example.setdefault(sort, f"{kind}/{identifier}")
        if (kind, identifier) in called:
            fleet.named[kind, identifier] = sort
    return fleet


def _holders(role: Role, fleet: _Fleet) -> Counter[_Sort]:
    """How many of each sort have the role."""
    match = role.match
    if match.id is not None:
        sort = fleet.named.get((match.kind.value, match.id))
        return Counter([sort] if sort is not None and _fits(match, sort) else [])
    return Counter({sort: count for sort, count in fleet.sorts.items() if _fits(match, sort)})


def _fits(match: Match, sort: _Sort) -> bool:
    return match.kind == sort.kind and match.attributes.items() <= dict(sort.values).items()


def _unusable_grants(role: Role, holders: Counter[_Sort], problems: Problems) -> None:
    for grant in role.grants:
        needed = {name for name in grant.topic.placeholders if name not in _KINDS}
        if any(needed <= sort.names for sort in holders):
            continue
        missing = sorted(name for name in needed if not any(name in one.names for one in holders))
        what = f"the attribute `{missing[0]}`" if missing else "all attributes that it names"
        problems.warning(
            "unusable-grant", grant.place,
            f"nobody can use `{shown(grant.topic)}`: none of the {holders.total():,} who are "
            f"enrolled with role `{role.name}` has {what}",
            "enrol them with it, or name a level that they have",
        )  # fmt: skip


def _without_role(policy: Policy, fleet: _Fleet, problems: Problems) -> None:
    called = {
        (role.match.kind.value, role.match.id): role.match
        for role in policy.roles
        if role.match.id is not None
    }
    open_matches = [role.match for role in policy.roles if role.match.id is None]
    alone = Counter(
        {
            sort: count
            for sort, count in fleet.sorts.items()
            if not any(_fits(match, sort) for match in open_matches)
        }
    )
    for name, sort in fleet.named.items():
        if sort in alone and _fits(called[name], sort):
            alone[sort] -= 1
    alone += Counter()  # drops the sorts of which none is left
    if alone:
        first = next(iter(alone))
        problems.warning(
            "without-role", Location(1, 1),
            f"no role is for {alone.total():,} of the {fleet.sorts.total():,} who are enrolled: "
            f"they cannot connect, for example {printable(fleet.example[first])}",
            "add a role that matches them, or revoke them",
        )  # fmt: skip
