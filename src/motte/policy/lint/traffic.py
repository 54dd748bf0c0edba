"""How the grants of different roles meet: what nobody reads or writes, and what is wider than that.

An identity's values are left open, a placeholder is any one level. So what is said to meet nothing
meets nothing, whoever is enrolled; what meets only for identities of unequal attributes goes
without a warning here, and `motte policy radius` has it exactly.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from motte import _core
from motte.policy.diagnostics import Problems
from motte.policy.lint.topics import LINT_PAIRS, shown
from motte.policy.model import (
    Kind,
    LevelKind,
    Pattern,
    Policy,
    PublishGrant,
    Role,
    SubscribeGrant,
)
from motte.text import printable

__all__ = ["review_traffic"]

COMMAND_LEVELS: Final = frozenset(
    ("action", "cmd", "command", "commands", "control", "do", "request", "rpc", "set")
)
"""Levels of topics that say *do it now*: what is kept of such a topic is done again later."""
REQUEST_LEVELS: Final = frozenset(("ask", "call", "query", "req", "request", "requests", "rpc"))
"""Levels of topics whose messages want an answer."""
RESPONSE_LEVELS: Final = frozenset(
    ("answer", "reply", "replies", "res", "response", "responses", "result", "results")
)
"""Levels of topics that answers go to."""
NAMED_TOPICS: Final = 3
"""Narrower topics that a hint writes out; more are counted."""
COMPARED_TOPICS: Final = 64
"""Topics that a wildcard is held against at most; one that takes in more has its reasons."""

_Grant = TypeVar("_Grant", PublishGrant, SubscribeGrant)


@dataclass(frozen=True, slots=True)
class _Held(Generic[_Grant]):
    """A grant, who has it, and the filter of its topics for all of them together."""

    role: Role
    grant: _Grant
    filter: str


def review_traffic(policy: Policy, problems: Problems) -> None:
    """Notes grants that meet no other, wildcards wider than what meets them, and odd pairs."""
    publish = [_held(role, grant) for role in policy.roles for grant in role.publish]
    subscribe = [_held(role, grant) for role in policy.roles for grant in role.subscribe]
    if len({held.filter for held in publish}) * len({held.filter for held in subscribe}) > (
        LINT_PAIRS
    ):
        return
    written = _Meetings(held.filter for held in publish)
    read = _Meetings(held.filter for held in subscribe)
    for right in publish:
        _unread(right, read, problems)
        _retained_command(right, subscribe, problems)
        _unreadable_response(right, policy, problems)
    for wish in subscribe:
        _unwritten(wish, written, problems)


class _Meetings:
    """Filters, and what each other filter has in common with them."""

    def __init__(self, filters: Iterable[str]) -> None:
        self._filters = tuple(dict.fromkeys(filters))
        self._found: dict[str, tuple[str, ...]] = {}

    def common(self, other: str) -> tuple[str, ...]:
        """The filters of the topics that ``other`` has in common with each, those without aside."""
        if other not in self._found:
            common = (_core.filter_intersection(other, one) for one in self._filters)
            self._found[other] = tuple(dict.fromkeys(one for one in common if one is not None))
        return self._found[other]


def _held(role: Role, grant: _Grant) -> _Held[_Grant]:
    return _Held(role, grant, _for_all(role, grant.topic))


def _for_all(role: Role, pattern: Pattern) -> str:
    """The filter of the pattern's topics for all identities of a role.

    A placeholder is `+`, or the one value that the role's match leaves it.
    """
    fixed = dict(role.match.attributes)
    if role.match.id is not None:
        fixed[role.match.kind.value] = role.match.id
    return "/".join(
        fixed.get(level.text, "+") if level.kind is LevelKind.PLACEHOLDER else level.text
        for level in pattern.levels
    )


def _unread(held: _Held[PublishGrant], read: _Meetings, problems: Problems) -> None:
    common = read.common(held.filter)
    if common:
        _too_wide(held, common, "read", problems)
        return
    problems.warning(
        "unread-grant", held.grant.place,
        f"nobody may read what is published on `{shown(held.grant.topic)}`",
        "grant it to whom it is for with `subscribe`, or remove it: a stolen key has it too",
    )  # fmt: skip


def _unwritten(held: _Held[SubscribeGrant], written: _Meetings, problems: Problems) -> None:
    if held.grant.topic.is_reserved:  # the broker itself writes there
        return
    common = written.common(held.filter)
    if common:
        _too_wide(held, common, "publish on", problems)
        return
    problems.warning(
        "unwritten-grant", held.grant.place,
        f"nobody may publish on what `{shown(held.grant.topic)}` reads",
        "check its spelling, grant `publish` to whom it comes from, or remove it",
    )  # fmt: skip


def _too_wide(held: _Held[_Grant], common: tuple[str, ...], verb: str, problems: Problems) -> None:
    if not held.grant.topic.has_wildcard or len(common) > COMPARED_TOPICS:
        return
    unused = _core.filter_contains(list(common), [], held.filter)
    if unused is None:
        return
    narrower = [f"`{printable(one, limit=60)}`" for one in _maximal(common)]
    more = len(narrower) - NAMED_TOPICS
    listed = ", ".join(narrower[:NAMED_TOPICS]) + (f" and {more} more" if more > 0 else "")
    problems.warning(
        "wide-wildcard", held.grant.place,
        f"`{shown(held.grant.topic)}` takes in topics that nobody may {verb}, such as "
        f"`{printable(unused, limit=60)}`",
        f"write what others may {verb}: {listed}; what is granted there later would be taken in "
        "unseen",
    )  # fmt: skip


def _maximal(filters: tuple[str, ...]) -> list[str]:
    """Those that no other one takes in."""
    return [
        one
        for one in filters
        if not any(
            other != one and _core.filter_contains([other], [], one) is None for other in filters
        )
    ]


def _retained_command(
    held: _Held[PublishGrant], subscribe: list[_Held[SubscribeGrant]], problems: Problems
) -> None:
    if not held.grant.retain or not _has_level(held.grant.topic, COMMAND_LEVELS):
        return
    for reader in subscribe:
        is_device = reader.role.match.kind is Kind.DEVICE
        if is_device and _core.filter_intersection(held.filter, reader.filter) is not None:
            problems.warning(
                "retained-command", held.grant.place,
                f"`{shown(held.grant.topic)}` may be retained, and devices of role "
                f"`{reader.role.name}` read it: each that connects would be given the last "
                "command again",
                "remove `retain = true`; for a state that is to be reached, name the topic so, "
                "for example `desired`",
            )  # fmt: skip
            return


def _unreadable_response(held: _Held[PublishGrant], policy: Policy, problems: Problems) -> None:
    """Requests whose answers go where who asks may not read: such a Response Topic is refused."""
    if not _has_level(held.grant.topic, REQUEST_LEVELS):
        return
    own = [_for_all(held.role, grant.topic) for grant in held.role.subscribe]
    for role in policy.roles:
        hears = any(
            _core.filter_intersection(held.filter, _for_all(role, grant.topic)) is not None
            for grant in role.subscribe
        )
        answers = list(_answers(role)) if hears and role is not held.role else []
        if not answers or any(
            _core.filter_intersection(answer, one) is not None
            for answer, _ in answers
            for one in own
        ):
            continue
        problems.warning(
            "unreadable-response", held.grant.place,
            f"role `{role.name}` answers on `{shown(answers[0][1].topic)}`, which role "
            f"`{held.role.name}` may not read: a request with that Response Topic is refused",
            "grant `subscribe` on the topic of the answers to who asks",
        )  # fmt: skip
        return


def _answers(role: Role) -> Iterator[tuple[str, PublishGrant]]:
    for grant in role.publish:
        if _has_level(grant.topic, RESPONSE_LEVELS):
            yield _for_all(role, grant.topic), grant


def _has_level(pattern: Pattern, names: frozenset[str]) -> bool:
    return any(
        level.kind is LevelKind.LITERAL and level.text.casefold() in names
        for level in pattern.levels
    )
