"""The filters of the data plane against the reference, on random questions."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from motte import _core
from tests.policy import reference

LEVELS = st.sampled_from([*reference.ALPHABET, "+"])


@st.composite
def filters(draw: st.DrawFn) -> str:
    """A topic filter of at most `reference.FILTER_DEPTH` levels and perhaps `#`."""
    levels = draw(st.lists(LEVELS, min_size=0, max_size=reference.FILTER_DEPTH))
    if draw(st.booleans()) or levels in ([], [""]):
        levels = [*levels, "#"]
    return "/".join(levels)


TOPICS = st.sampled_from(reference.universe())


@given(filters(), TOPICS)
@example("sport/#", "sport")
@example("#", "$SYS/x")
@example("/#", "/")
@example("+", "/")
def test_matches(topic_filter: str, topic: str) -> None:
    assert _core.filter_matches(topic_filter, topic) is reference.matches(topic_filter, topic)


@given(filters(), filters())
def test_intersections_hold_exactly_the_common_topics(left: str, right: str) -> None:
    common = _core.filter_intersection(left, right)
    found = frozenset[str]() if common is None else reference.topics_of(common)
    assert found == reference.topics_of(left) & reference.topics_of(right)
    assert (common is None) == (not found)


@settings(max_examples=1000)
@given(st.lists(filters(), max_size=6), st.lists(filters(), max_size=2), filters())
@example(["a", "a/+", "a/+/#"], [], "a/#")
@example(["a", "a/+/#"], [], "a/#")
@example(["a", "a/+", "a/+/+", "a/+/+/+/#"], [], "a/#")
@example(["#"], [], "$s/#")
@example(["#"], ["a/b"], "a/+")
def test_containment(grants: list[str], denials: list[str], topic_filter: str) -> None:
    counterexample = _core.filter_contains(grants, denials, topic_filter)
    offending = reference.offending(grants, denials, topic_filter)
    if counterexample is None:
        assert not offending
        return
    assert offending
    _core.check_topic_name(counterexample)
    assert reference.matches(topic_filter, counterexample)
    granted = any(reference.matches(grant, counterexample) for grant in grants)
    denied = any(reference.matches(denial, counterexample) for denial in denials)
    assert denied or not granted


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["a", "a/+", "a/b", "a/+/+", "a/+/#", "a/+/+/#"]), max_size=6))
def test_a_tail_in_a_union_of_depths(grants: list[str]) -> None:
    expected = not reference.offending(grants, [], "a/#")
    assert (_core.filter_contains(grants, [], "a/#") is None) is expected
