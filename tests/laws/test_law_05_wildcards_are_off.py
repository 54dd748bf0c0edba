"""Law 5. Wildcards: not for devices; for services where a role says so, inside its grants."""

import pytest

from tests.support.space import Space
from tests.support.wire import Reason, Version

SHAPES = ["#", "+", "a/#", "a/+", "+/b", "a/+/c", "+/+", "a/b/#"]


def _refusal(version: Version) -> int:
    return 0x80 if version is Version.V311 else Reason.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED


@pytest.mark.parametrize("kind", ["device", "service"])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_wildcard_without_the_word(
    space: Space, version: Version, kind: str, shape: str
) -> None:
    """Whatever the grants are: they say what may be named, not that it may be asked for whole."""
    space.role("narrow", kind=kind, subscribe=["{site}/#"])
    who = space.identity("narrow", kind=kind, group="narrow")
    client = space.client(version, who)
    assert client.subscribe(f"{space.site}/{shape}") == (_refusal(version),)
    assert client.subscribe(f"{space.site}/a/b/c") == (0,)


@pytest.mark.parametrize("shape", SHAPES)
def test_with_the_word_inside_the_grants(space: Space, version: Version, shape: str) -> None:
    space.role("wide", kind="service", subscribe=["{site}/#"], wildcards=True)
    client = space.client(version, space.service("wide", "wide"))
    assert client.subscribe(f"{space.site}/{shape}") == (0,)


@pytest.mark.parametrize("outside", ["#", "+/#", "+", "elsewhere/#", "+/a"])
def test_with_the_word_not_outside_them(space: Space, version: Version, outside: str) -> None:
    space.role("wide", kind="service", subscribe=["{site}/#"], wildcards=True)
    client = space.client(version, space.service("wide", "wide"))
    assert client.subscribe(outside)[0] >= 0x80


def test_the_word_of_one_role_does_not_widen_another(space: Space, version: Version) -> None:
    """Two roles match: the wildcard is allowed inside the grants of the one that says so."""
    space.role("both", kind="service", subscribe=["{site}/one/#"], wildcards=True)
    space.role("both", kind="service", subscribe=["{site}/two/#"])
    client = space.client(version, space.service("both", "both"))
    codes = client.subscribe(f"{space.site}/one/#", f"{space.site}/two/#", f"{space.site}/two/x")
    assert [code < 0x80 for code in codes] == [True, False, True]


def test_taking_the_word_away_ends_the_subscription(space: Space, version: Version) -> None:
    role = space.role(
        "wide",
        kind="service",
        publish=["{site}/a/#"],
        subscribe=["{site}/a/#"],
        wildcards=True,
    )
    client = space.client(version, space.service("wide", "wide"))
    client.subscribe(f"{space.site}/a/#", f"{space.site}/a/named")
    role["wildcards"] = False
    report = space.plane.apply()
    assert report["subscriptions_pruned"] >= 1
    client.publish(f"{space.site}/a/x", b"by wildcard", 1)
    client.publish(f"{space.site}/a/named", b"by name", 1)
    assert client.message().payload == b"by name"
    client.expect_nothing()
