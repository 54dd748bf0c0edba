"""Identities that act on a running broker as a policy lets them, to see what the others get."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from motte import _core
from motte.policy.model import Kind, LevelKind, Pattern, Policy, Role
from motte.policy.radius.analysis import Analysis, Finding, Question, Side
from tests.support.client import Client, Closed
from tests.support.deployment import FLEET, DataPlane
from tests.support.pki import Credential
from tests.support.policy import LIMITS, role
from tests.support.wire import Packet, Type, Version, Will

WATCHER = "watcher"
"""A service that reads everything; random policies have none of this name."""
TOPICS_TRIED = 8
"""Topics of one list of grants that are tried."""


@dataclass(frozen=True)
class Actor:
    """An identity of the fleet."""

    kind: Kind
    id: str
    attributes: Mapping[str, str] = field(hash=False)

    def has(self, role: Role) -> bool:
        """Whether the role is for it."""
        match = role.match
        return (
            match.kind is self.kind
            and match.id in {None, self.id}
            and match.attributes.items() <= self.attributes.items()
        )

    def topics(self, patterns: Iterable[Pattern], names: Iterable[str]) -> list[str]:
        """Some topics of its grants, with the names of others where anything may stand."""
        found: dict[str, None] = {}
        for pattern in patterns:
            for name in names:
                if (topic := self._topic(pattern, name)) is not None:
                    found[topic] = None
        return list(found)[:TOPICS_TRIED]

    def _topic(self, pattern: Pattern, name: str) -> str | None:
        levels = []
        for level in pattern.levels:
            match level.kind:
                case LevelKind.LITERAL:
                    levels.append(level.text)
                case LevelKind.PLACEHOLDER if level.text == self.kind.value:
                    levels.append(self.id)
                case LevelKind.PLACEHOLDER:
                    if level.text not in self.attributes:
                        return None
                    levels.append(self.attributes[level.text])
                case _:
                    levels.append(name)
        return "/".join(levels) or None


def says(analysis: Analysis, policy: Policy, question: Question, one: Actor, two: Actor) -> bool:
    """Whether the analysis holds it possible that one identity does that to the other."""
    roles = list(enumerate(policy.roles))
    return any(
        _holds(finding, one, two)
        for (mine, subject), (theirs, other) in itertools.product(roles, roles)
        if one.has(subject) and two.has(other)
        for finding in analysis.findings(question, mine, theirs)
    )


def _holds(finding: Finding, one: Actor, two: Actor) -> bool:
    def value(side: Side) -> str | None:
        where, name = side
        if where == "value":
            return name
        actor = one if where == "subject" else two
        return actor.id if name == "id" else actor.attributes.get(name)

    return all(value(side) is not None for side in finding.required) and all(
        value(left) is not None and value(left) == value(right)
        for left, right in finding.equalities
    )


class Stage:
    """A broker that enforces one policy after the other, and those who try it."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._credentials: dict[str, Credential] = {}
        self._clients: list[Client] = []
        self._speaking: dict[Actor, Client] = {}
        self._acts = itertools.count(1)

    def set(self, compiled: bytes) -> None:
        """Starts the broker anew with a compiled policy, and one more role, for who watches.

        Anew, because it counts what identities of the same names were refused before, and
        disconnects those that go on and on.
        """
        roles = json.loads(compiled)["roles"]
        for each in roles:
            # How much is no question here.
            each["limits"] = LIMITS | {"connections": 4, "sessions": 4}
        everything = ["#", "$x/#"]
        watcher = role(
            WATCHER, kind="service", identity=WATCHER, subscribe=everything, wildcards=True
        )
        assert self._plane.policy is not None
        self._plane.policy.roles = [*roles, watcher]
        self._plane.stop()
        self._plane.start()

    def watcher(self) -> Client:
        """Connected, and told of every message."""
        client = self.connect(Actor(Kind.SERVICE, WATCHER, {}))
        assert client is not None
        client.subscribe("#", "$x/#", retain_handling=2, retain_as_published=True)
        return client

    def act(self) -> bytes:
        """Text that no message before had."""
        return f"act {next(self._acts)}".encode()

    def connect(self, actor: Actor, will: Will | None = None) -> Client | None:
        """A connection, or ``None`` where it is refused."""
        uri = _core.format_spiffe(actor.kind.value, actor.id, dict(actor.attributes), FLEET)
        if uri not in self._credentials:
            self._credentials[uri] = self._plane.authority.issue(actor.id, uris=[uri])
        client = Client(self._plane.tls(self._credentials[uri]), Version.V5)
        self._clients.append(client)
        try:
            return client if client.connect(actor.id, will=will).reason == 0 else None
        except Closed:
            return None

    def say(self, actor: Actor, topic: str, text: bytes, *, retain: bool = False) -> None:
        """Publishes, or tries to: who may not is disconnected, and connects again the next time."""
        client = self._speaking.get(actor)
        if client is None:
            client = self.connect(actor)
        if client is None:
            return
        self._speaking[actor] = client
        try:
            client.publish(topic, text, retain=retain)
        except (Closed, OSError):
            del self._speaking[actor]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends every connection: an identity that comes again would end its own earlier ones."""
        for client in self._clients:
            client.cut()
        self._clients.clear()
        self._speaking.clear()


def texts(packets: Iterable[Packet]) -> Iterator[tuple[str, bytes]]:
    """Topic and text of the messages among packets."""
    for packet in packets:
        if packet.type is Type.PUBLISH:
            yield str(packet.topic), bytes(packet.payload)


def end_with_will(client: Client) -> None:
    """Ends a connection so that its will is published by the time this returns."""
    client.send(b"\xe0\x01\x04")
    client.expect_closed()


def play(stage: Stage, question: Question, finding: Finding) -> Any:
    """Does what a witness says; returns the messages that show it, none if it was not so."""
    (hop,) = finding.hops
    one = Actor(Kind(hop.subject.kind), hop.subject.id, hop.subject.attributes)
    two = Actor(Kind(hop.object.kind), hop.object.id, hop.object.attributes)
    text = stage.act()
    sender, receiver = (two, one) if question is Question.OBSERVE else (one, two)
    if question is Question.IMPERSONATE:
        watcher = stage.watcher()
        stage.say(one, hop.topic, text)
        stage.say(two, hop.topic, text)
        return [found for found in texts(watcher.fence()) if found == (hop.topic, text)][1:]
    will = Will(hop.topic, text) if question is Question.WILL else None
    source = stage.connect(sender, will)
    if source is None:
        return []
    if question is Question.RETAINED:
        source.publish(hop.topic, text, retain=True)
    target = stage.connect(receiver)
    if target is None:
        return []
    target.subscribe(hop.topic)
    if question is Question.WILL:
        end_with_will(source)
    elif question is not Question.RETAINED:
        source.publish(hop.topic, text)
    return [found for found in texts(target.fence()) if found == (hop.topic, text)]
