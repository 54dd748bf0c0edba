"""Numbers with units."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motte.policy import quantities
from motte.policy.quantities import QuantityError, duration, rate, size, size_rate

GOOD = [
    (rate, "10/s", 10),
    (rate, "0/s", 0),
    (rate, "999999999999/s", 999_999_999_999),
    (size, "512B", 512),
    (size, "4KiB", 4096),
    (size, "1MiB", 1_048_576),
    (size, "1GiB", 1_073_741_824),
    (size_rate, "100KiB/s", 102_400),
    (size_rate, "1B/s", 1),
    (duration, "0s", 0),
    (duration, "30s", 30),
    (duration, "5m", 300),
    (duration, "1h", 3600),
    (duration, "7d", 604_800),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_good(parse: Callable[[str], int], text: str, value: int) -> None:
    assert parse(text) == value


BAD = [
    (rate, "", "`` is not a rate", "write a whole number per second, such as `10/s`"),
    (rate, "ten/s", "`ten/s` is not a rate", "write a whole number per second, such as `10/s`"),
    (rate, "-1/s", "`-1/s` is not a rate", "write a whole number per second, such as `10/s`"),
    (rate, "1.5/s", "`1.5/s` is not a rate", "write a whole number per second, such as `10/s`"),
    (rate, "01/s", "`01/s` is not a rate", "write a whole number per second, such as `10/s`"),
    (rate, "10 /s", "`10 /s` is not a rate", "write a whole number per second, such as `10/s`"),
    (rate, "10/s\n", "`10/s\\n` is not a rate", "write a whole number per second, such as `10/s`"),
    (rate, "٣/s", "`٣/s` is not a rate", "write a whole number per second, such as `10/s`"),
    (rate, "1000000000000/s", "`1000000000000/s` is not a rate",
     "write a whole number per second, such as `10/s`"),
    (rate, "10", "`10` has no unit", "write a whole number per second, such as `10/s`"),
    (rate, "10/h", "`10/h` is not a rate",
     "rates are per second, such as `10/s`; the lowest is `1/s`"),
    (size, "4", "`4` has no unit", "write a whole number with a unit, such as `4KiB`"),
    (size, "4KB", "`4KB` is not a size", "did you mean `4KiB`?"),
    (size, "4k", "`4k` is not a size", "did you mean `4KiB`?"),
    (size, "4mib", "`4mib` is not a size", "did you mean `4MiB`?"),
    (size, "4TiB", "`4TiB` is not a size",
     "the units are `4B`, `4KiB`, `4MiB`, `4GiB`"),
    (size_rate, "4KiB", "`4KiB` is not a size per second",
     "write a size per second, such as `100KiB/s`"),
    (size_rate, "4KB/s", "`4KB/s` is not a size per second", "did you mean `4KiB/s`?"),
    (size_rate, "4x/s", "`4x/s` is not a size per second",
     "the units are `4B/s`, `4KiB/s`, `4MiB/s`, `4GiB/s`"),
    (duration, "5min", "`5min` is not a time", "did you mean `5m`?"),
    (duration, "5H", "`5H` is not a time", "did you mean `5h`?"),
    (duration, "5 m", "`5 m` is not a time", "write a whole number with a unit, such as `5m`"),
    (duration, "2w", "`2w` is not a time", "the units are `2s`, `2m`, `2h`, `2d`"),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "text", "message", "hint"), BAD)
def test_bad(parse: Callable[[str], int], text: str, message: str, hint: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@given(st.text(max_size=20))
def test_any_text_is_a_quantity_or_an_error(text: str) -> None:
    for parse in (rate, size, size_rate, duration):
        try:
            assert parse(text) >= 0
        except QuantityError as error:
            found = error
        else:
            continue
        assert found.hint
        assert found.message.isprintable()


@given(st.integers(0, 10**11))
def test_what_is_shown_is_read_back(number: int) -> None:
    assert size(quantities.shown_size(number)) == number
    assert duration(quantities.shown_duration(number)) == number


def test_shown_in_the_largest_unit_that_divides() -> None:
    assert quantities.shown_size(4096) == "4KiB"
    assert quantities.shown_size(4097) == "4097B"
    assert quantities.shown_size(0) == "0B"
    assert quantities.shown_duration(90) == "90s"
    assert quantities.shown_duration(86_400) == "1d"
