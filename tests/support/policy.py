"""Compiled snapshots, format 1, written by hand: the wire tests do not depend on the compiler."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Grant: TypeAlias = str | dict[str, Any]

LIMITS: dict[str, int] = {
    "messages_per_second": 20_000,
    "message_burst": 40_000,
    "bytes_per_second": 64 * 1024 * 1024,
    "byte_burst": 128 * 1024 * 1024,
    "payload": 64 * 1024,
    "packet": 80 * 1024,
    "inflight": 20,
    "queue_messages": 1_000,
    "queue_bytes": 4 * 1024 * 1024,
    "subscriptions": 50,
    "retained_messages": 50,
    "retained_bytes": 1024 * 1024,
    "session_expiry": 3_600,
    "connections": 1,
    "keep_alive": 300,
    "topic_aliases": 10,
    "sessions": 1,
    "message_expiry": 86_400,
}
"""Wide enough that a test which is not about limits never meets one."""


def role(
    name: str,
    *,
    kind: str,
    identity: str | None = None,
    attributes: Mapping[str, str] | None = None,
    publish: Sequence[Grant] = (),
    subscribe: Sequence[Grant] = (),
    deny: Sequence[Grant] = (),
    wildcards: bool = False,
    share: Sequence[str] = (),
    limits: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """One role of a snapshot. A grant is a topic pattern or a dict with its other fields."""
    line = iter(range(1, 10_000))
    return {
        "name": name,
        "line": next(line),
        "match": {"kind": kind, "id": identity, "attributes": dict(attributes or {})},
        "publish": [
            {"qos": 2, "retain": False, "will": True, "line": next(line)} | _topic(grant)
            for grant in publish
        ],
        "subscribe": [{"qos": 2, "line": next(line)} | _topic(grant) for grant in subscribe],
        "deny": [
            {"actions": ["publish", "subscribe"], "line": next(line)} | _topic(grant)
            for grant in deny
        ],
        "wildcards": wildcards,
        "share": list(share),
        "limits": LIMITS | dict(limits or {}),
    }


def _topic(grant: Grant) -> dict[str, Any]:
    return {"topic": grant} if isinstance(grant, str) else dict(grant)


class Policy:
    """A policy whose next generation can be written as a snapshot at any time."""

    def __init__(self, fleet: str, roles: Sequence[dict[str, Any]]) -> None:
        self.fleet = fleet
        self.roles = copy.deepcopy(list(roles))
        self.generation = 0
        self.exceptions: dict[str, list[str]] = {
            "revoked_serials": [],
            "revoked": [],
            "quarantined": [],
            "banned": [],
        }
        self.vectors: list[dict[str, Any]] = []

    def role(self, name: str) -> dict[str, Any]:
        """The role of this name, to be changed in place."""
        return next(found for found in self.roles if found["name"] == name)

    def next(self) -> str:
        """The snapshot of the next generation."""
        self.generation += 1
        return self.text()

    def text(self) -> str:
        """The snapshot of the present generation."""
        document = {
            "format": 1,
            "generation": self.generation,
            "fleet": self.fleet,
            "policy_file": "policy.toml",
            "roles": self.roles,
            "exceptions": {name: sorted(found) for name, found in self.exceptions.items()},
            "vectors": self.vectors,
        }
        return json.dumps(document, sort_keys=True)


def standard_roles() -> list[dict[str, Any]]:
    """What the shared broker of a test run knows. Every topic begins with the site of one test."""
    everything = {"topic": "t/{site}/#", "retain": True}
    return [
        # The conformance tests: services that may do anything inside the space of their test.
        role(
            "tester",
            kind="service",
            attributes={"group": "tester"},
            publish=[everything],
            subscribe=["t/{site}/#"],
            wildcards=True,
            share=["crew", "other"],
        ),
        # The same without wildcards.
        role(
            "plain",
            kind="device",
            attributes={"group": "plain"},
            publish=[everything],
            subscribe=["t/{site}/#"],
        ),
        # The fleet of the attack catalogue: a device has its own telemetry and its own commands.
        role(
            "device",
            kind="device",
            attributes={"group": "device"},
            publish=[
                "{site}/dev/{device}/tel",
                {"topic": "{site}/dev/{device}/state", "retain": True},
                {"topic": "{site}/dev/{device}/once", "qos": 0, "will": False},
            ],
            subscribe=["{site}/dev/{device}/cmd", "{site}/dev/{device}/reply"],
        ),
        role(
            "backend",
            kind="service",
            attributes={"group": "backend"},
            publish=[
                {"topic": "{site}/dev/+/cmd", "retain": True},
                {"topic": "{site}/dev/+/reply", "retain": True},
            ],
            subscribe=["{site}/dev/+/tel", "{site}/dev/+/state", "{site}/dev/+/once"],
            wildcards=True,
            share=["backend"],
        ),
        # An owner of topics that wildcards at the front must not reach.
        role(
            "dollar",
            kind="service",
            attributes={"group": "dollar"},
            publish=[{"topic": "$own/{site}/#", "retain": True}],
            subscribe=["$own/{site}/#"],
            wildcards=True,
        ),
        # The canary's ear: sees every topic that does not begin with `$`.
        role(
            "observer",
            kind="service",
            attributes={"group": "observer"},
            subscribe=["#"],
            wildcards=True,
        ),
    ]
