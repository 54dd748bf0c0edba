"""Numbers with units, as a policy says them: ``10/s``, ``4KiB``, ``100KiB/s``, ``1h``.

One number, one unit, no sign, no fraction: there is one way to write each quantity, and what is
close to it gets a hint with the right spelling.
"""

import re
from typing import Final

from motte.text import printable

__all__ = ["QuantityError", "duration", "rate", "shown_duration", "shown_size", "size", "size_rate"]

SIZES: Final = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
"""Units of size in bytes; powers of two only, so that nobody wonders what a KB is."""
DURATIONS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
"""Units of time in seconds."""

_NUMBER: Final = re.compile(r"(0|[1-9][0-9]{0,11})([A-Za-z/]*)")
"""A number of at most twelve digits (no overflow anywhere below) and what follows it."""


class QuantityError(ValueError):
    """Text that is not a quantity of the kind that is needed."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def rate(text: str) -> int:
    """Events per second: ``10/s``."""
    number, unit = _split(text, "a rate", "write a whole number per second, such as `10/s`")
    if unit != "/s":
        raise QuantityError(
            f"`{_shown(text)}` is not a rate",
            "rates are per second, such as `10/s`; the lowest is `1/s`",
        )
    return number


def size(text: str) -> int:
    """Bytes: ``512B``, ``4KiB``, ``1MiB``, ``1GiB``."""
    number, unit = _split(text, "a size", "write a whole number with a unit, such as `4KiB`")
    if unit not in SIZES:
        raise QuantityError(f"`{_shown(text)}` is not a size", _unit_hint(number, unit, SIZES))
    return number * SIZES[unit]


def size_rate(text: str) -> int:
    """Bytes per second: ``100KiB/s``."""
    example = "write a size per second, such as `100KiB/s`"
    number, unit = _split(text, "a size per second", example)
    base = unit.removesuffix("/s")
    if base == unit:
        raise QuantityError(f"`{_shown(text)}` is not a size per second", example)
    if base not in SIZES:
        hint = _unit_hint(number, base, SIZES, suffix="/s")
        raise QuantityError(f"`{_shown(text)}` is not a size per second", hint)
    return number * SIZES[base]


def duration(text: str) -> int:
    """Seconds: ``30s``, ``5m``, ``1h``, ``7d``."""
    number, unit = _split(text, "a time", "write a whole number with a unit, such as `5m`")
    if unit not in DURATIONS:
        raise QuantityError(f"`{_shown(text)}` is not a time", _unit_hint(number, unit, DURATIONS))
    return number * DURATIONS[unit]


def shown_size(number: int) -> str:
    """Bytes in the largest unit that divides them."""
    return _in_units(number, SIZES)


def shown_duration(number: int) -> str:
    """Seconds in the largest unit that divides them."""
    return _in_units(number, DURATIONS)


def _in_units(number: int, units: dict[str, int]) -> str:
    unit = max(
        (unit for unit in units if number % units[unit] == 0 and number),
        default=None,
        key=lambda unit: units[unit],
    )
    smallest = next(iter(units))
    return f"{number // units[unit]}{unit}" if unit else f"{number}{smallest}"


def _split(text: str, kind: str, hint: str) -> tuple[int, str]:
    found = _NUMBER.fullmatch(text)
    if not found or not found[2]:
        if found:
            raise QuantityError(f"`{_shown(text)}` has no unit", hint)
        raise QuantityError(f"`{_shown(text)}` is not {kind}", hint)
    return int(found[1]), found[2]


_MEANT: Final = {
    "b": "B", "byte": "B", "bytes": "B",
    "k": "KiB", "kb": "KiB", "kib": "KiB",
    "m": "MiB", "mb": "MiB", "mib": "MiB",
    "g": "GiB", "gb": "GiB", "gib": "GiB",
}  # fmt: skip
_MEANT_TIME: Final = {
    "sec": "s", "second": "s", "seconds": "s",
    "min": "m", "minute": "m", "minutes": "m",
    "hour": "h", "hours": "h", "day": "d", "days": "d",
}  # fmt: skip


def _unit_hint(number: int, unit: str, units: dict[str, int], *, suffix: str = "") -> str:
    words = _MEANT_TIME if units is DURATIONS else _MEANT
    meant = words.get(unit.lower()) or (unit.lower() if unit.lower() in units else None)
    if meant:
        return f"did you mean `{number}{meant}{suffix}`?"
    known = ", ".join(f"`{number}{one}{suffix}`" for one in units)
    return f"the units are {known}"


def _shown(text: str) -> str:
    return printable(text, limit=60)
