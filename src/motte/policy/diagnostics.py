"""What is wrong with a policy file, where, and what to do about it.

A diagnostic is data; `render` shows it the way a good compiler does, with the source line and a
caret. Text of the policy file is foreign text: whatever is shown of it is escaped first.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from rich.cells import cell_len

from motte.errors import PolicyError
from motte.text import printable

__all__ = ["Diagnostic", "InvalidPolicyError", "Location", "Problems", "Severity", "Source"]

MAXIMUM_DIAGNOSTICS: Final = 100
"""Problems reported at most: more than anyone reads; the rest are counted."""
SHOWN_COLUMNS: Final = 160
"""Characters of a source line shown at most, around the caret."""

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|(?:[\w$.+#-]|\{[\w.-]*\})+')
"""What the caret underlines: a whole string, or a key, number or topic level."""


class Severity(StrEnum):
    """Whether a problem stops the policy from being compiled."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file; both numbers count from 1, columns in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem: its place, what is wrong in lower case without a period, what to do next."""

    severity: Severity
    code: str
    """Stable name of this kind of problem, such as ``unknown-key``."""
    file: str
    line: int
    column: int
    message: str
    hint: str

    @property
    def place(self) -> str:
        """``file:line:column``, as editors and terminals understand it."""
        return f"{self.file}:{self.line}:{self.column}"

    def __str__(self) -> str:
        return f"{self.place}: {self.severity}: {self.message} (hint: {self.hint})"

    def as_json(self) -> dict[str, str | int]:
        """The diagnostic for programs."""
        return {
            "severity": self.severity.value,
            "code": self.code,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "message": self.message,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Source:
    """The text that was compiled, for showing lines of it and finding places inside strings."""

    name: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, name: str, text: str) -> "Source":
        """Splits ``text`` where TOML ends a line, and nowhere else."""
        return cls(name, tuple(line.removesuffix("\r") for line in text.split("\n")))

    def line(self, number: int) -> str:
        """The line with that number, empty past the end."""
        return self.lines[number - 1] if 1 <= number <= len(self.lines) else ""

    def inside(self, start: Location, text: str, offset: int) -> Location:
        """The place of character ``offset`` of the string ``text`` whose quote is at ``start``.

        A string with escapes or several lines does not stand in the file as it is meant; then
        the answer is its start.
        """
        line = self.line(start.line)
        first = start.column  # the column after the quote, counted from 0
        if line[first : first + len(text)] == text and line[first - 1 : first] in {'"', "'"}:
            return Location(start.line, start.column + 1 + offset)
        return start

    def render(self, diagnostic: Diagnostic) -> str:
        """The diagnostic with its source line and a caret under what is wrong."""
        line = self.line(diagnostic.line)
        index = min(max(diagnostic.column - 1, 0), len(line))
        token = _TOKEN.match(line, index)
        length = len(token[0]) if token else 1
        begin = max(0, index - SHOWN_COLUMNS // 2) if len(line) > SHOWN_COLUMNS else 0
        end = begin + SHOWN_COLUMNS
        before = _visible(line[begin:index])
        marked = _visible(line[index : min(index + length, end)])
        after = _visible(line[index + length : end])
        gutter = " " * len(str(diagnostic.line))
        caret = " " * cell_len(before) + "^" * max(1, cell_len(marked))
        shown = before + marked + after
        return "\n".join(
            (
                f"{diagnostic.severity}: {diagnostic.message}",
                f"{gutter}--> {diagnostic.place}",
                f"{gutter} |",
                f"{diagnostic.line} | {shown}".rstrip(),
                f"{gutter} | {caret}",
                f"{gutter} = hint: {diagnostic.hint}",
            )
        )


class Problems:
    """Collects the problems of one file, so that a person sees all of them at once."""

    def __init__(self, source: Source, found: Iterable[Diagnostic] = ()) -> None:
        self.source = source
        self._found = list(found)

    def error(self, code: str, place: Location, message: str, hint: str) -> None:
        """Notes a problem because of which the file cannot be compiled."""
        self._add(Severity.ERROR, code, place, message, hint)

    def warning(self, code: str, place: Location, message: str, hint: str) -> None:
        """Notes something that compiles and is probably not meant."""
        self._add(Severity.WARNING, code, place, message, hint)

    def _add(self, severity: Severity, code: str, place: Location, what: str, hint: str) -> None:
        self._found.append(
            Diagnostic(severity, code, self.source.name, place.line, place.column, what, hint)
        )

    @property
    def failed(self) -> bool:
        """Whether any problem is an error."""
        return any(diagnostic.severity is Severity.ERROR for diagnostic in self._found)

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """The warnings in the order of the file."""
        return tuple(one for one in self.ordered() if one.severity is Severity.WARNING)

    def ordered(self) -> tuple[Diagnostic, ...]:
        """All problems in the order of the file, each once."""
        unique = dict.fromkeys(self._found)
        return tuple(sorted(unique, key=lambda one: (one.line, one.column, one.code)))


class InvalidPolicyError(PolicyError):
    """A policy file that cannot be compiled, with everything that is wrong in it."""

    def __init__(self, source: Source, diagnostics: Iterable[Diagnostic]) -> None:
        self.source = source
        self.diagnostics = tuple(diagnostics)
        errors = [one for one in self.diagnostics if one.severity is Severity.ERROR]
        shown = [source.render(one) for one in self.diagnostics[:MAXIMUM_DIAGNOSTICS]]
        hidden = len(self.diagnostics) - len(shown)
        if hidden > 0:
            shown.append(f"… and {hidden} more")
        noun = "error" if len(errors) == 1 else "errors"
        heading = f"{printable(source.name)} has {len(errors)} {noun}"
        super().__init__(
            "\n\n".join((heading, *shown)),
            hint="correct the file and run `motte policy check`",
        )
        self.heading = heading


def _visible(text: str) -> str:
    """Source text on a terminal: tabs as blanks, control characters and the like escaped."""
    return "".join(
        "    " if character == "\t" else character if character == "\\" else printable(character)
        for character in text
    )
