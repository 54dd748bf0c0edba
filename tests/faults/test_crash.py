"""``kill -9`` at random moments under load: nothing acknowledged is lost, nothing of QoS 2 doubled.

``make crash`` kills a hundred times; ``MOTTE_CRASHES`` says how often, ``MOTTE_CRASH_SEED`` when.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from tests.faults.traffic import (
    PATIENCE,
    Publisher,
    Reader,
    acknowledged,
    await_the_rest,
    judge,
    running,
)
from tests.support.deployment import FLEET, DataPlane, wait_until
from tests.support.policy import Policy, standard_roles
from tests.support.space import Space
from tests.support.wire import Version

CRASHES = int(os.environ.get("MOTTE_CRASHES", "6"))
SEED = int(os.environ.get("MOTTE_CRASH_SEED", "7"))
MOST_BETWEEN = 600
"""Acknowledged messages between two crashes, at most; a fraction of a second."""


@pytest.mark.parametrize("readers_are_away", [False, True], ids=["live", "queued"])
def test_nothing_acknowledged_is_lost(tmp_path: Path, readers_are_away: bool) -> None:
    chance = random.Random(SEED)  # noqa: S311 - to be repeated, not to be secret
    # The queue of a reader that is away has to hold all of it.
    limits = {"queue_messages": 200_000, "queue_bytes": 256 * 1024 * 1024}
    plane = DataPlane(tmp_path / "plane", Policy(FLEET, standard_roles()))
    for role in plane.policy.roles if plane.policy else []:
        role["limits"] |= limits
    plane.settings["listener"]["port"] = 0
    space = Space(plane.start())
    # Clients find a broker that comes back where it was.
    plane.settings["listener"]["port"] = plane.port
    publishers = [
        Publisher(
            space,
            space.identity(f"writer{number}"),
            version,
            topic=space.topic(f"crash/{number}"),
            qos=qos,
        )
        for number, (version, qos) in enumerate((v, q) for v in Version for q in (1, 2))
    ]
    topics = [publisher.topic for publisher in publishers]
    readers = [
        Reader(space, space.identity("reader"), version, topics=topics) for version in Version
    ]
    for reader in readers:
        client = space.durable(reader.version, reader.identity)
        client.subscribe(*topics, qos=2)
        client.cut()
    with running(publishers), running([] if readers_are_away else readers):
        for _ in range(CRASHES):
            goal = sum(len(each.acknowledged) for each in publishers)
            wait_until(
                acknowledged(publishers, goal + chance.randrange(1, MOST_BETWEEN)),
                "progress",
                PATIENCE,
            )
            plane.stop(signal.SIGKILL)
            plane.start()
        for publisher in publishers:
            publisher.stop()
        if readers_are_away:
            for reader in readers:
                reader.start()
        await_the_rest(publishers, readers)
        for reader in readers:
            reader.stop()
    judge(publishers, readers)
    assert plane.stop() == 0
