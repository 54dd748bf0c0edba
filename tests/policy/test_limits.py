"""The limits of a role: ranges, defaults, and what follows from what."""

from __future__ import annotations

import json

import pytest

from motte import _core
from motte.policy.compiler import compile_policy
from motte.policy.diagnostics import InvalidPolicyError
from motte.policy.language import parse
from motte.policy.limits import LIMITS, PACKET_OVERHEAD, Limit, complete, defaults
from motte.policy.model import Exceptions, Kind

KIB = 1024


def stated(limits: str) -> dict[str, int]:
    """The limits that a role with this ``limits`` table states."""
    text = f'[role.a]\nmatch = {{ group = "x" }}\npublish = ["a"]\nlimits = {{ {limits} }}\n'
    return dict(parse(text).policy.roles[0].limits)


def error(limits: str) -> str:
    """The one thing that is wrong with it."""
    with pytest.raises(InvalidPolicyError) as caught:
        stated(limits)
    (problem,) = caught.value.diagnostics
    return problem.message


def written(limit: Limit, value: int) -> str:
    """``key = value`` as the file has it."""
    return (
        f"{limit.key} = {value}" if limit.parse is None else f'{limit.key} = "{limit.show(value)}"'
    )


def test_the_language_has_a_key_for_each_limit_of_the_data_plane() -> None:
    for kind in Kind:
        assert {limit.field for limit in LIMITS.values()} == set(_core.default_limits(kind.value))


def test_the_defaults_are_within_the_ranges_and_fit_together() -> None:
    for kind in Kind:
        for limit in LIMITS.values():
            assert limit.minimum <= defaults(kind)[limit.field] <= limit.maximum, limit.key
        assert complete(kind, {}) == defaults(kind)


# What a limit needs beside it at its smallest or largest, so that only its own range is tested.
COMPANY = {
    "payload": 'packet = "16388KiB", byte_burst = "1GiB", queue_bytes = "1GiB"',
    "packet": 'payload = "1B"',
    "byte_burst": 'payload = "1KiB"',
    "bytes": 'payload = "1KiB"',
    "queue_bytes": 'payload = "1B"',
    "connections": "sessions = 1000",
    "sessions": "connections = 1",
}


@pytest.mark.parametrize("key", LIMITS)
def test_a_limit_ends_where_its_range_ends(key: str) -> None:
    limit = LIMITS[key]
    beside = COMPANY.get(key)
    # A queue that holds no payload at all is refused together with the payload.
    smallest = 1 if key == "queue_bytes" else limit.minimum
    for value in (smallest, limit.maximum):
        text = written(limit, value) + (f", {beside}" if beside else "")
        assert stated(text)[limit.field] == value
    for value in (limit.minimum - 1, limit.maximum + 1):
        if value < 0 and limit.parse is not None:
            continue  # a negative quantity cannot be written
        bound = "at least" if value < limit.minimum else "at most"
        nearest = limit.minimum if value < limit.minimum else limit.maximum
        assert error(written(limit, value)) == (
            f"`{key}` is {bound} {limit.show(nearest)}, not {limit.show(value)}"
        )


def test_the_example_of_each_limit_is_right() -> None:
    for limit in LIMITS.values():
        beside = COMPANY.get(limit.key, "")
        text = f"{limit.key} = {limit.example}"
        assert limit.field in stated(", ".join(filter(None, [text, beside])))


def test_a_rate_brings_its_burst() -> None:
    limits = complete(Kind.DEVICE, {"messages_per_second": 100, "bytes_per_second": 100 * KIB})
    assert (limits["message_burst"], limits["byte_burst"]) == (500, 500 * KIB)
    assert (
        complete(Kind.DEVICE, {"messages_per_second": 2, "message_burst": 3})["message_burst"] == 3
    )
    assert complete(Kind.DEVICE, {"messages_per_second": 100_000})["message_burst"] == 500_000


def test_a_payload_brings_the_room_it_needs() -> None:
    large = 2 * 1024 * KIB
    limits = complete(Kind.DEVICE, {"payload": large})
    assert limits["packet"] == large + PACKET_OVERHEAD
    assert limits["byte_burst"] == limits["queue_bytes"] == large
    small = complete(Kind.DEVICE, {"payload": 4 * KIB})
    assert small["byte_burst"] == defaults(Kind.DEVICE)["byte_burst"]
    assert small["packet"] == 4 * KIB + PACKET_OVERHEAD


def test_a_small_packet_makes_the_payload_small() -> None:
    assert complete(Kind.DEVICE, {"packet": 1024})["payload"] == 1024


def test_connections_bring_their_sessions() -> None:
    assert complete(Kind.DEVICE, {"connections": 3})["sessions"] == 3
    assert (
        complete(Kind.SERVICE, {"connections": 2})["sessions"] == defaults(Kind.SERVICE)["sessions"]
    )


DISAGREE = [
    ('payload = "4KiB", packet = "1KiB"', "`packet` (1KiB) is smaller than `payload` (4KiB)"),
    (
        'payload = "8KiB", byte_burst = "4KiB"',
        "`byte_burst` (4KiB) is smaller than `payload` (8KiB)",
    ),
    (
        'payload = "8KiB", queue_bytes = "4KiB"',
        "`queue_bytes` (4KiB) is smaller than `payload` (8KiB)",
    ),
    ('queue_bytes = "0B"', "`queue_bytes` (0B) is smaller than `payload` (16KiB)"),
    ("connections = 3, sessions = 2", "`sessions` (2) is smaller than `connections` (3)"),
]


@pytest.mark.parametrize(("limits", "message"), DISAGREE)
def test_limits_that_defeat_each_other(limits: str, message: str) -> None:
    assert error(limits) == message


def test_the_data_plane_enforces_what_the_file_says() -> None:
    read = parse(
        '[role.a]\nmatch = { group = "x" }\npublish = ["a"]\n'
        'limits = { messages = "7/s", payload = "4KiB", session_expiry = "1h", connections = 2 }\n'
    )
    compiled = compile_policy(read, fleet="home", generation=1, exceptions=Exceptions())
    limits = _core.Snapshot(compiled.snapshot_json).limits("device", "d", {"group": "x"})
    assert limits == {
        **_core.default_limits("device"),
        "messages_per_second": 7,
        "message_burst": 35,
        "payload": 4096,
        "packet": 8192,
        "session_expiry": 3600,
        "connections": 2,
        "sessions": 2,
    }
    role = json.loads(compiled.snapshot_json)["roles"][0]
    assert role["limits"] == limits
