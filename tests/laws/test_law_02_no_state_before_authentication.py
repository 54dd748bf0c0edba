"""Law 2. Until TLS and authentication have passed, a peer changes nothing."""

import contextlib
import ssl
from typing import Any

import pytest

from tests.support import wire
from tests.support.client import Client, Closed
from tests.support.space import Space
from tests.support.wire import Property, Version


def _state(space: Space) -> dict[str, Any]:
    status = space.plane.status()
    return {name: status[name] for name in ("sessions", "subscriptions", "retained", "queued")}


def _rich_connect(version: Version, name: str, topic: str) -> bytes:
    pairs = [(Property.SESSION_EXPIRY_INTERVAL, 600)] if version is Version.V5 else []
    return (
        wire.connect(
            version,
            name,
            clean_start=False,
            will=wire.Will(topic, b"will", retain=True),
            properties=pairs,
        )
        + wire.subscribe(version, 1, [(topic, 1)])
        + wire.publish(version, topic, b"kept", retain=True)
    )


@pytest.mark.parametrize("how", ["no certificate", "clear text", "no role", "other client id"])
def test_a_refused_peer_leaves_no_trace_but_evidence(
    space: Space, version: Version, how: str
) -> None:
    topic = space.topic("a")
    victim = space.identity("victim")
    session = space.durable(version, victim)
    session.subscribe(topic, qos=1)
    before = _state(space)
    data = _rich_connect(version, victim.id, topic)
    if how == "clear text":
        with space.plane.tcp(space.source) as connection:
            connection.sendall(data)
            with contextlib.suppress(ConnectionError):
                while connection.recv(4096):
                    pass
    else:
        credential = {
            "no certificate": None,
            "no role": space.device("stranger", "no-such-group").credential,
            "other client id": space.device().credential,
        }[how]
        with contextlib.suppress(ssl.SSLError, ConnectionError, Closed):
            client = Client(space.plane.tls(credential, space.source), version)
            with client:
                client.send(data)
                client.drain()
    assert _state(space) == before
    session.expect_nothing()
    late = space.client(version)
    late.subscribe(topic)
    late.expect_nothing()


def test_a_peer_that_is_known_but_not_connected_has_no_session(
    space: Space, version: Version
) -> None:
    before = space.plane.status()["sessions"]
    clients = [space.open(version) for _ in range(10)]
    for client in clients:
        client.send(b"\x10")
    assert space.plane.status()["sessions"] == before


@pytest.mark.only(Version.V5)
def test_the_timer_of_an_absent_session_is_not_touched(space: Space, version: Version) -> None:
    """Knocking at a session with the wrong certificate does not keep it alive."""
    victim = space.identity("victim")
    space.durable(version, victim, expiry=2).cut()
    thief = space.device()
    watch = space.client(version, keep_alive=1)
    for _ in range(3):
        client = space.open(version, thief)
        assert client.connect(victim.id, clean_start=False).reason != 0
    watch.expect_closed()  # 1.5 s
    client = space.open(version, thief)
    assert client.connect(victim.id, clean_start=False).reason != 0
    space.client(version, keep_alive=1).expect_closed()  # 3 s
    space.durable(version, victim, session=False)
