"""Showing text that somebody else wrote."""

__all__ = ["nearest", "printable"]

import difflib
from collections.abc import Iterable

DEFAULT_LIMIT = 512
"""Characters of foreign text shown at most: a terminal line or two, never a flooded screen."""


def printable(text: str, *, limit: int = DEFAULT_LIMIT) -> str:
    r"""Foreign text as one harmless line.

    Control characters, escape sequences, line ends, bidirectional overrides and lone surrogates
    become ``\xNN``, ``\uNNNN`` or ``\UNNNNNNNN``. Escaping text that is already escaped changes
    nothing. What goes past ``limit`` characters is cut, and the cut is shown.
    """
    shown = "".join(
        character if character.isprintable() else _escape(ord(character))
        for character in text[:limit]
    )
    return shown + "…" if len(text) > limit else shown


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that ``word`` was most likely meant to be, if one is close enough."""
    found = difflib.get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return found[0] if found else None


def _escape(code: int) -> str:
    return ascii(chr(code))[1:-1]
