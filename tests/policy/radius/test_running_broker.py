"""The blast radius against the running broker: its witnesses succeed, and all else is refused.

Random policies and a small fleet. Whatever the proof calls impossible is tried through the broker,
live, retained and as a will; every witness that it shows is played.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from motte.policy.compiler import compile_policy
from motte.policy.language import load, parse
from motte.policy.model import Exceptions, Policy
from motte.policy.radius.analysis import Analysis, Question, analyse
from tests.policy.policies import policies
from tests.policy.radius.played import Actor, Stage, end_with_will, play, says, texts
from tests.support import policy as snapshots
from tests.support.deployment import FLEET, DataPlane
from tests.support.wire import Will

if TYPE_CHECKING:
    from tests.support.client import Client

POLICIES = int(os.environ.get("MOTTE_RADIUS_POLICIES", "24")) // 3
"""Random policies to try; `make oracle` tries more."""
GALLERY = Path(__file__).parents[3] / "examples" / "policies"
PLAYED = (
    Question.OBSERVE,
    Question.INFLUENCE,
    Question.RETAINED,
    Question.WILL,
    Question.IMPERSONATE,
)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("stage")
    data_plane = DataPlane(folder, snapshots.Policy(FLEET, []))
    try:
        yield Stage(data_plane)
    finally:
        data_plane.stop()


@st.composite
def worlds(draw: st.DrawFn) -> tuple[str, list[Actor]]:
    """A policy, and one or two identities for each of its roles."""
    text = draw(policies().filter(lambda text: text.strip()))
    fleet: dict[str, Actor] = {}
    for role in parse(text).policy.roles:
        extra = st.fixed_dictionaries(
            {},
            optional={name: st.sampled_from(["a", "g"]) for name in ("group", "site")},
        )
        ids = [role.match.id] if role.match.id else ["u", "v", "w", "b"]
        for identifier in draw(st.lists(st.sampled_from(ids), min_size=1, max_size=2)):
            attributes = draw(extra) | dict(role.match.attributes)
            fleet.setdefault(identifier, Actor(role.match.kind, identifier, attributes))
    return text, list(fleet.values())[:4]


@settings(max_examples=POLICIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(world=worlds())
def test_what_is_called_isolated_is(stage: Stage, world: tuple[str, list[Actor]]) -> None:
    text, fleet = world
    policy = parse(text).policy
    analysis = analyse(policy)
    compiled = compile_policy(parse(text), fleet=FLEET, generation=1, exceptions=Exceptions())
    stage.set(compiled.snapshot_json)
    for one, two in itertools.permutations(fleet, 2):
        with stage:
            attack(stage, analysis, policy, one, two)


def attack(stage: Stage, analysis: Analysis, policy: Policy, one: Actor, two: Actor) -> None:
    """One tries everything that its key is good for, and the other listens to all that it may."""
    names = ("a", "b", one.id, two.id, "$x")
    mine = one.topics((g.topic for r in policy.roles if one.has(r) for g in r.publish), names)
    theirs = two.topics((g.topic for r in policy.roles if two.has(r) for g in r.subscribe), names)
    wanted = list(dict.fromkeys([*mine, *theirs]))
    target, watcher = stage.connect(two), stage.watcher()
    if target is None or not wanted:
        return
    filters = [g.topic.text for r in policy.roles if two.has(r) for g in r.subscribe]
    target.subscribe(*wanted, *(one for one in filters if "{" not in one))
    live, kept, last = stage.act(), stage.act(), stage.act()
    for topic in wanted:
        stage.say(one, topic, live)
        stage.say(one, topic, kept, retain=True)
    passed = [topic for topic, text in texts(watcher.fence()) if text == live]
    got = list(texts(target.fence()))
    _leave_will(stage, one, wanted, last)
    got += texts(target.fence())
    later = stage.connect(two)
    assert later is not None
    later.subscribe(*wanted)
    replayed = [text for _, text in texts(later.fence())]
    seen = {
        Question.INFLUENCE: live in {text for _, text in got},
        Question.RETAINED: kept in replayed,
        Question.WILL: last in {text for _, text in got},
        Question.IMPERSONATE: _passes_for(stage, two, passed, watcher),
    }
    for question, happened in seen.items():
        told = says(analysis, policy, question, one, two)
        event(f"{question.value}: {'possible' if told else 'impossible'}")
        assert told or not happened, (question, one, two)
    told = says(analysis, policy, Question.OBSERVE, two, one)
    assert told or not seen[Question.INFLUENCE], (Question.OBSERVE, two, one)


def _leave_will(stage: Stage, one: Actor, topics: list[str], text: bytes) -> None:
    """Has a will on the first topic where it may have one, and makes it come true."""
    for topic in topics:
        client = stage.connect(one, Will(topic, text))
        if client is not None:
            end_with_will(client)
            return


def _passes_for(stage: Stage, two: Actor, topics: list[str], watcher: Client) -> bool:
    """Whether the other one can publish on one of these topics, too."""
    text = stage.act()
    for topic in topics:
        stage.say(two, topic, text)
    return any(found == text for _, found in texts(watcher.fence()))


@settings(max_examples=POLICIES, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=policies())
def test_every_witness_can_be_played(stage: Stage, text: str) -> None:
    policy = parse(text).policy
    analysis = analyse(policy)
    compiled = compile_policy(parse(text), fleet=FLEET, generation=1, exceptions=Exceptions())
    stage.set(compiled.snapshot_json)
    places = range(len(policy.roles))
    for question in PLAYED:
        for one, two in itertools.product(places, places):
            for finding in analysis.findings(question, one, two):
                event(f"played: {question.value}")
                with stage:
                    assert play(stage, question, finding), (question, finding)


@pytest.mark.parametrize("path", sorted(GALLERY.glob("*.toml")), ids=lambda path: path.stem)
def test_every_witness_of_the_gallery_can_be_played(stage: Stage, path: Path) -> None:
    read = load(path)
    analysis = analyse(read.policy)
    compiled = compile_policy(read, fleet=FLEET, generation=1, exceptions=Exceptions())
    stage.set(compiled.snapshot_json)
    places = range(len(read.policy.roles))
    for question, one, two in itertools.product(Question, places, places):
        for finding in analysis.findings(question, one, two):
            # What goes through services is one influence after the other.
            step = Question.INFLUENCE if question is Question.REACH else question
            for hop in finding.hops:
                with stage:
                    assert play(stage, step, replace(finding, hops=(hop,))), (question, hop)
