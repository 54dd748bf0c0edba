"""``relays`` in a policy: what is right and what is wrong about them."""

from __future__ import annotations

import pytest

from motte.policy.diagnostics import InvalidPolicyError
from motte.policy.language import parse
from tests.policy.policies import compiles

SERVICE = '[role.hub]\nmatch = {{ service = "hub" }}\nsubscribe = ["a/#"]\nrelays = {}\n'


def test_a_relay_is_no_right() -> None:
    policy = parse(SERVICE.format('[{ from = "a/+", to = "b" }]')).policy
    (relay,) = policy.roles[0].relays
    assert (relay.source.text, relay.target.text, relay.place.line) == ("a/+", "b", 4)
    compiled = compiles(SERVICE.format('[{ from = "a/+", to = "b" }]'))
    assert compiled is not None
    assert b"relays" not in compiled.snapshot_json


@pytest.mark.parametrize(
    ("relays", "message"),
    [
        ('"a"', "`relays` must be a list"),
        ('["a"]', "a relay must be a table"),
        ('[{ from = "a" }]', "this relay has no `to`"),
        ("[{}]", "this relay has no `from`"),
        ('[{ from = "a", to = "b+" }]', "`+`"),
        ('[{ from = "a", to = "b", via = "c" }]', "unknown key `via` in a relay"),
        ('[{ from = 1, to = "b" }]', "`from` must be text"),
        ('[{ from = "a/{device}", to = "b" }]', "{device}"),
        ("[" + ", ".join(['{ from = "a", to = "b" }'] * 101) + "]", "`relays` has 101 entries"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(relays: str, message: str) -> None:
    with pytest.raises(InvalidPolicyError) as caught:
        parse(SERVICE.format(relays))
    (problem, *_) = caught.value.diagnostics
    assert message in problem.message
    assert problem.line == 4
    assert problem.hint


def test_a_device_is_no_relay() -> None:
    text = '[role.a]\nmatch = { group = "a" }\nrelays = [{ from = "a", to = "b" }]\n'
    with pytest.raises(InvalidPolicyError, match="a device is not a relay"):
        parse(text)
