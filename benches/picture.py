"""One picture of a result: how many times Motte is ahead of each broker, on a logarithmic scale."""

from __future__ import annotations

import math
from html import escape
from typing import Any, Final

WIDTH: Final = 900
LEFT: Final = 290
"""Where the bars begin, in units of the picture."""
ROW: Final = 13
"""Height of one bar."""
COLOURS: Final = {"mosquitto": "#3b6ea5", "mochi": "#2a9d8f", "nats": "#e9a03b", "sink": "#b0b0b0"}
TICKS: Final = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


def picture(rows: list[dict[str, Any]]) -> str:
    """The picture as SVG: one group of bars for each line, ratios per broker core-second."""
    bars, top = [], 60
    for row in rows:
        sides = {
            name: side
            for name, side in row["brokers"].items()
            if "ratio_per_second" in side and name in COLOURS
        }
        if not sides:
            continue
        middle = top + len(sides) * ROW / 2 + 4
        bars.append(f'<text x="{LEFT - 8}" y="{middle}" class="line">{escape(row["title"])}</text>')
        for name, side in sides.items():
            ratio = side.get("ratio_per_core_second", side["ratio_per_second"])
            bars.append(_bar(name, ratio, top))
            top += ROW
        top += 8
    return _frame(bars, top)


def _x(ratio: float) -> float:
    low, high = math.log2(TICKS[0]), math.log2(TICKS[-1])
    place = (min(max(math.log2(ratio), low), high) - low) / (high - low)
    return LEFT + place * (WIDTH - LEFT - 60)


def _bar(name: str, ratio: float, top: float) -> str:
    one, end = _x(1), _x(ratio)
    left, width = min(one, end), max(1.0, abs(end - one))
    side = end + 4 if ratio >= 1 else one + 4
    return (
        f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{ROW - 2}" '
        f'fill="{COLOURS[name]}"><title>{escape(name)}</title></rect>'
        f'<text x="{side:.1f}" y="{top + ROW - 4}" class="value">{ratio:.2g}</text>'
    )


def _frame(bars: list[str], bottom: float) -> str:
    height = bottom + 30
    ticks = "".join(
        f'<line x1="{_x(tick):.1f}" x2="{_x(tick):.1f}" y1="50" y2="{bottom}" class="grid"/>'
        f'<text x="{_x(tick):.1f}" y="{bottom + 16}" class="tick">{tick:g}</text>'
        for tick in TICKS
    )
    legend = "".join(
        f'<rect x="{LEFT + 110 * place}" y="28" width="10" height="10" fill="{colour}"/>'
        f'<text x="{LEFT + 110 * place + 15}" y="37" class="value">{name}</text>'
        for place, (name, colour) in enumerate(COLOURS.items())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="11">'
        "<style>.line{text-anchor:end}.value{font-size:10px}.tick{text-anchor:middle;fill:#666}"
        ".grid{stroke:#ddd}</style>"
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
        '<text x="10" y="20" font-size="14">How many times Motte is ahead, per core-second of the '
        "broker (latency lines: by time)</text>"
        f"{legend}{ticks}{''.join(bars)}</svg>\n"
    )
