"""A TOML file as a tree of values that know where they stand.

The parser is the data plane's (``motte._core.parse_toml``), because the one in Python's standard
library forgets positions. This module gives its tree the shape that the language reader walks.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from motte import _core
from motte.policy.diagnostics import Location, Problems
from motte.text import nearest, printable

__all__ = ["Entry", "Node", "Reader", "Shape", "document_of"]


class Shape(StrEnum):
    """The types of TOML, as error messages call them."""

    TEXT = "text"
    INTEGER = "a whole number"
    FLOAT = "a number with a fraction"
    BOOLEAN = "true or false"
    DATE = "a date or time"
    LIST = "a list"
    TABLE = "a table"


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file."""

    shape: Shape
    place: Location
    scalar: str | int | float | bool | None = None
    items: tuple["Node", ...] = ()
    entries: tuple["Entry", ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One ``key = value`` of a table."""

    name: str
    place: Location
    node: Node


_SHAPES: Final = {
    "string": Shape.TEXT,
    "integer": Shape.INTEGER,
    "float": Shape.FLOAT,
    "boolean": Shape.BOOLEAN,
    "datetime": Shape.DATE,
    "array": Shape.LIST,
    "table": Shape.TABLE,
}


def document_of(text: str) -> Node:
    """Parses TOML; raises ``_core.TomlError`` with the place where it is none."""
    return _node(_core.parse_toml(text))


def _node(value: _core.TomlValue) -> Node:
    shape = _SHAPES[value.kind]
    place = Location(value.line, value.column)
    content = value.value
    if isinstance(content, Mapping):
        entries = (
            Entry(name, Location(*value.keys[name]), _node(one)) for name, one in content.items()
        )
        # The order of the file, whatever order the parser has: diagnostics and snapshots show it.
        ordered = sorted(entries, key=lambda entry: entry.place)
        return Node(shape, place, entries=tuple(ordered))
    if isinstance(content, tuple):
        return Node(shape, place, items=tuple(_node(one) for one in content))
    return Node(shape, place, scalar=content)


_EXAMPLES: Final = {
    Shape.TEXT: "write it in quotes",
    Shape.INTEGER: "write a whole number without quotes",
    Shape.BOOLEAN: "write `true` or `false` without quotes",
    Shape.LIST: "write a list in brackets: `[…]`",
    Shape.TABLE: "write a table in braces: `{ … }`",
}


class Reader:
    """Takes values of an expected type out of the tree and reports what is something else."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def expect(self, entry: Entry, shape: Shape, hint: str | None = None) -> bool:
        """Whether the entry's value has that type; reports it if not."""
        return self.expect_node(entry.node, shape, f"`{printable(entry.name, limit=60)}`", hint)

    def expect_node(self, node: Node, shape: Shape, what: str, hint: str | None = None) -> bool:
        """The same for a value that has no key, called ``what`` in the message."""
        if node.shape is shape:
            return True
        self.problems.error(
            "wrong-type",
            node.place,
            f"{what} must be {shape}, not {node.shape}",
            hint or _EXAMPLES[shape],
        )
        return False

    def text(self, entry: Entry, hint: str | None = None) -> str | None:
        """The entry's text."""
        self.expect(entry, Shape.TEXT, hint)
        return entry.node.scalar if isinstance(entry.node.scalar, str) else None

    def boolean(self, entry: Entry) -> bool | None:
        """The entry's truth value."""
        self.expect(entry, Shape.BOOLEAN)
        return entry.node.scalar if isinstance(entry.node.scalar, bool) else None

    def integer(self, entry: Entry, hint: str | None = None) -> int | None:
        """The entry's whole number."""
        if not self.expect(entry, Shape.INTEGER, hint):
            return None
        return entry.node.scalar if isinstance(entry.node.scalar, int) else None

    def unknown(self, entry: Entry, known: Iterable[str], where: str) -> None:
        """Reports a key that does not exist."""
        known = tuple(known)
        meant = nearest(entry.name.lower(), known)
        self.problems.error(
            "unknown-key",
            entry.place,
            f"unknown key `{printable(entry.name, limit=60)}` in {where}",
            f"did you mean `{meant}`?" if meant else f"known here: {_listed(known)}",
        )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
