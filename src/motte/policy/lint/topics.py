"""Topics of rules beside each other, as the data plane's matcher sees them."""

from typing import Final

from motte import _core
from motte.policy.model import Action, LevelKind, Pattern, PublishGrant, Role, SubscribeGrant
from motte.text import printable

__all__ = ["LINT_PAIRS", "at_least", "contains", "grants_by_action", "shown", "widest"]

LINT_PAIRS: Final = 100_000
"""Pairs of rules compared at most for one kind of warning: about half a second. A policy with more
pairs than that goes without the warning."""


def grants_by_action(
    role: Role,
) -> tuple[tuple[Action, tuple[PublishGrant | SubscribeGrant, ...]], ...]:
    """Both lists of grants, each with what it allows."""
    return ((Action.PUBLISH, role.publish), (Action.SUBSCRIBE, role.subscribe))


def at_least(one: PublishGrant | SubscribeGrant, other: PublishGrant | SubscribeGrant) -> bool:
    """Whether ``one`` allows every manner of use that ``other`` allows."""
    if one.qos < other.qos:
        return False
    if isinstance(one, PublishGrant) and isinstance(other, PublishGrant):
        return one.retain >= other.retain and one.will >= other.will
    return True


def contains(wide: Pattern, narrow: Pattern) -> bool:
    """Whether every topic of ``narrow`` is one of ``wide``, for the same identity.

    A placeholder takes part as a literal that stands for itself: within one role it has the same
    value everywhere.
    """
    # Most pairs differ in a level; only what is left is worth a question to the matcher.
    for one, other in zip(wide.levels, narrow.levels, strict=False):
        if one.kind is LevelKind.REST:
            break
        if one.kind is not LevelKind.ONE and one != other:
            return False
    return _core.filter_contains([wide.text], [], narrow.text) is None


def widest(pattern: Pattern) -> str:
    """The pattern for any identity: each placeholder is `+`."""
    return "/".join(
        "+" if level.kind is LevelKind.PLACEHOLDER else level.text for level in pattern.levels
    )


def shown(pattern: Pattern) -> str:
    """The pattern as a message has it."""
    return printable(pattern.text, limit=60)
