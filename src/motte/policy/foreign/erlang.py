"""Erlang terms as ``acl.conf`` has them: tuples, lists, atoms, strings and numbers."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from motte.policy.foreign.translation import refuse, shown

__all__ = ["Atom", "Term", "parse_terms"]

MAXIMUM_DEPTH: Final = 16
"""Brackets in brackets at most: rules have three or four."""

_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+|%[^\n]*)|(?P<string>"(?:[^"\\]|\\.)*")|(?P<binary><<"(?:[^"\\]|\\.)*">>)"""
    r"""|(?P<atom>[a-z][A-Za-z0-9_@]*|'(?:[^'\\]|\\.)*')|(?P<number>-?[0-9]+(?:\.[0-9]+)?)"""
    r"""|(?P<sign>[{}\[\],.])""",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Atom:
    """A name that stands for itself."""

    name: str


Term: TypeAlias = "Atom | str | int | float | tuple[Term, ...] | list[Term]"


def parse_terms(text: str, file: str) -> Iterator[tuple[Term, int]]:
    """Every term with the line it begins in; raises `PolicyError` where the text is none."""
    parser = _Parser(text, file)
    while parser.more():
        line = parser.line
        term = parser.term(0)
        parser.expect(".")
        yield term, line


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self._text, self._file = text, file
        self._position = 0
        self.line = 1
        self._kind, self._value = "", ""
        self._advance()

    def more(self) -> bool:
        return bool(self._kind)

    def term(self, depth: int) -> Term:
        kind, value = self._kind, self._value
        if depth > MAXIMUM_DEPTH:
            raise refuse(self._file, self.line, "too many brackets", "rules have three or four")
        if kind == "sign" and value in "{[":
            self._advance()
            items = self._items("}" if value == "{" else "]", depth)
            return tuple(items) if value == "{" else items
        if kind in {"string", "binary"}:
            self._advance()
            inner = value.removeprefix("<<").removesuffix(">>")[1:-1]
            return re.sub(r"\\(.)", r"\1", inner)
        if kind == "atom":
            self._advance()
            return Atom(value.strip("'"))
        if kind == "number":
            self._advance()
            return float(value) if "." in value else int(value)
        raise self._wrong("a term")

    def expect(self, sign: str) -> None:
        if self._kind != "sign" or self._value != sign:
            raise self._wrong(f"`{sign}`")
        self._advance()

    def _items(self, end: str, depth: int) -> list[Term]:
        items: list[Term] = []
        while not (self._kind == "sign" and self._value == end):
            if items:
                self.expect(",")
            items.append(self.term(depth + 1))
        self._advance()
        return items

    def _advance(self) -> None:
        while self._position < len(self._text):
            found = _TOKEN.match(self._text, self._position)
            if found is None:
                self._kind, self._value = "?", self._text[self._position]
                return
            start = self._position
            self._position = found.end()
            if found.lastgroup != "blank":
                self._kind, self._value = found.lastgroup or "", found[0]
                return
            self.line += self._text.count("\n", start, self._position)
        self._kind, self._value = "", ""

    def _wrong(self, wanted: str) -> Exception:
        found = shown(self._value) if self._kind else "the end of the file"
        return refuse(
            self._file,
            self.line,
            f"{wanted} is expected, not {found}",
            'an acl.conf has rules such as {allow, {user, "x"}, publish, ["a/#"]}.',
        )
