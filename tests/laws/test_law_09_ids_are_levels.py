"""Law 9. An identity value stands for one whole level; injection cannot be expressed."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motte import _core
from tests.support.policy import Policy, role
from tests.support.space import Space
from tests.support.wire import Version

ATTRIBUTES = {"group": "g", "site": "s"}


def _snapshot() -> _core.Snapshot:
    policy = Policy(
        "home",
        [
            role(
                "r",
                kind="device",
                attributes={"group": "g"},
                publish=["{site}/dev/{device}/tel"],
                subscribe=["{site}/dev/{device}/cmd"],
            )
        ],
    )
    return _core.Snapshot(policy.next().encode())


@pytest.mark.parametrize(
    "value",
    [
        *("", "+", "#", "a/b", "/", "a+", "#a", "$a", "$SYS", "a\0b", "a\nb", " ", "a b", "é"),
        *("a" * 300, "{device}", "{site}", "..", "a\\b", "%2F"),
    ],
    ids=ascii,
)
def test_values_that_no_identity_has(value: str) -> None:
    """`..` and the like may be values where the alphabet has them; they are then only a level."""
    try:
        _core.check_identity_value(value)
    except ValueError:
        return
    snapshot = _snapshot()
    assert "/" not in value
    assert not set(value) & set("+#\0")
    decision = snapshot.decide(
        "device", value, ATTRIBUTES, "publish", f"s/dev/{value}/tel", 0, False
    )
    assert decision.allowed
    for topic in ("s/dev/x/tel", "s/dev/+/tel", "s/dev/../tel", "s/dev/tel"):
        if topic != f"s/dev/{value}/tel":
            found = snapshot.decide("device", value, ATTRIBUTES, "publish", topic, 0, False)
            assert not found.allowed


@given(st.text(min_size=1, max_size=12), st.text(min_size=1, max_size=12))
@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_one_identity_reaches_its_own_topic_alone(mine: str, other: str) -> None:
    """For any two values that are accepted: own topic yes, the other's no."""
    try:
        for value in (mine, other):
            _core.check_identity_value(value)
    except ValueError:
        return
    snapshot = _snapshot()
    for action, leaf in (("publish", "tel"), ("subscribe", "cmd"), ("will", "tel")):
        allowed = snapshot.decide(
            "device", mine, ATTRIBUTES, action, f"s/dev/{other}/{leaf}", 0, False
        ).allowed
        assert allowed is (mine == other)


@given(st.text(max_size=20))
@settings(deadline=None)
def test_a_spiffe_id_never_names_two_things(text: str) -> None:
    """Whatever stands where an id should: refused, or read back as exactly what was written."""
    uri = f"spiffe://home/group/g/device/{text}"
    try:
        kind, identity, attributes = _core.parse_spiffe(uri, "home")
    except ValueError:
        return
    assert _core.format_spiffe(kind, identity, attributes, "home") == uri
    _core.check_identity_value(identity)
    for name, value in attributes.items():
        _core.check_identity_value(name)
        _core.check_identity_value(value)


@pytest.mark.parametrize("name", ["a", "a-b", "a.b", "A", "0", "x_y"])
def test_neighbours_by_name_are_strangers(space: Space, version: Version, name: str) -> None:
    """A prefix, another case, a dash: on the wire as in the policy they are other devices."""
    mine = space.identity(name, kind="device", group="device")
    client = space.client(version, mine)
    for other in (f"{mine.id}x", mine.id[:-1], mine.id.upper() + "Z", f"x{mine.id}", "device"):
        assert client.subscribe(f"{space.site}/dev/{other}/cmd")[0] >= 0x80
    assert client.subscribe(space.of(mine, "cmd")) == (0,)
