"""The narrowest topics for what was seen."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Final

from motte import _core
from motte.policy.model import Level, LevelKind, Pattern

__all__ = ["filter_of_all", "narrowest", "without_group"]

DISTINCT: Final = 4
"""Different words at one level of a wildcard that are proposed by name; more is what `+` is for."""
PROPOSED: Final = 8
"""Topics that are proposed instead of one; more would not be read, and the wildcard stays."""


def without_group(topic: str) -> tuple[str | None, str]:
    """The group of a shared subscription, and its filter."""
    if not topic.startswith("$share/"):
        return None, topic
    _, group, rest = topic.split("/", 2)
    return group, rest


def filter_of_all(topic: str) -> str:
    """The filter of the topic for all identities: each placeholder is `+`."""
    return "/".join("+" if level.startswith("{") else level for level in topic.split("/"))


def narrowest(pattern: Pattern, seen: Iterable[str], names: Collection[str]) -> list[str] | None:
    """Topics that hold all that was seen and are all within the pattern; ``None`` for the pattern.

    ``names`` are ids and attributes of those who are enrolled: what is called so today is called
    otherwise for the next one, so a name becomes `+`.
    """
    topics: set[tuple[str, ...]] = set()
    for topic in seen:
        levels = _as_granted(pattern, topic.split("/"))
        if levels is None:
            return None
        topics.add(levels)
    texts = _maximal(sorted("/".join(topic) for topic in _generalised(topics, names)))
    if not texts or len(texts) > PROPOSED or texts == [pattern.text]:
        return None
    # What is proposed is never wider than what is granted.
    if any(_core.filter_contains([pattern.text], [], text) is not None for text in texts):
        return None
    return texts


def _as_granted(pattern: Pattern, seen: list[str]) -> tuple[str, ...] | None:
    """The levels that were seen, where the grant leaves them open, and else the grant's own."""
    levels: list[str] = []
    for place, level in enumerate(pattern.levels):
        if level.kind is LevelKind.REST:
            return (*levels, *seen[place:])
        if place >= len(seen):
            return None
        levels.append(seen[place] if level.kind is LevelKind.ONE else _text(level))
    return tuple(levels) if len(seen) == len(pattern.levels) else None


def _text(level: Level) -> str:
    return level.text if level.kind is LevelKind.LITERAL else f"{{{level.text}}}"


def _generalised(topics: set[tuple[str, ...]], names: Collection[str]) -> set[tuple[str, ...]]:
    """The same with `+` for what changes from one topic to the next."""
    by_length: dict[int, list[tuple[str, ...]]] = defaultdict(list)
    for topic in topics:
        by_length[len(topic)].append(topic)
    out: set[tuple[str, ...]] = set()
    for length, group in by_length.items():
        variable = [
            place
            for place in range(length)
            if _is_variable({topic[place] for topic in group if _is_word(topic[place])}, names)
        ]
        for topic in group:
            out.add(
                tuple(
                    "+" if place in variable and _is_word(level) else level
                    for place, level in enumerate(topic)
                )
            )
    return out


def _is_variable(words: set[str], names: Collection[str]) -> bool:
    return len(words) > DISTINCT or any(word in names for word in words)


def _is_word(level: str) -> bool:
    return level not in {"+", "#"} and not level.startswith("{")


def _maximal(texts: list[str]) -> list[str]:
    """Those that no other one takes in."""
    return [
        text
        for text in texts
        if not any(
            other != text and _core.filter_contains([other], [], text) is None for other in texts
        )
    ]
