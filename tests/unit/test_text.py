from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motte.text import nearest, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("toaster-1", "toaster-1"),
        ("Küche/Öfen", "Küche/Öfen"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("right\u202eleft", "right\\u202eleft"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
        ("line\u2028end", "line\\u2028end"),
    ],
)
def test_foreign_text_becomes_one_harmless_line(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_whatever_comes_in_what_goes_out_can_be_printed(text: str) -> None:
    shown = printable(text, limit=10_000)
    assert shown.isprintable()
    shown.encode()
    assert printable(shown, limit=100_000) == shown, "escaping again must change nothing"


def test_the_limit_is_exact_and_the_cut_is_shown() -> None:
    assert printable("x" * 10, limit=10) == "x" * 10
    assert printable("x" * 11, limit=10) == "x" * 10 + "…"


def test_the_nearest_word_is_suggested_only_if_it_is_near() -> None:
    assert nearest("toster-1", ["toaster-1", "dashboard"]) == "toaster-1"
    assert nearest("fridge", ["toaster-1", "dashboard"]) is None
