"""What all translations share: the result, remarks with their lines, and names."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from motte import _core
from motte.errors import PolicyError
from motte.policy.radius.document import ForeignGrant, ForeignPolicy
from motte.text import printable

__all__ = [
    "MAXIMUM_FILE_BYTES",
    "Remark",
    "Remarks",
    "Severity",
    "Translation",
    "everything",
    "is_filter",
    "is_identity_value",
    "line_of",
    "narrowed",
    "refuse",
    "stand_in",
]

MAXIMUM_FILE_BYTES: Final = 4 * 1024 * 1024
"""Size of a file read at most: the rules of a hundred thousand users; a wrong file does not fit."""
MAXIMUM_REMARKS: Final = 1000
"""Remarks kept at most; the rest are counted."""


class Severity(StrEnum):
    """What a remark means for the answer."""

    WIDER = "wider"
    """The translation allows more than the original: the radius may be smaller than told."""
    LEFT_OUT = "left out"
    """This line is not in the translation: the radius may be larger than told."""
    NOTE = "note"
    """The translation is exact under the condition that is told."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a line that a reader of the answer has to know."""

    line: int
    severity: Severity
    what: str
    hint: str


@dataclass(slots=True)
class Remarks:
    """Collects remarks, each once."""

    found: dict[Remark, None] = field(default_factory=dict)
    hidden: int = 0

    def add(self, line: int, severity: Severity, what: str, hint: str) -> None:
        """Notes one."""
        remark = Remark(line, severity, what, hint)
        if remark not in self.found and len(self.found) >= MAXIMUM_REMARKS:
            self.hidden += 1
        else:
            self.found[remark] = None

    def wider(self, line: int, what: str, hint: str) -> None:
        """The translation allows more."""
        self.add(line, Severity.WIDER, what, hint)

    def left_out(self, line: int, what: str, hint: str) -> None:
        """The line is not in the translation."""
        self.add(line, Severity.LEFT_OUT, what, hint)

    def note(self, line: int, what: str, hint: str) -> None:
        """Something the answer stands on."""
        self.add(line, Severity.NOTE, what, hint)


@dataclass(frozen=True, slots=True)
class Translation:
    """A policy for the analysis, and what is not exactly as in the original."""

    source: str
    """What was read, such as ``mosquitto-acl``."""
    policy: ForeignPolicy
    remarks: tuple[Remark, ...]
    hidden_remarks: int = 0


def refuse(file: str, line: int, what: str, hint: str) -> PolicyError:
    """The error of a file that cannot be read as what it should be."""
    return PolicyError(f"{file}:{line}: {what}", hint=hint)


def is_identity_value(text: str) -> bool:
    """Whether an identity can have it as its id or an attribute."""
    try:
        _core.check_identity_value(text)
    except ValueError:
        return False
    return True


def is_filter(text: str) -> bool:
    """Whether it is a topic filter, placeholders aside."""
    try:
        _core.check_topic_filter(text)
    except ValueError:
        return False
    return True


def everything(topics: Iterable[str]) -> tuple[str, ...]:
    """Filters for what a default of "allow" is about, in rules about these topics.

    A wildcard does not stand for topics that begin with ``$``. Those that no rule names need no
    filter: where a default allows both sides to use them, it allows all others, too.
    """
    reserved = {topic.partition("/")[0] for topic in topics if topic.startswith("$")}
    return ("#", *(f"{first}/#" for first in sorted({"$SYS", *reserved} - {"$share"})))


def stand_in(name: str) -> str:
    """A name as an identity can have it: the same, or one that is recognised."""
    if is_identity_value(name):
        return name
    digest = sum(ord(letter) * (index + 1) for index, letter in enumerate(name)) % 1_000_000
    letters = re.sub(r"[^a-zA-Z0-9_-]+", "-", name)[:40].strip("-")
    return f"{letters or 'user'}-{digest:06}"


def line_of(text: str, needle: str) -> int:
    """The line in which a text stands first; 1 if nowhere."""
    position = text.find(needle)
    return text.count("\n", 0, position) + 1 if position >= 0 else 1


def narrowed(
    grants: Iterable[ForeignGrant], others: Iterable[ForeignGrant]
) -> Iterator[ForeignGrant]:
    """What each two grants have in common, with the exceptions of both.

    A placeholder takes part as a literal that stands for itself, which is exact for one identity.
    """
    others = tuple(others)
    for grant in grants:
        for other in others:
            common = _core.filter_intersection(grant.topic, other.topic)
            if common is not None:
                yield ForeignGrant(
                    common,
                    grant.line,
                    min(grant.qos, other.qos),
                    grant.retain and other.retain,
                    grant.will and other.will,
                    tuple(dict.fromkeys((*grant.unless, *other.unless))),
                )


def shown(text: str) -> str:
    """Foreign text in a message."""
    return f"`{printable(text, limit=80)}`"
