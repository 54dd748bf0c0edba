"""How long the proof of the blast radius takes, as policies and fleets grow.

usage: python -m benches.radius [--identities N]

Two kinds of policy: every role with topics of its own, and every role with the same topics. Time
and memory are those of this process; growth is the ratio to half the size, 2 where it is linear.
"""

import argparse
import contextlib
import json
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from motte.fleet.identity import SystemClock
from motte.fleet.registry import Registry, create_registry
from motte.policy.model import Kind
from motte.policy.radius.analysis import Analysis, Question, analyse
from motte.policy.radius.document import ForeignGrant, ForeignPolicy, ForeignRole

GRANTS = 20
"""Grants of each role, half to publish and half to subscribe."""
SIZES = (125, 250, 500, 1000)
IDENTITIES = 1_000_000
SITES = 10_000


def policy(roles: int, *, own_topics: bool) -> ForeignPolicy:
    """Roles of devices, each with its own group."""
    return ForeignPolicy(
        "bench", tuple(_role(number, own_topics=own_topics) for number in range(roles))
    )


def _role(number: int, *, own_topics: bool) -> ForeignRole:
    first = f"kind-{number}" if own_topics else "home"
    grants = [
        ForeignGrant(f"{first}/{{site}}/{{device}}/topic-{topic}", topic + 1)
        for topic in range(GRANTS // 2 - 1)
    ]
    shared = ForeignGrant(f"{first}/{{site}}/all", GRANTS)
    return ForeignRole(
        f"role-{number}",
        1,
        (*grants, shared),
        (*grants, shared),
        kind=Kind.DEVICE,
        attributes={"group": f"group-{number}"},
    )


def fleet(count: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Devices of all groups, spread over the sites."""
    for number in range(count):
        attributes = {"group": f"group-{number % SIZES[-1]}", "site": f"site-{number % SITES}"}
        yield "device", f"device-{number}", attributes


def registry(folder: Path, count: int) -> Registry:
    """A registry with that many identities, written in one go."""
    path = folder / "registry.sqlite"
    folder.chmod(0o700)
    create_registry(path, fleet="bench", clock=SystemClock(), actor="bench")
    rows = (
        (name, kind, json.dumps(attributes), "active", 0, "", 0)
        for kind, name, attributes in fleet(count)
    )
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            "INSERT INTO identities (id, kind, attributes, status, status_since, why, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
    return Registry(path, fleet="bench", clock=SystemClock(), actor="bench")


def timed(roles: int, *, own_topics: bool) -> tuple[float, Analysis]:
    """Seconds to answer everything, the policy's document included."""
    begun = time.perf_counter()
    analysis = analyse(policy(roles, own_topics=own_topics))
    return time.perf_counter() - begun, analysis


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--identities", type=int, default=IDENTITIES)
    options = parser.parse_args()
    analysis = analyse(policy(0, own_topics=True))
    for own_topics in (True, False):
        kind = "own topics" if own_topics else "the same topics"
        before = 0.0
        for roles in SIZES:
            seconds, analysis = timed(roles, own_topics=own_topics)
            growth = f"{seconds / before:.1f}" if before else "-"
            print(f"{roles:5} roles x {GRANTS} grants, {kind}: {seconds:6.3f} s, growth {growth}")
            before = seconds
    with (
        tempfile.TemporaryDirectory() as folder,
        registry(Path(folder), options.identities) as found,
    ):
        begun = time.perf_counter()
        numbers = analysis.numbers(found.members())
        seconds = time.perf_counter() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{numbers.identities} identities of a registry, {SITES} sites: {seconds:.1f} s, "
        f"{memory:.0f} MiB"
    )
    print(f"  influence: {numbers.highest(Question.INFLUENCE)} others at most")


if __name__ == "__main__":
    main()
