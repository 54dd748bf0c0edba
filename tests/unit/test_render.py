from __future__ import annotations

import pytest

from motte.cli.render import age, event_line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (604_799, "6 d 23 h"),
        (604_800, "7 d"),
        (-90, "1 min 30 s"),
    ],
)
def test_a_span_of_time_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_an_event_says_who_what_which_layer_and_which_rule() -> None:
    line = event_line(
        {
            "at_unix_ms": 1_790_000_000_000,
            "kind": "refused",
            "layer": 4,
            "rule": 'policy.toml:12 role.toaster subscribe "a/{device}"',
            "identity": "device/toaster-1",
            "client_id": "toaster-1",
            "peer": "127.0.0.1:50000",
            "topic": "#",
            "count": 3,
        }
    ).plain
    for part in ("refused", "device/toaster-1 from 127.0.0.1:50000", "layer 4 authorization"):
        assert part in line
    for part in ("#", "policy.toml:12", "3 times"):
        assert part in line
    assert "as toaster-1" not in line, "a client id that is the id says nothing"


def test_a_client_id_that_is_not_the_id_is_shown() -> None:
    line = event_line({"kind": "refused", "identity": "device/a", "client_id": "b"}).plain
    assert "device/a as b" in line


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"at_unix_ms": "x", "kind": None, "layer": [], "count": "many"},
        {"at_unix_ms": 10**30, "kind": "refused", "layer": 99},
        {"kind": "\x1b[2J", "identity": "\n", "detail": "\x07", "peer": "[red]x[/red]"},
    ],
)
def test_any_record_becomes_one_harmless_line(record: dict[str, object]) -> None:
    assert event_line(record).plain.isprintable()


def test_what_looks_like_markup_is_text() -> None:
    assert "[red]x[/red]" in event_line({"kind": "refused", "detail": "[red]x[/red]"}).plain
