from __future__ import annotations

import pytest

from motte import _core
from motte.errors import EnrollmentError
from motte.fleet.identity import Identity, Kind
from tests.support.fleet import assert_helpful, text_of

BAD_VALUES = ["", "a/b", "+", "#", "a+", "$SYS", "a\x00", "a\nb", ".", "..", "a b", "ä", "x" * 65]


@pytest.mark.parametrize("value", BAD_VALUES)
def test_an_id_that_is_no_topic_level_cannot_be_said(value: str) -> None:
    with pytest.raises(EnrollmentError) as caught:
        Identity(Kind.DEVICE, value)
    assert_helpful(caught.value)
    assert text_of(caught.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("value", BAD_VALUES)
def test_an_attribute_that_is_no_topic_level_cannot_be_said(value: str) -> None:
    with pytest.raises(EnrollmentError) as caught:
        Identity(Kind.DEVICE, "toaster-1", {"group": value})
    assert_helpful(caught.value)


@pytest.mark.parametrize("key", ["", "device", "service", "a/b", "+", "ä"])
def test_an_attribute_has_a_proper_key(key: str) -> None:
    with pytest.raises(EnrollmentError) as caught:
        Identity(Kind.DEVICE, "toaster-1", {key: "x"}).spiffe_id("home")
    assert_helpful(caught.value)


def test_the_longest_id_is_fine() -> None:
    assert Identity(Kind.DEVICE, "x" * 64).name == "device/" + "x" * 64


def test_the_spiffe_id_is_read_back_by_the_data_plane() -> None:
    identity = Identity(Kind.DEVICE, "toaster-1", {"site": "kitchen", "group": "toaster"})
    uri = identity.spiffe_id("home")
    assert uri == "spiffe://home/group/toaster/site/kitchen/device/toaster-1"
    assert _core.parse_spiffe(uri, "home") == ("device", "toaster-1", dict(identity.attributes))
