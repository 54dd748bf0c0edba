"""The fleet of the attack catalogue, and the oracle of health that stands behind every row."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.catalogue import Fleet
from tests.support.client import Client
from tests.support.deployment import DataPlane, wait_until
from tests.support.space import Space
from tests.support.wire import Version

FEW = 8
"""File descriptors that may be open for other reasons, such as a connection that just closes."""


@pytest.fixture
def fleet(space: Space, version: Version) -> Fleet:
    """The identities of one row."""
    return Fleet(
        space,
        version,
        a=space.device("a"),
        b=space.device("b"),
        backend=space.service("backend"),
        observer=space.service("observer", "observer"),
    )


@pytest.fixture(scope="session")
def bystander(plane: DataPlane) -> Iterator[Client]:
    """A client that has nothing to do with any attack and stays connected through all of them."""
    space = Space(plane)
    client = space.client(Version.V5, keep_alive=0)
    client.subscribe(space.topic("own"), qos=1)
    client.health_topic = space.topic("own")
    process = plane.process
    assert process is not None

    def descriptors() -> int:
        return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))

    before = descriptors()
    yield client
    # After all attacks: every connection has been given back.
    wait_until(lambda: descriptors() <= before + FEW, "giving descriptors back")
    space.close()


@pytest.fixture(autouse=True)
def health(plane: DataPlane, bystander: Client) -> Iterator[None]:
    """Oracle 4: after each row the bystander is served on the connection that it always had."""
    yield
    assert plane.process is not None
    assert plane.process.poll() is None, f"the data plane died: {plane.log()}"
    nonce = secrets.token_bytes(8)
    bystander.publish(bystander.health_topic, nonce, 1)
    assert bystander.message().payload == nonce
