"""Law 1. Closed by default: no policy, a broken one, an unknown identity: denied."""

import contextlib
import json
import ssl
from pathlib import Path

import pytest

from tests.support import wire
from tests.support.client import Client, Closed
from tests.support.deployment import FLEET, START, DataPlane
from tests.support.policy import Policy, standard_roles
from tests.support.space import Identity, Space
from tests.support.wire import Reason, Version


def _admitted(space: Space, version: Version, identity: Identity) -> bool:
    with contextlib.suppress(ssl.SSLError, ConnectionError, Closed):
        client = space.open(version, identity)
        return client.connect(client.client_id).reason == 0
    return False


def test_an_identity_that_no_role_matches(space: Space, version: Version) -> None:
    stranger = space.device("stranger", "no-such-group")
    assert not _admitted(space, version, stranger)
    record = space.plane.await_evidence(identity=stranger.name, kind="refused")
    assert record["layer"] in ("identity", "authorization")


def test_a_role_that_grants_nothing_grants_nothing(space: Space, version: Version) -> None:
    space.role("bare")
    client = space.client(version, space.device("bare", "bare"))
    assert client.subscribe(space.topic("a"))[0] >= 0x80
    if version is Version.V5:
        assert client.publish(space.topic("a"), b"x", 1) == Reason.NOT_AUTHORIZED


def test_a_data_plane_without_a_policy_serves_its_control_socket_and_nobody_else(
    folder: Path,
) -> None:
    plane = DataPlane(folder)
    space = Space(plane)
    try:
        plane.start()
        for version in Version:
            assert not _admitted(space, version, space.device())
        status = plane.status()
        assert (status["generation"], status["sessions"]) == (0, 0)
        plane.await_evidence(kind="refused")
    finally:
        space.close()
        plane.stop()


def test_a_policy_that_is_broken_at_a_restart_does_not_open(folder: Path) -> None:
    """The last good policy was fine, then the disk was not: after a restart all is denied."""
    plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    space = Space(plane)
    who = space.device()
    try:
        plane.start()
        assert _admitted(space, Version.V5, who)
        plane.stop()
        path = plane.state / "snapshot.json"
        path.write_bytes(path.read_bytes()[:-10])
        plane.start(snapshot=False)
        assert not _admitted(space, Version.V5, who)
        assert plane.status()["generation"] == 0
    finally:
        space.close()
        plane.stop()


def test_the_last_good_policy_holds_after_a_restart(folder: Path) -> None:
    """Revocations included: a restart forgives nobody."""
    plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    space = Space(plane)
    good, bad = space.device("good"), space.device("bad")
    try:
        plane.start()
        plane.revoke(bad.name)
        plane.stop()
        plane.start(snapshot=False)
        assert plane.policy is not None
        assert plane.status()["generation"] == plane.policy.generation
        assert _admitted(space, Version.V5, good)
        assert not _admitted(space, Version.V5, bad)
    finally:
        space.close()
        plane.stop()


def test_a_banned_address(folder: Path) -> None:
    policy = Policy(FLEET, standard_roles())
    plane = DataPlane(folder, policy)
    space, other = Space(plane), Space(plane)
    try:
        plane.start()
        live = space.client(Version.V5, space.device())
        policy.exceptions["banned"] = [f"{space.source}/32"]
        plane.apply()
        live.expect_closed()
        assert not _admitted(space, Version.V5, space.device())
        assert _admitted(other, Version.V5, other.device())
        plane.await_evidence(kind="refused", layer="network")
    finally:
        space.close()
        other.close()
        plane.stop()


@pytest.mark.parametrize(
    "settings",
    [
        {"listener": {"address": "127.0.0.1", "port": 0, "tls": False}},
        {"listener": {"address": "127.0.0.1", "port": 0, "clear_text": True}},
        {"allow_anonymous": True},
        {"client_authority": None},
        {"client_authority": "/nonexistent"},
        {"server_certificate": "/nonexistent"},
        {"server_key": "/nonexistent"},
        {"fleet": ""},
    ],
    ids=json.dumps,
)
def test_settings_that_would_open_something_do_not_start(
    folder: Path, settings: dict[str, object]
) -> None:
    plane = DataPlane(folder, Policy(FLEET, standard_roles()), settings=settings)
    plane.write_snapshot()
    process = plane.launch()
    try:
        assert process.wait(START) != 0
    finally:
        process.kill()
        plane.stop()
    assert plane.log().strip()
    assert not (plane.state / "run" / "listener.json").exists()


@pytest.mark.parametrize("bits", [0o644, 0o640, 0o604])
def test_a_key_that_others_can_read(folder: Path, bits: int) -> None:
    plane = DataPlane(folder, Policy(FLEET, standard_roles()))
    plane.server.key.chmod(bits)
    process = plane.launch()
    try:
        assert process.wait(START) != 0
    finally:
        process.kill()
        plane.stop()
    assert str(plane.server.key) in plane.log()


def test_a_port_in_use_and_a_second_data_plane(folder: Path, space: Space) -> None:
    """Neither shares anything with whoever was there first."""
    plane = DataPlane(
        folder,
        Policy(FLEET, standard_roles()),
        settings={"listener": {"address": "127.0.0.1", "port": space.plane.port}},
    )
    process = plane.launch()
    try:
        assert process.wait(START) != 0
        assert str(space.plane.port) in plane.log()
        plane.stop()
        plane.settings["state_directory"] = str(space.plane.state)
        plane.settings["listener"]["port"] = 0
        process = plane.launch()
        assert process.wait(START) != 0
    finally:
        process.kill()
        plane.stop()
    space.client(Version.V5)


def test_what_the_peer_says_never_opens_anything(space: Space, version: Version) -> None:
    """A refused client that goes on talking is not heard."""
    stranger = space.device("stranger", "no-such-group")
    listener = space.client(version)
    listener.subscribe(space.topic("a"))
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        client = Client(space.plane.tls(stranger.credential, space.source), version)
        with client:
            client.send(
                wire.connect(version, stranger.id),
                wire.publish(version, space.topic("a"), b"x"),
            )
            with contextlib.suppress(ssl.SSLError, ConnectionError, AssertionError):
                client.drain()
    listener.expect_nothing()
