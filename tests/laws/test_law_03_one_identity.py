"""Law 3. Nobody can take over, resume, end or even detect another identity's session."""

import pytest

from tests.support import wire
from tests.support.space import Identity, Space
from tests.support.wire import Version


def _answer(space: Space, version: Version, thief: Identity, name: str, clean: bool) -> bytes:
    """Every byte that the broker has for a thief who says another's name."""
    client = space.open(version, thief)
    client.send(wire.connect(version, name, clean_start=clean))
    out = b""
    while data := client.connection.recv(4096):
        out += data
    return out


@pytest.mark.parametrize("clean", [True, False])
def test_a_session_of_another_identity_cannot_be_detected(
    space: Space, version: Version, clean: bool
) -> None:
    """Connected, absent with a session, or never seen: the answers are the same bytes."""
    thief = space.device("thief")
    online, absent, nobody = (space.device(name) for name in ("online", "absent", "nobody"))
    live = space.durable(version, online)
    space.durable(version, absent).cut()
    answers = {_answer(space, version, thief, who.id, clean) for who in (online, absent, nobody)}
    assert len(answers) == 1
    live.expect_nothing()
    space.durable(version, absent, session=True)


def test_the_same_identity_resumes_with_a_new_certificate(space: Space, version: Version) -> None:
    """A session belongs to the identity, not to the key: renewal keeps it."""
    who = space.identity()
    first = space.durable(version, who)
    first.subscribe(space.topic("a"), qos=1)
    first.disconnect()
    renewed = Identity(
        who.kind, who.id, who.uri, space.plane.authority.issue(who.id, uris=[who.uri])
    )
    space.client(version).publish(space.topic("a"), b"x", 1)
    assert space.durable(version, renewed, session=True).message().payload == b"x"


def test_suffixes_are_sessions_of_their_own(space: Space, version: Version) -> None:
    space.role(
        "many",
        subscribe=["{site}/dev/{device}/cmd"],
        limits={"connections": 3, "sessions": 3},
    )
    who = space.device("many", "many")
    clients = []
    for suffix in ("", ":a", ":b"):
        client = space.open(version, who)
        assert client.connect(who.id + suffix).reason == 0
        clients.append(client)
    clients[1].subscribe(space.of(who, "cmd"))
    space.client(version, space.service()).publish(space.of(who, "cmd"), b"x", 1)
    assert clients[1].message().payload == b"x"
    for client in (clients[0], clients[2]):
        client.expect_nothing()


@pytest.mark.parametrize("suffix", [":", ":a:b", ":a/b", ":+", ":#", ": ", "a", ".a", ":é"])
def test_suffixes_that_are_none(space: Space, version: Version, suffix: str) -> None:
    space.role("many", subscribe=["{site}/dev/{device}/cmd"], limits={"connections": 3})
    who = space.device("many", "many")
    assert space.open(version, who).connect(who.id + suffix).reason != 0


def test_attributes_are_part_of_nobody_elses_rights(space: Space, version: Version) -> None:
    """The same id at another site is bound to that site's topics."""
    elsewhere = Space(space.plane)
    here = space.device("twin")
    uri = here.uri.replace(f"site/{space.site}", f"site/{elsewhere.site}")
    there = Identity("device", here.id, uri, space.plane.authority.issue(here.id, uris=[uri]))
    client = elsewhere.client(version, there)
    assert client.subscribe(space.of(here, "cmd"))[0] >= 0x80
    assert client.subscribe(elsewhere.of(there, "cmd")) == (0,)
    elsewhere.close()
