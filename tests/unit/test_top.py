"""``motte top`` on a terminal of 80 by 24."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from motte.cli.top import LAYERS, frame

ACTIONS = (
    "authenticate", "connect", "session", "will", "publish", "release", "subscribe", "retain",
    "deliver",
)  # fmt: skip


def status(number: int) -> dict[str, Any]:
    """A state in which every figure is as large as it gets."""
    return {
        "pid": 4_194_304,
        "uptime_seconds": 999 * 86_400,
        "generation": 1_000_000,
        "connections": 1_000_000,
        "sessions": 1_000_000,
        "subscriptions": 10_000_000,
        "messages": dict.fromkeys(
            ("received", "sent", "withheld", "expired", "dropped"), 10 * number
        ),
        "traffic": {"received": number, "sent": number},
        "queued": {"messages": number, "bytes": number},
        "retained": {"messages": number, "bytes": number},
        "evidence": {"seq": number, "waiting": number, "lost": 0, "failing": False},
        "counters": {
            "refused": dict.fromkeys(LAYERS, number),
            "passed": dict.fromkeys(ACTIONS, number),
        },
    }


def shown(
    now: dict[str, Any], earlier: dict[str, Any] | None = None, seconds: float = 1
) -> list[str]:
    console = Console(width=80, height=24, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(frame(now, earlier, seconds))
    return capture.get().splitlines()


@pytest.mark.parametrize("number", [0, 123, 999_999_999])
def test_it_fits(number: int) -> None:
    lines = shown(status(number), status(0))
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    for name in (*LAYERS, *ACTIONS, "queued", "retained", "evidence"):
        assert name in text


def test_rates_are_those_since_the_look_before() -> None:
    now, earlier = status(300), status(100)
    (line,) = [one for one in shown(now, earlier, 2) if one.startswith("quota")]
    assert "100/s" in line
    assert "/s" not in "".join(shown(now))


def test_another_process_has_no_rate_yet() -> None:
    assert "/s" not in "".join(shown(status(300) | {"pid": 1}, status(100)))


def test_what_needs_attention_is_said() -> None:
    now = status(0) | {"generation": 0}
    now["evidence"]["failing"] = True
    text = "\n".join(shown(now))
    assert "no snapshot in force" in text
    assert "cannot be written" in text
