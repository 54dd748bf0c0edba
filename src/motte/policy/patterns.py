"""Reading one topic of a policy: levels, placeholders, wildcards, and everything wrong with them.

A placeholder stands for one whole level and is bound to an attribute *after* the topic has been
split into levels (law 9), so no identity value can ever become two levels or a wildcard.
"""

import re
from dataclasses import dataclass
from typing import Final

from motte import _core
from motte.policy.diagnostics import Location, Problems
from motte.policy.model import Kind, Level, LevelKind, Match, Pattern
from motte.text import nearest, printable

__all__ = [
    "KNOWN_ATTRIBUTES",
    "MAXIMUM_ATTRIBUTES",
    "NOT_ATTRIBUTES",
    "TOPIC_BYTES",
    "TOPIC_LEVELS",
    "PatternReader",
    "Use",
    "is_identity_value",
]

TOPIC_BYTES: Final = 1024
"""Bytes of a topic at most; the broker refuses longer ones from any client."""
TOPIC_LEVELS: Final = 32
"""Levels of a topic at most; the broker refuses deeper ones from any client."""
KNOWN_ATTRIBUTES: Final = ("group", "site", "tenant", "model")
"""Attributes that identities commonly have; a placeholder of another name needs the role to
match on it, or gets a warning."""
NOT_ATTRIBUTES: Final = ("id", "kind")
"""What people try for the id; the language has ``device`` and ``service`` for that."""
MAXIMUM_ATTRIBUTES: Final = 12
"""Attributes of one identity at most: its certificate's SPIFFE id has to hold them."""


_REFUSED: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\ufdd0-\ufdef"
    + "".join(chr(plane * 0x10000 + 0xFFFE) + chr(plane * 0x10000 + 0xFFFF) for plane in range(17))
    + "]"
)
"""Control characters and non-characters, which the broker refuses in every topic."""
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Use:
    """What a topic is read for."""

    noun: str
    """How messages call it: ``publish``, ``subscribe`` or ``deny``."""
    grants: bool
    """Whether it gives a right; a denial takes one away and may be as wide as it likes."""


class PatternReader:
    """Reads topics for the identities of one role."""

    def __init__(self, problems: Problems, match: Match | None) -> None:
        self._problems = problems
        self._match = match
        """``None`` if the role's match is itself wrong: then only the text is judged."""

    def read(self, text: str, place: Location, use: Use) -> Pattern | None:
        """The pattern, or ``None`` if anything is wrong with it."""
        if not self._check_text(text, place):
            return None
        levels: list[Level] = []
        offset = 0
        sound = True
        parts = text.split("/")
        for index, part in enumerate(parts):
            here = self._problems.source.inside(place, text, offset)
            level = self._level(part, here, last=index == len(parts) - 1)
            if level is None:
                sound = False
            else:
                levels.append(level)
            offset += len(part) + 1
        if not sound:
            return None
        pattern = Pattern(text, tuple(levels))
        sound = self._check_reserved(pattern, place, use)
        sound = self._check_placeholders(pattern, place, use) and sound
        if sound:
            self._advise(pattern, place, use)
        return pattern if sound else None

    def _check_text(self, text: str, place: Location) -> bool:
        if not text:
            self._problems.error(
                "topic-syntax", place, "the topic is empty",
                "write at least one level, such as `home/{device}/state`",
            )  # fmt: skip
            return False
        if found := _REFUSED.search(text):
            self._problems.error(
                    "topic-syntax", self._problems.source.inside(place, text, found.start()),
                    f"a topic cannot hold the character U+{ord(found[0]):04X}",
                    "remove it: control characters and non-characters are refused in every topic",
                )  # fmt: skip
            return False
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > TOPIC_BYTES:
            self._problems.error(
                "topic-syntax", place, f"the topic has {size} bytes",
                f"shorten it: {TOPIC_BYTES} bytes is the most that the broker accepts",
            )  # fmt: skip
            return False
        depth = text.count("/") + 1
        if depth > TOPIC_LEVELS:
            self._problems.error(
                "topic-syntax", place, f"the topic has {depth} levels",
                f"use fewer `/`: {TOPIC_LEVELS} levels is the most that the broker accepts",
            )  # fmt: skip
            return False
        return True

    def _level(self, part: str, here: Location, *, last: bool) -> Level | None:
        shown = printable(part, limit=60)
        if part == "+":
            return Level(LevelKind.ONE, part)
        if part == "#" and last:
            return Level(LevelKind.REST, part)
        if part == "#":
            self._problems.error(
                "topic-syntax", here, "`#` stands before the last level",
                "`#` is all levels from here on, so it comes last; one level is `+`",
            )  # fmt: skip
            return None
        if "+" in part or "#" in part:
            sign = "+" if "+" in part else "#"
            self._problems.error(
                "topic-syntax", here, f"`{sign}` shares a level with other text in `{shown}`",
                "a wildcard takes a whole level, between two `/`",
            )  # fmt: skip
            return None
        if found := _PLACEHOLDER.fullmatch(part):
            return self._placeholder(found[1], here)
        if "{" in part or "}" in part:
            self._problems.error(
                "placeholder-not-a-level", here, f"`{shown}` mixes a placeholder with other text",
                _whole_level_hint(part, self._match.kind if self._match else Kind.DEVICE),
            )  # fmt: skip
            return None
        return Level(LevelKind.LITERAL, part)

    def _placeholder(self, name: str, here: Location) -> Level | None:
        if is_identity_value(name) and name not in NOT_ATTRIBUTES:
            return Level(LevelKind.PLACEHOLDER, name)
        kind = self._match.kind if self._match else Kind.DEVICE
        known = (*(kind.value for kind in Kind), *KNOWN_ATTRIBUTES)
        meant = kind.value if name == "id" else nearest(name.lower().strip(), known)
        self._problems.error(
            "unknown-placeholder", here,
            f"`{{{printable(name, limit=60)}}}` is not a placeholder",
            f"did you mean `{{{meant}}}`?" if meant
            else "a placeholder is the name of an attribute, such as `{site}`, or `{device}`",
        )  # fmt: skip
        return None

    def _check_reserved(self, pattern: Pattern, place: Location, use: Use) -> bool:
        if not pattern.is_reserved:
            return True
        first = pattern.levels[0].text
        here = self._problems.source.inside(place, pattern.text, 0)
        if first == "$share":
            self._problems.error(
                "shared-subscription", here,
                "`$share` is not a topic but a shared subscription",
                "the group is a right of its own: grant the topic that stands behind it, and add "
                '`share = ["GROUP"]` to the role of the service',
            )  # fmt: skip
            return False
        if first == "$SYS" and use.noun == "publish":
            self._problems.error(
                "reserved-topic", here,
                f"`{printable(pattern.text, limit=60)}` is where the broker speaks about itself",
                "nobody else can publish under `$SYS`; use another topic",
            )  # fmt: skip
            return False
        if use.grants and self._match and self._match.kind is Kind.DEVICE:
            self._problems.error(
                "reserved-topic", here,
                f"`{printable(pattern.text, limit=60)}` is the broker's own, not for a device",
                "topics that begin with `$` can be granted only to a service: "
                '`match = { service = "…" }`',
            )  # fmt: skip
            return False
        return True

    def _check_placeholders(self, pattern: Pattern, place: Location, use: Use) -> bool:
        if self._match is None:
            return True
        sound = True
        offset = 0
        other = Kind.SERVICE if self._match.kind is Kind.DEVICE else Kind.DEVICE
        for level in pattern.levels:
            here = self._problems.source.inside(place, pattern.text, offset)
            offset += len(level.text) + (3 if level.kind is LevelKind.PLACEHOLDER else 1)
            if level.kind is not LevelKind.PLACEHOLDER:
                continue
            if level.text == other.value:
                self._problems.error(
                    "unknown-placeholder", here,
                    f"`{{{other}}}` in the role of a {self._match.kind}",
                    f"a {self._match.kind} has no {other} id; did you mean "
                    f"`{{{self._match.kind}}}`?",
                )  # fmt: skip
                sound = False
            else:
                self._check_attribute(level.text, here, use)
        return sound and self._check_count(pattern, place, self._match)

    def _check_count(self, pattern: Pattern, place: Location, match: Match) -> bool:
        ids = {kind.value for kind in Kind}
        needed = (set(pattern.placeholders) - ids) | set(match.attributes)
        if len(needed) <= MAXIMUM_ATTRIBUTES:
            return True
        self._problems.error(
            "too-many-attributes", place,
            f"the topic and the role's match need {len(needed)} attributes of one identity",
            f"an identity has {MAXIMUM_ATTRIBUTES} at most, so nobody could ever use this",
        )  # fmt: skip
        return False

    def _check_attribute(self, name: str, here: Location, use: Use) -> None:
        match = self._match
        if match is None or name == match.kind.value or name in match.attributes:
            return
        if name in KNOWN_ATTRIBUTES:
            return
        known = (match.kind.value, *match.attributes, *KNOWN_ATTRIBUTES)
        meant = nearest(name, known)
        effect = (
            f"only identities with the attribute `{name}` have this grant"
            if use.grants
            else f"for identities without the attribute `{name}` this denies every value of it"
        )
        self._problems.warning(
            "unknown-attribute", here,
            f"{effect}, and the role does not match on it",
            (f"did you mean `{{{meant}}}`? if not, " if meant else "")
            + f"enrol them with `--attribute {name}=…`, or add `{name}` to the role's match",
        )  # fmt: skip

    def _advise(self, pattern: Pattern, place: Location, use: Use) -> None:
        levels = pattern.text.split("/")
        if "" in levels:
            offset = sum(len(level) + 1 for level in levels[: levels.index("")])
            self._problems.warning(
                "empty-level", self._problems.source.inside(place, pattern.text, offset),
                f"`{printable(pattern.text, limit=60)}` has an empty level",
                "a topic rarely begins or ends with `/` or has `//`; remove the extra `/` "
                "unless clients really use that topic",
            )  # fmt: skip
        if not (use.grants and self._match and self._match.kind is Kind.DEVICE):
            return
        # With its own id in it, the topic is of one device alone, wildcard or not.
        if pattern.has_wildcard and Kind.DEVICE.value not in pattern.placeholders:
            reach = "publish on" if use.noun == "publish" else "read"
            self._problems.warning(
                "wide-device-grant", place,
                f"every device of this role may {reach} every topic that "
                f"`{printable(pattern.text, limit=60)}` matches",
                "one stolen device then reaches the topics of the others; name its own level "
                "with `{device}`, or leave wildcards to services",
            )  # fmt: skip


def is_identity_value(text: str) -> bool:
    """Whether ``text`` can be an id, an attribute or the name of one; the data plane's rule."""
    try:
        _core.check_identity_value(text)
    except ValueError:
        return False
    return True


def _whole_level_hint(part: str, kind: Kind) -> str:
    part = part.replace("{id}", f"{{{kind}}}")
    names = _PLACEHOLDER.findall(part)
    if names and all(map(is_identity_value, names)):
        apart = _PLACEHOLDER.sub("/{\\1}/", part).split("/")
        pieces = "/".join(piece for each in apart if (piece := each.strip("-_. ")))
        return f"a placeholder is a whole level: write `{pieces}`, or have devices use that topic"
    return (
        "a placeholder is a whole level in braces, such as `{device}`; topics hold no other braces"
    )
